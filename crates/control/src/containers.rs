//! Container applications: made, changed, rolled out, removed.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use store::{Store, Transaction};
use uuid::Uuid;

use crate::envelope::Failure;
use crate::plan::ApplicationPlan;
use crate::platform::Platform;
use crate::records::{ApplicationRecord, Rollout, RolloutStatus};
use crate::state::{Read, State, applications, bytes, key};
use crate::turns::Turns;
use crate::wanted::{check, merge, plan, steps, with_limits};

/// Container applications of an account.
#[derive(Clone)]
pub(crate) struct Containers {
    pub(crate) state: State,
    pub(crate) platform: Arc<dyn Platform>,
    /// Time between SIGTERM and SIGKILL.
    pub(crate) stop_grace: Duration,
    /// One change of an application at a time, and one of their names.
    pub(crate) turns: Turns,
}

/// The turn for a name: no two applications have one.
const NAMES: &str = "names";

impl Containers {
    /// Lets the instances of every application start, and goes on with rollouts that were cut off.
    pub(crate) async fn start_all(&self) -> Result<(), Failure> {
        for application in self.state.applications()? {
            if let Err(failure) = self.set(&application).await {
                tracing::error!(id = application.id, ?failure, "an application does not run");
            }
            let newest = self.state.rollouts(&application.id)?.into_iter().next();
            if let Some(rollout) = newest.filter(|it| it.status == RolloutStatus::Progressing) {
                self.go_on(application.id, rollout);
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
        let _turn = self.turns.of(NAMES).await;
        self.check_namespace(namespace)?;
        let now = Timestamp::now();
        let record = ApplicationRecord {
            id: Uuid::new_v4().to_string(),
            created_at: now,
            updated_at: now,
            version: 1,
            image: wanted["configuration"]["image"].as_str().map(str::to_owned),
            wanted: with_limits(wanted),
            rollouts: 0,
        };
        self.plan(&record)?;
        let all = self.state.applications()?;
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
        // An image that cannot be had leaves no application behind.
        self.set(&record).await?;
        let key = key::application(&record.id);
        let write = Transaction::new().if_absent(key.as_str()).put(key.as_str(), bytes(&record));
        self.state.commit(&write)?;
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
        let _turn = self.turns.of(id).await;
        let Read { value: mut record, revision } = self.state.application(id)?;
        let (name, namespace) = (json!(record.name()), json!(record.namespace()));
        merge(&mut record.wanted, changes);
        if (json!(record.name()), json!(record.namespace())) != (name, namespace) {
            return Err(Failure::bad_request(
                "VALIDATE_INPUT: the name and the Durable Objects of an application stay; delete it \
                 and make another",
            ));
        }
        record.wanted = with_limits(record.wanted);
        record.updated_at = Timestamp::now();
        self.plan(&record)?;
        let write = Transaction::new()
            .if_unchanged(key::application(id), Some(revision))
            .put(key::application(id), bytes(&record));
        self.state.commit(&write)?;
        self.set(&record).await?;
        Ok(record)
    }

    /// Brings the instances to a configuration, by steps: each replaces a part of those that ran when
    /// it began. They get SIGTERM and their grace, and their objects' next requests start new ones;
    /// what starts from now on runs the target.
    pub(crate) async fn roll_out(&self, id: &str, wanted: &Value) -> Result<Rollout, Failure> {
        let steps = steps(wanted)?;
        let target = wanted["target_configuration"].clone();
        if !target.is_object() {
            return Err(Failure::bad_request("VALIDATE_INPUT: target_configuration is missing"));
        }
        check(&json!({ "configuration": target }))?;
        let _turn = self.turns.of(id).await;
        let Read { value: mut record, revision } = self.state.application(id)?;
        let previous_image = record.image.clone();
        merge(&mut record.wanted, &json!({ "configuration": target }));
        record.wanted = with_limits(record.wanted);
        record.image = record.wanted["configuration"]["image"].as_str().map(str::to_owned);
        record.version += 1;
        record.rollouts += 1;
        record.updated_at = Timestamp::now();
        self.plan(&record)?;
        let rollout = Rollout {
            id: Uuid::new_v4(),
            number: record.rollouts,
            created_at: record.updated_at,
            updated_at: record.updated_at,
            description: wanted["description"].as_str().unwrap_or_default().to_owned(),
            status: RolloutStatus::Progressing,
            reason: "instances are being replaced".into(),
            target_configuration: target,
            steps,
            steps_done: 0,
            previous_image,
        };
        let write = Transaction::new()
            .if_unchanged(key::application(id), Some(revision))
            .put(key::application(id), bytes(&record))
            .put(key::rollout(id, rollout.number), bytes(&rollout));
        self.state.commit(&write)?;
        self.go_on(id.to_owned(), rollout.clone());
        Ok(rollout)
    }

    /// Carries a rollout out meanwhile: clients do not wait for its end, as instances may take their
    /// grace.
    fn go_on(&self, id: String, rollout: Rollout) {
        let containers = self.clone();
        tokio::spawn(async move {
            if let Err(failure) = containers.replace(&id, rollout).await {
                tracing::error!(id, ?failure, "a rollout is not written down");
            }
        });
    }

    async fn replace(&self, id: &str, mut rollout: Rollout) -> Result<(), Failure> {
        if !self.take_over(id, &mut rollout).await? {
            return Ok(());
        }
        let record = self.state.application(id)?.value;
        let namespace = record.namespace().unwrap_or_default();
        let running: Vec<String> =
            self.platform.instances(namespace).into_iter().map(|instance| instance.id).collect();
        let mut rest = running.as_slice();
        for (step, percentage) in rollout.steps.clone().into_iter().enumerate() {
            let stay = running.len() * (100 - percentage.min(100) as usize) / 100;
            let (now, later) = rest.split_at(rest.len().saturating_sub(stay));
            self.platform.stop_instances(now, self.stop_grace).await;
            rest = later;
            rollout.steps_done = step + 1;
            if later.is_empty() {
                rollout.steps_done = rollout.steps.len();
                rollout.status = RolloutStatus::Completed;
                rollout.reason = "every instance runs the target".into();
            }
            let _turn = self.turns.of(id).await;
            if !self.is_newest(id, &rollout)? {
                (rollout.status, rollout.reason) = replaced();
            }
            self.write(id, &mut rollout)?;
            if rollout.status != RolloutStatus::Progressing {
                break;
            }
        }
        Ok(())
    }

    /// Lets what starts from now on run the target; `false` if it cannot, or is not to any more.
    async fn take_over(&self, id: &str, rollout: &mut Rollout) -> Result<bool, Failure> {
        let _turn = self.turns.of(id).await;
        if !self.is_newest(id, rollout)? {
            (rollout.status, rollout.reason) = replaced();
            return self.write(id, rollout).map(|()| false);
        }
        let Read { value: mut record, revision } = self.state.application(id)?;
        let Err(failure) = self.set(&record).await else { return Ok(true) };
        // Instances run what they ran, also after the next start of this process.
        rollout.status = RolloutStatus::Reverted;
        rollout.reason = failure.message().to_owned();
        record.image.clone_from(&rollout.previous_image);
        let write = Transaction::new()
            .if_unchanged(key::application(id), Some(revision))
            .put(key::application(id), bytes(&record))
            .put(key::rollout(id, rollout.number), bytes(rollout));
        self.state.commit(&write)?;
        Ok(false)
    }

    /// Whether no other rollout came after it, and the application is there.
    fn is_newest(&self, id: &str, rollout: &Rollout) -> Result<bool, Failure> {
        let record = self.state.find_application(id)?;
        Ok(record.is_some_and(|record| record.value.rollouts == rollout.number))
    }

    /// Writes down where a rollout stands, if its application is still there.
    fn write(&self, id: &str, rollout: &mut Rollout) -> Result<(), Failure> {
        let Some(Read { revision, .. }) = self.state.find_application(id)? else { return Ok(()) };
        rollout.updated_at = Timestamp::now();
        let write = Transaction::new()
            .if_unchanged(key::application(id), Some(revision))
            .put(key::rollout(id, rollout.number), bytes(rollout));
        self.state.commit(&write)
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

    async fn set(&self, record: &ApplicationRecord) -> Result<(), Failure> {
        let plan = self.plan(record)?;
        self.platform
            .set_application(&plan)
            .await
            .map_err(|error| Failure::bad_request(format!("{}: {error}", record.name())))
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

    fn plan(&self, record: &ApplicationRecord) -> Result<ApplicationPlan, Failure> {
        plan(record, self.stop_grace)
    }
}

fn replaced() -> (RolloutStatus, String) {
    (RolloutStatus::Replaced, "another rollout came before it was done".into())
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
    let plans = records.and_then(|all| all.iter().map(|one| plan(one, stop_grace)).collect());
    plans.map_err(|failure: Failure| failure.message().to_owned())
}

#[cfg(test)]
mod tests;
