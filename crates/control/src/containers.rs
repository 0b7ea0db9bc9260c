//! Container applications: made, changed, rolled out, removed.

mod instances;
mod preparations;
mod rollouts;
mod switch;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use store::{Store, Transaction};
use uuid::Uuid;

use crate::envelope::Failure;
use crate::limits::{self, AccountLimits, Use};
use crate::plan::ApplicationPlan;
use crate::platform::Platform;
use crate::records::{ApplicationRecord, Rollout};
use crate::ssh::Ssh;
use crate::state::{Read, State, applications, bytes, key};
use crate::turns::Turns;
use crate::wanted::{check, chooses_images, merge, plan, with_limits};

pub(crate) use preparations::Preparation;
use preparations::Preparations;
pub(crate) use rollouts::Action;
use rollouts::Drivers;
pub(crate) use switch::{Switch, Wanted, is_atomic};

/// Container applications of an account.
#[derive(Clone)]
pub(crate) struct Containers {
    pub(crate) state: State,
    pub(crate) platform: Arc<dyn Platform>,
    /// Time between SIGTERM and SIGKILL.
    pub(crate) stop_grace: Duration,
    /// What all instances together may use.
    pub(crate) limits: AccountLimits,
    /// One change of an application at a time, and one of their names.
    turns: Turns,
    /// Who carries rollouts out.
    drivers: Drivers,
    /// Images that clients wait for.
    preparations: Preparations,
    /// Who is on the way into an instance.
    pub(crate) ssh: Ssh,
}

/// The turn for a name: no two applications have one.
const NAMES: &str = "names";

impl Containers {
    pub(crate) fn new(
        state: State,
        platform: Arc<dyn Platform>,
        stop_grace: Duration,
        limits: AccountLimits,
        ssh: Ssh,
    ) -> Self {
        let (turns, drivers) = (Turns::default(), Drivers::default());
        let preparations = Preparations::default();
        Self { state, platform, stop_grace, limits, turns, drivers, preparations, ssh }
    }

    /// Lets the instances of every application start, and goes on with rollouts that were cut off.
    pub(crate) async fn start_all(&self) -> Result<(), Failure> {
        self.tell_registries();
        for application in self.state.applications()? {
            let rollout = self.state.active_rollout(&application)?;
            if let Err(failure) = self.set(&application, rollout.as_ref()).await {
                tracing::error!(id = application.id, ?failure, "an application does not run");
            }
            if rollout.is_some() {
                self.wake(&application.id);
            }
        }
        Ok(())
    }

    pub(crate) async fn create(&self, wanted: Value) -> Result<ApplicationRecord, Failure> {
        check(&wanted)?;
        let namespace = wanted["durable_objects"]["namespace_id"].as_str().ok_or_else(|| {
            Failure::bad_request(
                "VALIDATE_INPUT: durable_objects.namespace_id is missing: Berth runs containers of \
                 Durable Objects",
            )
        })?;
        let namespace = namespace.to_owned();
        let _turn = self.turns.of(NAMES).await;
        self.check_namespace(&namespace)?;
        let record = self.new_record(wanted, namespace, &self.state.applications()?)?;
        self.check_by_itself(&record)?;
        // An image that cannot be had leaves no application behind.
        self.set(&record, None).await?;
        let key = key::application(&record.id);
        let write = Transaction::new().if_absent(key.as_str()).put(key.as_str(), bytes(&record));
        self.state.commit(&write)?;
        Ok(record)
    }

    /// A new application of a namespace, which makes sense beside all others; nothing is written yet.
    fn new_record(
        &self,
        wanted: Value,
        namespace: String,
        all: &[ApplicationRecord],
    ) -> Result<ApplicationRecord, Failure> {
        let now = Timestamp::now();
        let mut record = ApplicationRecord {
            id: match chooses_images(&wanted) {
                true => namespace,
                false => Uuid::new_v4().to_string(),
            },
            created_at: now,
            updated_at: now,
            version: 1,
            image: wanted["configuration"]["image"].as_str().map(str::to_owned),
            wanted: with_limits(wanted),
            rollouts: 0,
            settled: None,
        };
        record.settled = Some(record.configuration());
        self.check_limits(&record, all, None)?;
        if all.iter().any(|other| other.name() == record.name()) {
            let message = format!("APPLICATION_EXISTS: \"{}\" is there already", record.name());
            return Err(Failure::new(http::StatusCode::CONFLICT, 1000, message));
        }
        if let Some(other) = all.iter().find(|other| other.namespace() == record.namespace()) {
            let message = format!(
                "VALIDATE_INPUT: the containers of this Durable Object class are \"{}\" already",
                other.name()
            );
            return Err(Failure::bad_request(message));
        }
        Ok(record)
    }

    /// Takes over what is wanted from now on. Limits hold for the next starts; the image comes by a
    /// rollout alone.
    pub(crate) async fn modify(
        &self,
        id: &str,
        changes: &Value,
    ) -> Result<ApplicationRecord, Failure> {
        check(changes)?;
        // What all may use together is looked at: one change of it at a time.
        let _turns = self.turns.of_all([NAMES, id]).await;
        let Read { value: mut record, revision } = self.state.application(id)?;
        let (name, namespace) = (json!(record.name()), json!(record.namespace()));
        let chooses = chooses_images(&record.wanted);
        let configuration = record.wanted["configuration"].clone();
        merge(&mut record.wanted, changes);
        if chooses_images(&record.wanted) != chooses {
            return Err(Failure::bad_request(
                "VALIDATE_INPUT: the scheduling_policy of an application stays; delete it and make \
                 another",
            ));
        }
        if chooses {
            check(&record.wanted)?;
        }
        if (json!(record.name()), json!(record.namespace())) != (name, namespace) {
            return Err(Failure::bad_request(
                "VALIDATE_INPUT: the name and the Durable Objects of an application stay; delete it \
                 and make another",
            ));
        }
        record.wanted = with_limits(record.wanted);
        if record.wanted["configuration"] != configuration {
            self.check_by_itself(&record)?;
        }
        record.updated_at = Timestamp::now();
        let rollout = self.state.active_rollout(&record)?;
        self.check_limits(&record, &self.state.applications()?, rollout.as_ref())?;
        let write = Transaction::new()
            .if_unchanged(key::application(id), Some(revision))
            .put(key::application(id), bytes(&record));
        self.state.commit(&write)?;
        self.set(&record, rollout.as_ref()).await?;
        Ok(record)
    }

    pub(crate) async fn remove(&self, id: &str) -> Result<(), Failure> {
        let _turn = self.turns.of(id).await;
        let Read { value: record, revision } = self.state.application(id)?;
        let first = Transaction::new()
            .if_unchanged(key::application(id), Some(revision))
            .delete(key::application(id));
        self.state.remove_below(&[key::rollouts(id)], first)?;
        if let Some(namespace) = record.namespace() {
            self.platform.remove_application(namespace).await;
        }
        Ok(())
    }

    /// Lets the instances start that the records speak of.
    async fn set(
        &self,
        record: &ApplicationRecord,
        rollout: Option<&Rollout>,
    ) -> Result<(), Failure> {
        let plan = self.plan(record, rollout)?;
        self.platform
            .set_application(&plan)
            .await
            .map_err(|error| Failure::bad_request(format!("{}: {error}", record.name())))
    }

    /// Whether an application makes sense, and all of them stay within the account's limits. What its
    /// objects choose themselves counts for nothing: there is no number of them.
    fn check_limits(
        &self,
        record: &ApplicationRecord,
        all: &[ApplicationRecord],
        rollout: Option<&Rollout>,
    ) -> Result<(), Failure> {
        self.plan(record, rollout)?;
        let used = |record: &ApplicationRecord| {
            let application = self.plan(record, None).ok()?.application;
            (!chooses_images(&record.wanted)).then(|| Use {
                name: record.name().to_owned(),
                instance_type: application.instance_type,
                max_instances: u64::from(application.max_instances),
            })
        };
        let Some(wanted) = used(record) else { return Ok(()) };
        let others = all.iter().filter(|other| other.id != record.id).filter_map(used);
        limits::check(&wanted, &others.collect::<Vec<_>>(), &self.limits)
    }

    /// A namespace must be some Worker's.
    fn check_namespace(&self, id: &str) -> Result<(), Failure> {
        let scripts = self.state.scripts()?;
        let mut classes = scripts.iter().flat_map(|script| &script.classes);
        match classes.any(|class| class.namespace_id == id) {
            true => Ok(()),
            false => Err(Failure::bad_request(format!(
                "DURABLE_OBJECT_NOT_FOUND: no Worker has a Durable Object namespace {id}"
            ))),
        }
    }

    fn plan(
        &self,
        record: &ApplicationRecord,
        rollout: Option<&Rollout>,
    ) -> Result<ApplicationPlan, Failure> {
        plan(record, rollout, self.stop_grace)
    }
}

/// What may run, as it is written down: what a node must know before it takes up what still runs.
///
/// # Errors
/// The records cannot be read.
pub fn planned_applications(
    store: &Arc<dyn Store>,
    stop_grace: Duration,
) -> Result<Vec<ApplicationPlan>, String> {
    let records = applications(store.as_ref());
    let plans = records.and_then(|all| all.iter().map(|one| plan(one, None, stop_grace)).collect());
    plans.map_err(|failure: Failure| failure.message().to_owned())
}

#[cfg(test)]
mod tests;
