//! Workers: uploaded, deployed, changed, removed. Records first, then what runs follows them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use store::{Revision, Transaction};
use uuid::Uuid;

use crate::bindings::of_upload;
use crate::blobs::BlobId;
use crate::containers::{Containers, Switch};
use crate::envelope::Failure;
use crate::plan::{BesidePlan, PlannedClass, PlannedModule, WorkerPlan};
use crate::platform::Platform;
use crate::records::{
    ALL_REQUESTS, Beside, Binding, ClassContainer, Deployment, Module, Script, Version,
};
use crate::state::{Read, State, bytes, key};
use crate::tails::Tails;
use crate::turns::Turns;
use crate::upload::{Upload, WireContainer, WireExport};
use crate::{assets, migrate, routes};
use atomic::described;

/// Who asks for a change, and how.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    /// The name of their token.
    pub(crate) name: String,
    /// `wrangler`, `secret_change` …
    pub(crate) source: &'static str,
    /// What they say about it.
    pub(crate) message: Option<String>,
}

/// Workers of an account.
#[derive(Clone)]
pub(crate) struct Workers {
    pub(crate) state: State,
    pub(crate) platform: Arc<dyn Platform>,
    /// Applications, some of which switch together with their Worker's code.
    containers: Containers,
    /// Below this domain each Worker has a host of its own.
    pub(crate) domain: String,
    /// Who watches them.
    pub(crate) tails: Tails,
    /// One change of a Worker at a time: what runs is what was written last.
    turns: Turns,
}

impl Workers {
    pub(crate) fn new(
        state: State,
        platform: Arc<dyn Platform>,
        domain: String,
        containers: Containers,
    ) -> Self {
        let (tails, turns) = (Tails::default(), Turns::default());
        Self { state, platform, containers, domain, tails, turns }
    }

    /// Starts what should run. What does not start is told of, and the rest runs.
    pub(crate) async fn start_all(&self) -> Result<(), Failure> {
        for script in self.state.scripts()? {
            let _turn = self.turns.of(&script.name).await;
            if let Err(failure) = self.run(&script.name).await {
                tracing::error!(script = script.name, ?failure, "a Worker does not run");
            }
        }
        Ok(())
    }

    /// A new version from an upload; with `deploy` it serves when this returns.
    pub(crate) async fn upload(
        &self,
        name: &str,
        mut upload: Upload,
        author: Author,
        deploy: bool,
    ) -> Result<(Script, Version), Failure> {
        check_name(name)?;
        check_supported(&upload, deploy)?;
        // What an upload names must not change meanwhile either.
        let consumers = upload.metadata.tail_consumers.take().unwrap_or_default();
        let named = upload.metadata.bindings.iter().filter_map(|wire| wire["service"].as_str());
        let named = named.chain(consumers.iter().map(|consumer| consumer.service.as_str()));
        let _turns = self.turns.of_all(named.chain([name])).await;
        let now = Timestamp::now();
        let read = self.state.find_script(name)?;
        let revision = read.as_ref().map(|read| read.revision);
        let mut script = read.map_or_else(|| Script::new(name, now), |read| read.value);
        let consumers = self.consumers(name, &consumers)?;
        if deploy {
            script.tail_consumers = consumers;
            migrate::apply(&mut script, &upload.metadata)?;
            // As with Cloudflare a deploy removes no secret; wrangler 4.86 counts on it.
            upload.metadata.keep_bindings.push("secret_text".into());
        }
        let previous = self.state.newest_version(&script)?;
        let before = previous.as_ref().map(|version| version.bindings.as_slice());
        let before = before.unwrap_or_default();
        let bindings = of_upload(&script, &upload.metadata, before, &self.state.sealer)?;
        let containers = containers(&script, &upload)?;
        let atomic = upload.metadata.atomic()?;
        let switched = self.wanted_of_containers(&script, &containers, atomic, deploy)?;
        let modules = self.keep_modules(&upload.modules)?;
        let metadata = upload.metadata;
        let before = previous.as_ref().and_then(|version| version.assets.as_ref());
        let (wanted, keep) = (metadata.assets, metadata.keep_assets);
        let assets = assets::of_upload(&self.state, name, wanted, keep, before)?;
        let mut version = Version {
            id: Uuid::new_v4(),
            number: script.versions + 1,
            created_on: now,
            author: author.name.clone(),
            source: author.source.to_owned(),
            annotations: metadata.annotations,
            compatibility_date: metadata.compatibility_date.unwrap_or_else(|| "2021-11-02".into()),
            compatibility_flags: metadata.compatibility_flags,
            modules,
            bindings,
            containers,
            atomic: None,
            assets,
            startup_time_ms: 0,
        };
        self.check_stored_secrets(&version)?;
        self.check_others(&script.name, &version).await?;
        version.startup_time_ms = self.try_out(&script, &version).await?;
        let switch = match &switched {
            Some(wanted) => self.containers.switch(wanted, &described(&script, &version)).await?,
            None => Switch::default(),
        };
        version.atomic = switched.map(|_| switch.configurations());
        self.add(script, revision, version, author, deploy.then_some(&switch)).await
    }

    /// A version like the newest but for its bindings, deployed.
    pub(crate) async fn change_bindings(
        &self,
        name: &str,
        author: Author,
        change: impl FnOnce(&Script, &mut Vec<Binding>) -> Result<(), Failure> + Send,
    ) -> Result<(Script, Version), Failure> {
        let newest = self.state.newest_version(&self.state.script(name)?.value)?;
        let others = newest.iter().flat_map(Version::others).map(|(other, _)| other);
        let _turns = self.turns.of_all(others.chain([name])).await;
        let Read { value: script, revision } = self.state.script(name)?;
        let newest = self.state.newest_version(&script)?.ok_or_else(Failure::no_version)?;
        if script.beside.is_some() || script.current.is_some_and(|current| current != newest.id) {
            let message = "The latest version of your Worker isn't deployed: deploy it first, or \
                           change the secrets of a version (`wrangler versions secret put`)";
            return Err(Failure::new(http::StatusCode::BAD_REQUEST, 10215, message));
        }
        let mut version = copy(&script, newest, &author);
        change(&script, &mut version.bindings)?;
        let switch = self.switch(&script, &version).await?;
        self.add(script, Some(revision), version, author, Some(&switch)).await
    }

    /// A version like the newest but for its bindings, which nothing serves yet.
    pub(crate) async fn copy_newest(
        &self,
        name: &str,
        author: Author,
        annotations: BTreeMap<String, String>,
        change: impl FnOnce(&Script, &mut Vec<Binding>) -> Result<(), Failure> + Send,
    ) -> Result<(Script, Version), Failure> {
        let _turn = self.turns.of(name).await;
        let Read { value: script, revision } = self.state.script(name)?;
        let none = || Failure::new(http::StatusCode::NOT_FOUND, 10222, "There is no version yet.");
        let newest = self.state.newest_version(&script)?.ok_or_else(none)?;
        let mut version = Version { annotations, ..copy(&script, newest, &author) };
        change(&script, &mut version.bindings)?;
        self.add(script, Some(revision), version, author, None).await
    }

    /// Writes a version down, and lets it serve if it is said what containers become with it.
    async fn add(
        &self,
        mut script: Script,
        revision: Option<Revision>,
        version: Version,
        author: Author,
        deploy: Option<&Switch>,
    ) -> Result<(Script, Version), Failure> {
        let before = self.state.find_script(&script.name)?.map(|read| read.value);
        script.versions = version.number;
        script.modified_on = version.created_on;
        let mut write = Transaction::new()
            .if_unchanged(key::script(&script.name), revision)
            .put(key::version(&script.tag, version.id), bytes(&version));
        if let Some(switch) = deploy {
            write = switch.write(deployed(write, &mut script, version.id, None, author));
        }
        write = write.put(key::script(&script.name), bytes(&script));
        self.state.commit(&write)?;
        if let Some(switch) = deploy {
            self.open_others(&version).await;
            self.follow(&script.name, before.as_ref(), switch).await?;
        }
        Ok((script, version))
    }

    /// Lets versions that are there serve, each its share of the requests: one, or two of which the
    /// older one comes first whatever the order they are named in.
    pub(crate) async fn deploy(
        &self,
        name: &str,
        mut shares: Vec<Beside>,
        author: Author,
    ) -> Result<Deployment, Failure> {
        let Read { value: script, .. } = self.state.script(name)?;
        let versions = |script: &Script, shares: &[Beside]| {
            let one = |share: &Beside| self.state.version(script, share.version);
            shares.iter().map(one).collect::<Result<Vec<_>, _>>()
        };
        let before = versions(&script, &shares)?;
        let others = before.iter().flat_map(Version::others).map(|(other, _)| other);
        let _turns = self.turns.of_all(others.chain([name])).await;
        let Read { value: mut script, revision } = self.state.script(name)?;
        let mut versions = versions(&script, &shares)?;
        versions.sort_by_key(|version| version.number);
        let place = |it: &Beside| versions.iter().position(|version| version.id == it.version);
        shares.sort_by_key(place);
        let (first, beside) = match shares.as_slice() {
            [one] if one.share == ALL_REQUESTS => (one.version, None),
            [one, other] if one.share + other.share == ALL_REQUESTS => (one.version, Some(*other)),
            _ => return Err(Failure::new(http::StatusCode::BAD_REQUEST, 10023, WRONG_SHARES)),
        };
        if beside.is_some() {
            self.check_split(&script)?;
        }
        for version in &versions {
            self.check_others(name, version).await?;
            self.try_out(&script, version).await?;
        }
        let switch = match versions.as_slice() {
            [one] => self.switch(&script, one).await?,
            _ => Switch::default(),
        };
        let before = script.clone();
        let write = Transaction::new().if_unchanged(key::script(name), Some(revision));
        let write = switch.write(deployed(write, &mut script, first, beside, author));
        self.state.commit(&write.put(key::script(name), bytes(&script)))?;
        for version in &versions {
            self.open_others(version).await;
        }
        self.follow(name, Some(&before), &switch).await?;
        self.state.deployments(&script)?.into_iter().next().ok_or_else(Failure::conflict)
    }

    /// Changes a Worker's settings, and lets what runs follow.
    pub(crate) async fn change(
        &self,
        name: &str,
        change: impl FnOnce(&mut Script) -> Result<(), Failure> + Send,
    ) -> Result<Script, Failure> {
        let _turn = self.turns.of(name).await;
        self.change_in_turn(name, change).await
    }

    /// The same, for who has the right to it.
    async fn change_in_turn(
        &self,
        name: &str,
        change: impl FnOnce(&mut Script) -> Result<(), Failure> + Send,
    ) -> Result<Script, Failure> {
        let Read { value: mut script, revision } = self.state.script(name)?;
        let before = script.clone();
        change(&mut script)?;
        if script != before {
            let write = Transaction::new()
                .if_unchanged(key::script(name), Some(revision))
                .put(key::script(name), bytes(&script));
            self.state.commit(&write)?;
            self.run(name).await?;
        }
        Ok(script)
    }

    /// Removes a Worker with its versions and what its objects have stored; one that others bind,
    /// or have as a tail consumer, only by force.
    pub(crate) async fn remove(&self, name: &str, force: bool) -> Result<Script, Failure> {
        let _turn = self.turns.of(name).await;
        let Read { value: script, revision } = self.state.script(name)?;
        if !force {
            self.check_unused(name)?;
        }
        let first = Transaction::new()
            .if_unchanged(key::script(name), Some(revision))
            .delete(key::script(name));
        let below = [key::versions(&script.tag), key::deployments(&script.tag), key::assets(name)];
        self.state.remove_below(&below, first)?;
        let namespaces: Vec<String> =
            script.classes.iter().map(|class| class.namespace_id.clone()).collect();
        self.platform.remove_worker(&script.tag, &namespaces).await;
        Ok(script)
    }

    /// Puts what is written into the place of what runs.
    async fn run(&self, name: &str) -> Result<(), Failure> {
        let Read { value: script, .. } = self.state.script(name)?;
        let Some(current) = script.current else { return Ok(()) };
        let version = self.state.version(&script, current)?;
        let mut plan = self.plan(&script, &version)?;
        if let Some(Beside { version, share }) = script.beside {
            let beside = self.plan(&script, &self.state.version(&script, version)?)?;
            plan.beside = Some(Box::new(BesidePlan { share, plan: beside }));
        }
        self.platform.run_worker(&plan).await.map_err(|error| {
            Failure::internal(format!("version {current} is deployed and does not run: {error}"))
        })
    }

    async fn try_out(&self, script: &Script, version: &Version) -> Result<u64, Failure> {
        let plan = self.plan(script, version)?;
        let took = self.platform.try_worker(&plan).await;
        let took = took.map_err(|error| {
            let error = error.to_string();
            Failure::validation(match error.contains(NO_ENTRYPOINT) {
                true => format!("another Worker binds what this version does not export: {error}"),
                false => error,
            })
        })?;
        Ok(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
    }

    fn keep_modules(&self, modules: &[PlannedModule]) -> Result<Vec<Module>, Failure> {
        let keep = |content: &[u8]| {
            let kept = self.state.blobs.put(content);
            kept.map_err(|error| Failure::internal(format!("failed to keep a module: {error}")))
        };
        let module = |module: &PlannedModule| {
            Ok(Module {
                name: module.name.clone(),
                kind: module.kind,
                contents: keep(&module.contents)?,
                source_map: module.source_map.as_deref().map(keep).transpose()?,
            })
        };
        modules.iter().map(module).collect()
    }

    /// Everything that a version needs to run.
    fn plan(&self, script: &Script, version: &Version) -> Result<WorkerPlan, Failure> {
        let read = |blob: &BlobId| {
            let content = self.state.blobs.get(blob);
            content.map_err(|error| Failure::internal(format!("failed to read a module: {error}")))
        };
        let module = |module: &Module| {
            Ok(PlannedModule {
                name: module.name.clone(),
                kind: module.kind,
                contents: read(&module.contents)?,
                source_map: module.source_map.as_ref().map(read).transpose()?,
            })
        };
        let own = script.subdomain.then(|| format!("{}.{}/*", script.name, self.domain));
        let patterns = own.iter().chain(&script.routes).chain(&script.domains);
        Ok(WorkerPlan {
            script: script.name.clone(),
            tag: script.tag.clone(),
            version: version.id,
            created_on: version.created_on,
            modules: version.modules.iter().map(module).collect::<Result<_, _>>()?,
            assets: version
                .assets
                .as_ref()
                .map(|it| assets::planned(&self.state, it))
                .transpose()?,
            compatibility_date: version.compatibility_date.clone(),
            compatibility_flags: version.compatibility_flags.clone(),
            bindings: self.planned_bindings(script, version)?,
            classes: script.classes.iter().map(|class| planned_class(class, version)).collect(),
            containers: match &version.atomic {
                Some(namespaces) => self.containers.plans_of(namespaces)?,
                None => Vec::new(),
            },
            entrypoints: self.entrypoints(&script.name)?,
            tail_consumers: script.tail_consumers.clone(),
            crons: script.crons.iter().map(|cron| cron.cron.clone()).collect(),
            routes: patterns.map(|pattern| routes::parse(pattern)).collect::<Result<_, _>>()?,
            beside: None,
        })
    }
}

/// What may be asked of a deployment.
const WRONG_SHARES: &str =
    "a deployment has one version at 100%, or two whose percentages make 100";

/// What workerd says of a Worker that is to have an entry point which it does not export.
const NO_ENTRYPOINT: &str = "has no such named entrypoint";

fn planned_class(class: &crate::records::Class, version: &Version) -> PlannedClass {
    let container = version.containers.iter().find(|container| container.class_name == class.name);
    PlannedClass {
        name: class.name.clone(),
        namespace_id: class.namespace_id.clone(),
        sqlite: class.sqlite,
        container: container.is_some(),
        images: container.map(|container| container.images.clone()).unwrap_or_default(),
    }
}

/// The next version, like this one.
fn copy(script: &Script, version: Version, author: &Author) -> Version {
    Version {
        id: Uuid::new_v4(),
        number: script.versions + 1,
        created_on: Timestamp::now(),
        author: author.name.clone(),
        source: author.source.to_owned(),
        ..version
    }
}

/// Adds a deployment to what is written.
fn deployed(
    write: Transaction,
    script: &mut Script,
    version: Uuid,
    beside: Option<Beside>,
    author: Author,
) -> Transaction {
    script.deployments += 1;
    (script.current, script.beside) = (Some(version), beside);
    let deployment = Deployment {
        id: Uuid::new_v4(),
        number: script.deployments,
        version,
        beside,
        created_on: Timestamp::now(),
        author: author.name,
        source: author.source.to_owned(),
        message: author.message,
    };
    write.put(key::deployment(&script.tag, deployment.number), bytes(&deployment))
}

/// The classes of an upload that own containers.
fn containers(script: &Script, upload: &Upload) -> Result<Vec<ClassContainer>, Failure> {
    let exports = &upload.metadata.exports;
    let class_of = |container: &WireContainer| {
        let linked = || {
            let named =
                |export: &WireExport| export.container.as_deref() == Some(container.name.as_str());
            exports.iter().find(|(_, export)| named(export)).map(|(class, _)| class.clone())
        };
        container.class_name.clone().or_else(linked)
    };
    let containers = upload.metadata.containers.iter().map(|container| {
        let class_name = class_of(container).ok_or_else(|| {
            let message = format!("the container \"{}\" belongs to no class", container.name);
            Failure::validation(message)
        })?;
        if script.class(&class_name).is_none() {
            return Err(Failure::validation(format!(
                "the class \"{class_name}\" of the container \"{}\" is no Durable Object",
                container.name
            )));
        }
        let (name, images) = (container.name.clone(), container.images.clone());
        Ok(ClassContainer { name, class_name, images })
    });
    containers.collect()
}

fn check_supported(upload: &Upload, deploy: bool) -> Result<(), Failure> {
    let metadata = &upload.metadata;
    if !deploy && metadata.migrations.is_some() {
        let message = "migrations: they are made by a deploy, not by an upload of a version";
        return Err(Failure::validation(message));
    }
    metadata.check()
}

/// Cloudflare's rule for the names of Workers.
pub(crate) fn check_name(name: &str) -> Result<(), Failure> {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if (1..=63).contains(&name.len()) && name.chars().all(valid) && !name.starts_with('-') {
        return Ok(());
    }
    let message = format!(
        "\"{name}\" cannot be the name of a Worker: at most 63 lower-case letters, digits, - and _"
    );
    Err(Failure::new(http::StatusCode::BAD_REQUEST, 10016, message))
}

mod atomic;
mod bindings;
mod consumers;
mod others;
mod stored_secrets;
pub(crate) use others::Caller;

#[cfg(test)]
mod tests;
