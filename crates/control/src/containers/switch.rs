//! Applications that switch together with their Worker's code: what they become is written in the
//! transaction that deploys a version, and carried out by the platform while no code runs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::Share;
use serde_json::{Value, json};
use store::Transaction;
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use super::{Containers, NAMES};
use crate::envelope::Failure;
use crate::plan::ApplicationPlan;
use crate::records::{ApplicationRecord, Rollout, RolloutKind, RolloutStatus, Script, StepRun};
use crate::state::{Read, State, bytes, key};
use crate::wanted::{check, chooses_images, merge, previous_configuration, with_limits};

/// What a version of a Worker wants of the application of one of its classes.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    /// All of it, in the words of a client; the application may be new.
    Whole(Value),
    /// What instances run, whole, as it was written down with the version.
    Configuration(Value),
}

/// What applications become with a version, and the right to change them until its code is there.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    changes: Vec<Change>,
    _turns: Vec<OwnedMutexGuard<()>>,
}

/// What one of them becomes.
#[derive(Debug)]
struct Change {
    namespace: String,
    /// As it was, if it is not new.
    before: Option<Read<ApplicationRecord>>,
    after: ApplicationRecord,
    /// The rollout that was under way, as it is over now.
    replaced: Option<Rollout>,
    /// The one that remembers this; none where its instances go on.
    rollout: Option<Rollout>,
}

impl Switch {
    /// Whether no application switches with the version.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// What the instances of each application run with the version, whole, by its namespace.
    pub(crate) fn configurations(&self) -> BTreeMap<String, Value> {
        let of = |change: &Change| {
            (change.namespace.clone(), change.after.wanted["configuration"].clone())
        };
        self.changes.iter().map(of).collect()
    }

    /// Adds what the applications become to what is written.
    pub(crate) fn write(&self, write: Transaction) -> Transaction {
        self.changes.iter().fold(write, |write, change| {
            let Change { before, after, replaced, rollout, .. } = change;
            let key = key::application(&after.id);
            let revision = before.as_ref().map(|read| read.revision);
            let write = write.if_unchanged(key.as_str(), revision).put(key, bytes(after));
            replaced.iter().chain(rollout).fold(write, |write, one| {
                write.put(key::rollout(&after.id, one.number), bytes(one))
            })
        })
    }

    /// Adds what they were, because the code did not come.
    pub(crate) fn undo(&self, write: Transaction, why: &str) -> Transaction {
        self.changes.iter().fold(write, |write, change| {
            let key = key::application(&change.after.id);
            let Some(record) = change.undone() else { return write.delete(key) };
            let write = write.put(key, bytes(&record));
            let Some(rollout) = &change.rollout else { return write };
            let (status, reason) = (RolloutStatus::Reverted, why.to_owned());
            let rollout = Rollout { status, reason, ..rollout.clone() };
            write.put(key::rollout(&record.id, rollout.number), bytes(&rollout))
        })
    }
}

impl Change {
    /// The record after it was gone back from; nothing if the application was new.
    fn undone(&self) -> Option<ApplicationRecord> {
        let mut record = self.before.as_ref()?.value.clone();
        // Numbers of rollouts are not given again: versions follow from them.
        record.rollouts = self.after.rollouts;
        if self.replaced.is_some() {
            record.wanted["configuration"] = record.settled();
        }
        Some(record)
    }
}

impl Containers {
    /// What applications become, by their namespaces, with a version of a Worker that is described so.
    /// Their images are here when this returns.
    ///
    /// # Errors
    /// One of them makes no sense, or its image cannot be had.
    pub(crate) async fn switch(
        &self,
        wanted: &BTreeMap<String, Wanted>,
        said: &str,
    ) -> Result<Switch, Failure> {
        if wanted.is_empty() {
            return Ok(Switch::default());
        }
        let known = self.state.applications()?;
        for (namespace, one) in wanted {
            let own = known.iter().find(|it| it.namespace() == Some(namespace.as_str()));
            if own.is_none_or(|own| !runs_already(own, one)) {
                self.get_image(one).await?;
            }
        }
        let mut names = vec![NAMES];
        for one in &known {
            if one.namespace().is_some_and(|namespace| wanted.contains_key(namespace)) {
                names.push(&one.id);
            }
        }
        let turns = self.turns.of_all(names).await;
        let mut all = self.state.applications()?;
        let mut changes = Vec::new();
        for (namespace, wanted) in wanted {
            let change = self.change(namespace, wanted, &all, said)?;
            // The limits of the next one are looked at beside what this one becomes.
            all.retain(|one| one.id != change.after.id);
            all.push(change.after.clone());
            changes.push(change);
        }
        Ok(Switch { changes, _turns: turns })
    }

    async fn get_image(&self, wanted: &Wanted) -> Result<(), Failure> {
        let configuration = match wanted {
            Wanted::Whole(wanted) => &wanted["configuration"],
            Wanted::Configuration(configuration) => configuration,
        };
        let missing = "VALIDATE_INPUT: configuration.image is missing";
        let image = configuration["image"].as_str().ok_or_else(|| Failure::bad_request(missing))?;
        let got = self.platform.prepare_image(image).await;
        got.map(drop).map_err(|error| Failure::bad_request(error.to_string()))
    }

    fn change(
        &self,
        namespace: &str,
        wanted: &Wanted,
        all: &[ApplicationRecord],
        said: &str,
    ) -> Result<Change, Failure> {
        let known = all.iter().find(|one| one.namespace() == Some(namespace));
        let before = known.map(|known| self.state.application(&known.id)).transpose()?;
        let Some(before) = before else {
            let after = self.new_of(namespace, wanted, all)?;
            let namespace = namespace.to_owned();
            return Ok(Change { namespace, before: None, after, replaced: None, rollout: None });
        };
        let mut after = before.value.clone();
        match wanted {
            Wanted::Whole(wanted) => lay_over(&mut after, wanted, namespace)?,
            Wanted::Configuration(configuration) => {
                after.wanted["configuration"] = configuration.clone();
            }
        }
        after.updated_at = Timestamp::now();
        let active = self.state.active_rollout(&before.value)?;
        let configuration = after.wanted["configuration"].clone();
        let is_new = active.is_some() || before.value.settled() != configuration;
        let rollout = is_new.then(|| {
            let previous = match &active {
                Some(rollout) => previous_configuration(&before.value, rollout),
                None => before.value.settled(),
            };
            after.rollouts += 1;
            let rollout = remembered(&after, previous, said);
            after.version = rollout.target_version();
            after.image = configuration["image"].as_str().map(str::to_owned);
            after.settled = Some(configuration);
            rollout
        });
        self.check_limits(&after, all, None)?;
        let replaced = active.map(|rollout| rollout.replaced(after.updated_at));
        let (namespace, before) = (namespace.to_owned(), Some(before));
        Ok(Change { namespace, before, after, replaced, rollout })
    }

    fn new_of(
        &self,
        namespace: &str,
        wanted: &Wanted,
        all: &[ApplicationRecord],
    ) -> Result<ApplicationRecord, Failure> {
        let Wanted::Whole(wanted) = wanted else {
            return Err(Failure::bad_request(format!(
                "VALIDATE_INPUT: the containers of the Durable Object namespace {namespace} were deleted; \
                 deploy the project with `berth deploy`, which makes them again"
            )));
        };
        check(wanted)?;
        let mut wanted = wanted.clone();
        wanted["durable_objects"] = json!({ "namespace_id": namespace });
        let record = self.new_record(wanted, namespace.to_owned(), all)?;
        match chooses_images(&record.wanted) {
            false => Ok(record),
            true => Err(choice()),
        }
    }

    /// What the applications of these namespaces are by what is written down.
    pub(crate) fn plans_of(
        &self,
        namespaces: &BTreeMap<String, Value>,
    ) -> Result<Vec<ApplicationPlan>, Failure> {
        if namespaces.is_empty() {
            return Ok(Vec::new());
        }
        let all = self.state.applications()?;
        let is_own = |one: &&ApplicationRecord| {
            one.namespace().is_some_and(|namespace| namespaces.contains_key(namespace))
        };
        all.iter().filter(is_own).map(|one| self.plan(one, None)).collect()
    }

    /// Lets the instances of what was undone start as they did.
    pub(crate) async fn follow_undone(&self, switch: &Switch) {
        for change in &switch.changes {
            let Some(record) = change.undone() else {
                self.platform.remove_application(&change.namespace).await;
                continue;
            };
            if let Err(failure) = self.set(&record, None).await {
                tracing::error!(id = record.id, ?failure, "an application does not run");
            }
        }
    }

    /// Whether an application's instances are changed without its Worker's code.
    ///
    /// # Errors
    /// They switch together with it.
    pub(super) fn check_by_itself(&self, record: &ApplicationRecord) -> Result<(), Failure> {
        let namespace = record.namespace();
        let owner = self.state.scripts()?.into_iter().find(|script| {
            script.classes.iter().any(|class| Some(class.namespace_id.as_str()) == namespace)
        });
        match owner {
            Some(script) if is_atomic(&self.state, &script)? => Err(Failure::bad_request(format!(
                "VALIDATE_INPUT: the containers \"{}\" switch together with the code of the Worker \
                 \"{}\" (`berth.atomic`): deploy the project with `berth deploy`, which brings both",
                record.name(),
                script.name
            ))),
            _ => Ok(()),
        }
    }
}

/// Whether containers switch together with the code of what serves of a Worker.
pub(crate) fn is_atomic(state: &State, script: &Script) -> Result<bool, Failure> {
    let Some(current) = script.current else { return Ok(false) };
    Ok(state.version(script, current)?.atomic.is_some())
}

fn choice() -> Failure {
    Failure::bad_request(
        "VALIDATE_INPUT: the images of `scheduling_policy: \"durable_object\"` come with the Worker's \
         versions as they are; leave out `berth.atomic`",
    )
}

/// Whether an application's instances run already what an earlier version of its Worker wants.
fn runs_already(record: &ApplicationRecord, wanted: &Wanted) -> bool {
    matches!(wanted, Wanted::Configuration(configuration) if *configuration == record.settled())
}

/// Lays what a client wants over an application that is there.
fn lay_over(
    record: &mut ApplicationRecord,
    wanted: &Value,
    namespace: &str,
) -> Result<(), Failure> {
    check(wanted)?;
    let name = record.name().to_owned();
    merge(&mut record.wanted, wanted);
    record.wanted = with_limits(std::mem::take(&mut record.wanted));
    if chooses_images(&record.wanted) {
        return Err(choice());
    }
    if record.name() != name || record.namespace() != Some(namespace) {
        return Err(Failure::bad_request(format!(
            "VALIDATE_INPUT: the containers of this Durable Object class are \"{name}\" already, and \
             their name and their objects stay: delete them and deploy again, or keep the name"
        )));
    }
    Ok(())
}

/// A switch as a rollout: of one step, which is done as soon as it is written down.
fn remembered(record: &ApplicationRecord, previous: Value, said: &str) -> Rollout {
    let at = record.updated_at;
    let configuration = record.wanted["configuration"].clone();
    let run = StepRun {
        share: Share::ALL,
        started_at: at,
        stopped: 0,
        replaced_at: Some(at),
        completed_at: Some(at),
    };
    Rollout {
        id: Uuid::new_v4(),
        number: record.rollouts,
        created_at: at,
        updated_at: at,
        description: said.to_owned(),
        status: RolloutStatus::Completed,
        reason: "every instance runs the target, since the code does".into(),
        target_configuration: configuration.clone(),
        configuration,
        previous_configuration: Some(previous),
        kind: RolloutKind::FullAuto,
        steps: vec![100],
        descriptions: Vec::new(),
        runs: vec![run],
        wanted_steps: 1,
        reverting: false,
        previous_image: None,
    }
}
