//! Workers whose code and containers switch together: old code never meets a new container, nor new
//! code an old one.

use std::collections::BTreeMap;

use serde_json::Value;
use store::Transaction;

use super::{Author, Workers, deployed};
use crate::containers::{Switch, Wanted, is_atomic};
use crate::envelope::Failure;
use crate::records::{ClassContainer, Script, Version};
use crate::state::{Read, bytes, key};
use crate::upload::Atomic;

impl Workers {
    /// What an upload wants of the applications that switch with its code, by their namespaces; `None`
    /// where they do not.
    ///
    /// # Errors
    /// It does not say of each what it becomes, although they switch.
    pub(super) fn wanted_of_containers(
        &self,
        script: &Script,
        containers: &[ClassContainer],
        atomic: Atomic,
        deploy: bool,
    ) -> Result<Option<BTreeMap<String, Wanted>>, Failure> {
        match atomic {
            Atomic::No => Ok(None),
            Atomic::Unsaid if containers.is_empty() || !is_atomic(&self.state, script)? => Ok(None),
            Atomic::Unsaid => Err(Failure::validation(format!(
                "the code of the Worker \"{}\" and its containers switch together (`berth.atomic`), and \
                 this upload does not say what they become: deploy the project with `berth deploy`. \
                 wrangler speaks of containers after it has uploaded the code, too late for that; it \
                 deploys again after a `berth deploy` without `berth.atomic`",
                script.name
            ))),
            Atomic::Applications(_) if !deploy => Err(Failure::validation(
                "a version whose containers switch together with its code (`berth.atomic`) is deployed \
                 when it is uploaded: use `berth deploy`",
            )),
            Atomic::Applications(all) => by_namespace(script, containers, all).map(Some),
        }
    }

    /// What applications become with a version that is there and is to serve.
    ///
    /// # Errors
    /// Nobody knows, although they switch with the code of what serves.
    pub(super) async fn switch(
        &self,
        script: &Script,
        version: &Version,
    ) -> Result<Switch, Failure> {
        let Some(configurations) = &version.atomic else {
            if version.containers.is_empty() || !is_atomic(&self.state, script)? {
                return Ok(Switch::default());
            }
            return Err(Failure::validation(format!(
                "the code of the Worker \"{}\" and its containers switch together (`berth.atomic`), and \
                 version {} does not say what they were: deploy its project with `berth deploy`",
                script.name, version.id
            )));
        };
        let wanted = configurations.iter().map(|(namespace, configuration)| {
            (namespace.clone(), Wanted::Configuration(configuration.clone()))
        });
        let wanted: BTreeMap<String, Wanted> = wanted.collect();
        self.containers.switch(&wanted, &described(script, version)).await
    }

    /// Lets what runs follow a deployment that is written down. If containers were to switch with code
    /// that does not come, what was before is written down again: code and containers go on as it.
    pub(super) async fn follow(
        &self,
        name: &str,
        before: Option<&Script>,
        switch: &Switch,
    ) -> Result<(), Failure> {
        let Err(failure) = self.run(name).await else { return Ok(()) };
        let before = before.filter(|_| !switch.is_empty());
        let Some((before, current)) = before.and_then(|before| Some((before, before.current?)))
        else {
            return Err(failure);
        };
        let Read { value: script, revision } = self.state.script(name)?;
        let mut again = Script {
            versions: script.versions,
            deployments: script.deployments,
            modified_on: script.modified_on,
            ..before.clone()
        };
        let author = Author {
            name: "berth".into(),
            source: "rollback",
            message: Some("the version after it does not run".into()),
        };
        let write = Transaction::new().if_unchanged(key::script(name), Some(revision));
        let write = deployed(write, &mut again, current, before.beside, author);
        let write = switch.undo(write, failure.message());
        self.state.commit(&write.put(key::script(name), bytes(&again)))?;
        self.containers.follow_undone(switch).await;
        Err(Failure::internal(format!(
            "{}; version {current} and its containers are deployed again",
            failure.message()
        )))
    }
}

/// How a switch is remembered among the rollouts of its applications.
pub(super) fn described(script: &Script, version: &Version) -> String {
    format!("together with version {} of {}", version.id, script.name)
}

/// Finds whose each application is, and that none is missing.
fn by_namespace(
    script: &Script,
    containers: &[ClassContainer],
    all: Vec<Value>,
) -> Result<BTreeMap<String, Wanted>, Failure> {
    let mut wanted = BTreeMap::new();
    for application in all {
        let name = application["name"].as_str().unwrap_or_default();
        let own = containers.iter().find(|container| container.name == name);
        let class = own.and_then(|container| script.class(&container.class_name));
        let class = class.ok_or_else(|| {
            Failure::validation(format!(
                "`berth.atomic` says what the containers \"{name}\" become, which `containers` does not \
                 name"
            ))
        })?;
        wanted.insert(class.namespace_id.clone(), Wanted::Whole(application));
    }
    let is_missing = |container: &&ClassContainer| {
        let class = script.class(&container.class_name);
        class.is_none_or(|class| !wanted.contains_key(&class.namespace_id))
    };
    match containers.iter().find(is_missing) {
        None => Ok(wanted),
        Some(container) => Err(Failure::validation(format!(
            "`berth.atomic` does not say what the containers \"{}\" become",
            container.name
        ))),
    }
}

#[cfg(test)]
mod tests;
