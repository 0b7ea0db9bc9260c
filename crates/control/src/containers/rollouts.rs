//! Rollouts of container applications: begun, moved by hand and forgotten.

mod driver;

use jiff::Timestamp;
use serde_json::{Value, json};
use store::Transaction;
use uuid::Uuid;

use super::Containers;
use crate::envelope::Failure;
use crate::records::{Rollout, RolloutKind, RolloutStatus};
use crate::state::{Read, bytes, key};
use crate::wanted::{
    check, chooses_images, merge, previous_configuration, rollout_kind, steps, with_limits,
};

pub(super) use driver::Drivers;

/// What somebody asks of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Begin the next step.
    Next,
    /// Undo the last step.
    Previous,
    /// Undo all steps.
    Revert,
}

impl Action {
    /// What a client asks for.
    ///
    /// # Errors
    /// It is none of these.
    pub(crate) fn parse(wanted: &Value) -> Result<Self, Failure> {
        match wanted["action"].as_str() {
            Some("next") => Ok(Self::Next),
            Some("previous") => Ok(Self::Previous),
            // The first clients said "rollback".
            Some("revert" | "rollback") => Ok(Self::Revert),
            _ => Err(refused(format!(
                "the `action` is {}, not \"next\", \"previous\" or \"revert\"",
                wanted["action"]
            ))),
        }
    }
}

fn refused(why: impl std::fmt::Display) -> Failure {
    Failure::bad_request(format!("VALIDATE_INPUT: {why}"))
}

impl Containers {
    /// Brings the instances to a configuration, by steps: each replaces those of a part of the objects.
    /// They get SIGTERM and their grace, and their objects' next requests start new ones.
    pub(crate) async fn roll_out(&self, id: &str, wanted: &Value) -> Result<Rollout, Failure> {
        let (steps, kind) = (steps(wanted)?, rollout_kind(wanted)?);
        let target = wanted["target_configuration"].clone();
        if !target.is_object() {
            return Err(refused("target_configuration is missing"));
        }
        check(&json!({ "configuration": target }))?;
        let _turn = self.turns.of(id).await;
        let Read { value: mut record, revision } = self.state.application(id)?;
        self.check_by_itself(&record)?;
        if chooses_images(&record.wanted) {
            return Err(refused(
                "the images of `scheduling_policy: \"durable_object\"` come with the Worker's versions",
            ));
        }
        let before = self.state.active_rollout(&record)?;
        // What is under way is not what instances are known to run well.
        let previous = match &before {
            Some(rollout) => previous_configuration(&record, rollout),
            None => record.settled(),
        };
        merge(&mut record.wanted, &json!({ "configuration": target }));
        record.wanted = with_limits(record.wanted);
        record.rollouts += 1;
        record.updated_at = Timestamp::now();
        let rollout = Rollout {
            id: Uuid::new_v4(),
            number: record.rollouts,
            created_at: record.updated_at,
            updated_at: record.updated_at,
            description: wanted["description"].as_str().unwrap_or_default().to_owned(),
            status: first_status(kind),
            reason: first_reason(kind).to_owned(),
            target_configuration: target,
            configuration: record.wanted["configuration"].clone(),
            previous_configuration: Some(previous),
            kind,
            descriptions: descriptions(wanted),
            wanted_steps: if kind == RolloutKind::FullAuto { steps.len() } else { 0 },
            steps,
            runs: Vec::new(),
            reverting: false,
            previous_image: None,
        };
        self.check_limits(&record, &self.state.applications()?, Some(&rollout))?;
        let mut write = Transaction::new()
            .if_unchanged(key::application(id), Some(revision))
            .put(key::application(id), bytes(&record))
            .put(key::rollout(id, rollout.number), bytes(&rollout));
        if let Some(before) = before {
            let before = before.replaced(record.updated_at);
            write = write.put(key::rollout(id, before.number), bytes(&before));
        }
        self.state.commit(&write)?;
        self.wake(id);
        Ok(rollout)
    }

    /// A rollout by its id.
    pub(crate) fn rollout(&self, id: &str, rollout: &str) -> Result<Rollout, Failure> {
        self.state.application(id)?;
        let all = self.state.rollouts(id)?;
        let found = all.into_iter().find(|one| one.id.to_string() == rollout);
        found.ok_or_else(|| Failure::no_rollout(rollout))
    }

    /// Moves a rollout.
    pub(crate) async fn update_rollout(
        &self,
        id: &str,
        rollout: &str,
        action: Action,
    ) -> Result<Rollout, Failure> {
        let _turn = self.turns.of(id).await;
        let mut rollout = self.rollout(id, rollout)?;
        moved(&mut rollout, action)?;
        self.write(id, &mut rollout)?;
        self.wake(id);
        Ok(rollout)
    }

    /// Forgets a rollout that is over.
    pub(crate) async fn remove_rollout(&self, id: &str, rollout: &str) -> Result<(), Failure> {
        let _turn = self.turns.of(id).await;
        let rollout = self.rollout(id, rollout)?;
        if !rollout.status.is_over() {
            return Err(refused("this rollout is under way; revert it first"));
        }
        let key = key::rollout(id, rollout.number);
        self.state.commit(&Transaction::new().delete(key))
    }
}

fn first_status(kind: RolloutKind) -> RolloutStatus {
    match kind {
        RolloutKind::FullAuto => RolloutStatus::Progressing,
        RolloutKind::FullManual => RolloutStatus::Pending,
    }
}

fn first_reason(kind: RolloutKind) -> &'static str {
    match kind {
        RolloutKind::FullAuto => "instances are being replaced",
        RolloutKind::FullManual => "it waits for the action \"next\"",
    }
}

fn descriptions(wanted: &Value) -> Vec<String> {
    let steps = wanted["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    steps.iter().map(|step| step["description"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Does what somebody asks of a rollout.
fn moved(rollout: &mut Rollout, action: Action) -> Result<(), Failure> {
    if rollout.status.is_over() || rollout.reverting {
        return Err(refused("this rollout is over; begin another one"));
    }
    let by_hand = rollout.kind == RolloutKind::FullManual;
    let steps = rollout.steps.len();
    match action {
        Action::Revert => {
            rollout.reverting = true;
            rollout.reason = "somebody asked for it".into();
        }
        _ if !by_hand => {
            return Err(refused(
                "this rollout goes by itself (`kind` is \"full_auto\"); \"revert\" works",
            ));
        }
        Action::Next if rollout.runs.last().is_some_and(|run| run.completed_at.is_none()) => {
            return Err(refused("the step before it is not done yet; ask again later"));
        }
        Action::Next if rollout.runs.len() >= steps => {
            return Err(refused("this rollout has no further step"));
        }
        Action::Next => {
            rollout.wanted_steps = rollout.runs.len() + 1;
            rollout.status = RolloutStatus::Progressing;
            rollout.reason = format!("step {} of {steps} is under way", rollout.wanted_steps);
        }
        Action::Previous => {
            if rollout.runs.pop().is_none() {
                return Err(refused("no step of this rollout has begun"));
            }
            rollout.wanted_steps = rollout.runs.len();
            if rollout.runs.is_empty() {
                rollout.status = RolloutStatus::Pending;
            }
            let step = rollout.runs.len();
            rollout.reason =
                format!("back at step {step} of {steps}; it waits for the action \"next\"");
        }
    }
    Ok(())
}
