//! Workers that bind each other, or are told of each other's events.

use http::StatusCode;

use super::Workers;
use crate::envelope::Failure;
use crate::records::{BindingKind, Script, Version};

/// A binding of a Worker that serves, to another one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) script: String,
    pub(crate) binding: String,
    pub(crate) entrypoint: Option<String>,
}

impl Workers {
    /// The bindings that lead to a Worker.
    pub(crate) fn callers(&self, name: &str) -> Result<Vec<Caller>, Failure> {
        let mut callers = Vec::new();
        for script in self.state.scripts()?.iter().filter(|script| script.name != name) {
            let beside = script.beside.map(|beside| beside.version);
            let mut bindings = Vec::new();
            for version in script.current.into_iter().chain(beside) {
                bindings.extend(self.state.version(script, version)?.bindings);
            }
            for binding in bindings {
                if let BindingKind::OtherService { service, entrypoint } = binding.kind
                    && service == name
                {
                    let (script, binding) = (script.name.clone(), binding.name);
                    callers.push(Caller { script, binding, entrypoint });
                }
            }
        }
        Ok(callers)
    }

    /// Whether two versions of a Worker can serve at once.
    pub(super) fn check_split(&self, script: &Script) -> Result<(), Failure> {
        let why = if let Some(class) = script.classes.first() {
            format!(
                "it has the Durable Object class \"{}\", and each object must run in exactly one \
                 version and process",
                class.name
            )
        } else if let Some(caller) = self.callers(&script.name)?.first() {
            format!("the Worker \"{}\" binds it, and reaches one version", caller.script)
        } else if let Some(producer) = self.producers(&script.name)?.first() {
            format!("it is a tail consumer of the Worker \"{producer}\", which reaches one version")
        } else {
            return Ok(());
        };
        let message = format!(
            "two versions of \"{}\" cannot serve at once: {why}. Deploy one at 100%",
            script.name
        );
        Err(Failure::new(StatusCode::BAD_REQUEST, 10023, message))
    }

    /// Whether no other Worker would miss this one.
    pub(super) fn check_unused(&self, name: &str) -> Result<(), Failure> {
        let why = if let Some(Caller { script, binding, .. }) = self.callers(name)?.first() {
            format!("the Worker \"{script}\" binds this one as \"{binding}\": remove that binding")
        } else if let Some(producer) = self.producers(name)?.first() {
            format!(
                "the Worker \"{producer}\" has this one as a tail consumer: take it out of its \
                 `tail_consumers`"
            )
        } else {
            return Ok(());
        };
        let message = format!("{why} first, or delete by force");
        Err(Failure::new(StatusCode::BAD_REQUEST, 10064, message))
    }

    /// The entry points of a Worker that others bind.
    pub(super) fn entrypoints(&self, name: &str) -> Result<Vec<String>, Failure> {
        let mut names: Vec<String> =
            self.callers(name)?.into_iter().filter_map(|caller| caller.entrypoint).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Whether what a version binds of other Workers is there.
    pub(super) async fn check_others(&self, name: &str, version: &Version) -> Result<(), Failure> {
        for binding in &version.bindings {
            let BindingKind::OtherService { service, entrypoint } = &binding.kind else { continue };
            let found = self.state.find_script(service)?.map(|read| read.value);
            let found = found.and_then(|other| other.current.map(|current| (other, current)));
            let (other, current) = found.ok_or_else(|| {
                let message = format!(
                    "Could not resolve service binding '{}'. Target script '{service}' not found. \
                     Please verify the target script and try again.",
                    binding.name
                );
                Failure::new(StatusCode::BAD_REQUEST, 10143, message)
            })?;
            if other.beside.is_some() {
                return Err(Failure::validation(format!(
                    "the service binding '{}' leads to '{service}', of which two versions serve: deploy one \
                     of them at 100% first",
                    binding.name
                )));
            }
            let Some(entrypoint) = entrypoint else { continue };
            let mut plan = self.plan(&other, &self.state.version(&other, current)?)?;
            if plan.entrypoints.contains(entrypoint) {
                continue;
            }
            plan.entrypoints.push(entrypoint.clone());
            self.platform.try_worker(&plan).await.map_err(|error| {
                Failure::validation(format!(
                    "Could not resolve service binding '{}' of '{name}' to the entry point \
                     '{entrypoint}' of '{service}': {error}",
                    binding.name
                ))
            })?;
        }
        Ok(())
    }

    /// Lets the Workers that a version binds be reached as it binds them. One that does not follow
    /// serves on as before, and is told of.
    pub(super) async fn open_others(&self, version: &Version) {
        for (other, _) in version.others().filter(|(_, entrypoint)| entrypoint.is_some()) {
            if let Err(failure) = self.run(other).await {
                tracing::error!(script = other, ?failure, "a Worker is not reached by another");
            }
        }
    }
}
