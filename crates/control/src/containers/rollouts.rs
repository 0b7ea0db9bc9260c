//! Rollouts of container applications: begun, moved by hand, and carried out.
//!
//! Each application that has a rollout has one driver: it reads the records, looks at the instances,
//! asks [`decide`] and does one thing, until the rollout is over. All it must remember is written down
//! before it is done, so that the driver of another process goes on in the middle of it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use model::Share;
use serde_json::{Value, json};
use store::Transaction;
use tokio::sync::Notify;
use uuid::Uuid;

use super::Containers;
use crate::envelope::Failure;
use crate::plan::InstanceStatus;
use crate::records::{ApplicationRecord, Rollout, RolloutKind, RolloutStatus, StepRun};
use crate::rollout::{Decision, Seen, decide};
use crate::state::{Read, bytes, key};
use crate::wanted::{
    check, chooses_images, merge, previous_configuration, rollout_kind, steps, with_limits,
};

/// How often a driver looks at the instances.
const LOOK: Duration = Duration::from_millis(200);
/// How long it waits after something went wrong that may be well later.
const AGAIN: Duration = Duration::from_secs(5);

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

/// The drivers that run, by the ids of their applications; clones are the same ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drivers(Arc<Mutex<HashMap<String, Arc<Notify>>>>);

impl Drivers {
    /// Wakes the driver of an application; if there is none, what wakes the one that is to run now.
    fn wake(&self, id: &str) -> Option<Arc<Notify>> {
        let mut drivers = self.0.lock().expect("no holder of this lock panics");
        match drivers.get(id) {
            Some(driver) => {
                driver.notify_one();
                None
            }
            None => Some(Arc::clone(drivers.entry(id.to_owned()).or_default())),
        }
    }

    fn end(&self, id: &str) {
        self.0.lock().expect("no holder of this lock panics").remove(id);
    }
}

/// What a driver knows that is not written down.
#[derive(Debug, Default)]
struct Known {
    /// The rollout's number, share and direction that instances start by.
    set: Option<(u32, Share, bool)>,
    /// Instances that ran something else than the target.
    old: BTreeSet<String>,
    /// Instances that were told to end.
    told: BTreeSet<String>,
    /// Those of them that ran and so do end.
    ending: BTreeSet<String>,
    /// When a step began, and when its old instances were first seen gone.
    began: Option<(Step, Instant)>,
    replaced: Option<(Step, Instant)>,
}

/// A step that has begun: its rollout's number, and its own.
type Step = (u32, usize);

fn step_of(rollout: &Rollout) -> Step {
    (rollout.number, rollout.runs.len())
}

/// When that was for this step.
fn moment(of: Option<(Step, Instant)>, step: Step) -> Option<Instant> {
    of.filter(|(known, _)| *known == step).map(|(_, at)| at)
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

    /// Lets a driver look at an application's rollout. The caller has the application's turn, or is the
    /// only one there is.
    pub(super) fn wake(&self, id: &str) {
        let Some(woken) = self.drivers.wake(id) else { return };
        let (containers, id) = (self.clone(), id.to_owned());
        tokio::spawn(async move { containers.drive(&id, &woken).await });
    }

    async fn drive(&self, id: &str, woken: &Notify) {
        let mut known = Known::default();
        loop {
            let pause = match self.step(id, &mut known).await {
                Ok(Some(pause)) => pause,
                Ok(None) => return,
                Err(failure) => {
                    tracing::error!(id, ?failure, "a rollout does not go on yet");
                    AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = woken.notified() => {}
            }
        }
    }

    /// Does one thing; how long to wait until the next, or nothing if there is none.
    async fn step(&self, id: &str, known: &mut Known) -> Result<Option<Duration>, Failure> {
        let _turn = self.turns.of(id).await;
        let record = self.state.find_application(id)?.map(|read| read.value);
        let rollout =
            record.as_ref().map(|record| self.state.active_rollout(record)).transpose()?;
        let (Some(record), Some(Some(mut rollout))) = (record, rollout) else {
            self.drivers.end(id);
            return Ok(None);
        };
        let wanted = (rollout.number, rollout.share(), rollout.reverting);
        if known.set != Some(wanted) {
            match self.set(&record, Some(&rollout)).await {
                Err(failure) if !rollout.reverting => {
                    self.revert(id, &mut rollout, failure.message())?;
                    return Ok(Some(Duration::ZERO));
                }
                Err(failure) => return Err(failure),
                Ok(()) => known.set = Some(wanted),
            }
        }
        let seen = self.look(&record, &rollout, known);
        let decision = decide(&rollout, &seen);
        if decision == Decision::Wait {
            return Ok(Some(LOOK));
        }
        tracing::info!(id, number = rollout.number, ?decision, "rollout");
        if let Decision::Stop(ids) = decision {
            self.stop(id, &mut rollout, ids, &seen, known)?;
            return Ok(Some(LOOK));
        }
        self.carry_out(&record, &mut rollout, decision, (&seen, known)).await?;
        Ok(Some(Duration::ZERO))
    }

    fn look(&self, record: &ApplicationRecord, rollout: &Rollout, known: &mut Known) -> Seen {
        let mut instances = self.platform.instances(record.namespace().unwrap_or_default());
        let is_there = |id: &String| instances.iter().any(|one| one.id == *id);
        known.told.retain(is_there);
        known.ending.retain(is_there);
        for one in &mut instances {
            if one.version != rollout.target_version() {
                known.old.insert(one.id.clone());
            }
            if one.status == InstanceStatus::Running && known.ending.contains(&one.id) {
                one.status = InstanceStatus::Stopping;
            }
        }
        let step = step_of(rollout);
        if rollout.runs.last().is_some_and(|run| run.replaced_at.is_some())
            && moment(known.replaced, step).is_none()
        {
            known.replaced = Some((step, Instant::now()));
        }
        Seen {
            began: moment(known.began, step),
            waited: moment(known.replaced, step).map_or(Duration::ZERO, |at| at.elapsed()),
            failures: self.platform.failures(record.name()),
            instances,
            old: known.old.clone(),
            active_grace: record.active_grace(),
        }
    }

    async fn carry_out(
        &self,
        record: &ApplicationRecord,
        rollout: &mut Rollout,
        decision: Decision,
        (seen, known): (&Seen, &mut Known),
    ) -> Result<(), Failure> {
        let id = &record.id;
        match decision {
            Decision::Wait | Decision::Stop(_) => Ok(()),
            Decision::Begin => {
                begin(rollout, seen);
                known.began = Some((step_of(rollout), Instant::now()));
                known.replaced = None;
                self.write(id, rollout)
            }
            Decision::Replaced => {
                if let Some(run) = rollout.runs.last_mut() {
                    run.replaced_at = Some(Timestamp::now());
                }
                self.write(id, rollout)
            }
            Decision::Finish => {
                finish(rollout, Timestamp::now());
                self.write(id, rollout)
            }
            Decision::Revert(reason) => self.revert(id, rollout, &reason),
            Decision::End(status) => self.end_rollout(rollout, status, id).await,
        }
    }

    /// Tells instances to end. Nobody waits for that: they may take their grace.
    fn stop(
        &self,
        id: &str,
        rollout: &mut Rollout,
        ids: Vec<String>,
        seen: &Seen,
        known: &mut Known,
    ) -> Result<(), Failure> {
        let new = ids.iter().filter(|one| !known.told.contains(*one)).count();
        if let Some(run) = rollout.runs.last_mut().filter(|run| run.completed_at.is_none()) {
            run.stopped += new;
        }
        self.write(id, rollout)?;
        known.told.extend(ids.iter().cloned());
        // One that has not even started is told again, until it is gone or runs.
        let running = seen.instances.iter().filter(|one| one.status == InstanceStatus::Running);
        let running = running.map(|one| &one.id).filter(|one| ids.contains(one));
        known.ending.extend(running.cloned());
        let (platform, grace) = (Arc::clone(&self.platform), self.stop_grace);
        tokio::spawn(async move { platform.stop_instances(&ids, grace).await });
        Ok(())
    }

    fn revert(&self, id: &str, rollout: &mut Rollout, reason: &str) -> Result<(), Failure> {
        rollout.reverting = true;
        reason.clone_into(&mut rollout.reason);
        self.write(id, rollout)
    }

    /// What was under way holds from now on, or what was before it does again.
    async fn end_rollout(
        &self,
        rollout: &mut Rollout,
        status: RolloutStatus,
        id: &str,
    ) -> Result<(), Failure> {
        let Read { value: mut record, revision } = self.state.application(id)?;
        let target = crate::wanted::target_configuration(&record, rollout);
        let settled = match status {
            RolloutStatus::Completed => {
                record.version = rollout.target_version();
                "every instance runs the target".clone_into(&mut rollout.reason);
                target
            }
            _ => {
                let previous = previous_configuration(&record, rollout);
                // The client is shown what runs, unless it has asked for something else by now.
                if record.wanted["configuration"] == target {
                    record.wanted["configuration"] = previous.clone();
                }
                previous
            }
        };
        record.image = settled["image"].as_str().map(str::to_owned);
        record.settled = Some(settled);
        record.updated_at = Timestamp::now();
        rollout.status = status;
        rollout.updated_at = record.updated_at;
        let write = Transaction::new()
            .if_unchanged(key::application(id), Some(revision))
            .put(key::application(id), bytes(&record))
            .put(key::rollout(id, rollout.number), bytes(rollout));
        self.state.commit(&write)?;
        self.set(&record, None).await
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

/// The next step begins.
fn begin(rollout: &mut Rollout, seen: &Seen) {
    let step = rollout.runs.len();
    let percentage = rollout.steps.get(step).copied().unwrap_or(100);
    let live = seen.instances.iter().filter(|one| one.status.is_live());
    let objects: Vec<_> = live.map(|one| one.object.clone()).collect();
    let share = Share::percent_of(percentage, &objects).max(rollout.share());
    rollout.runs.push(StepRun {
        share,
        started_at: Timestamp::now(),
        stopped: 0,
        replaced_at: None,
        completed_at: None,
    });
    rollout.status = RolloutStatus::Progressing;
    rollout.reason = format!("step {} of {} is under way", step + 1, rollout.steps.len());
}

/// The current step is done.
fn finish(rollout: &mut Rollout, now: Timestamp) {
    if let Some(run) = rollout.runs.last_mut() {
        run.completed_at = Some(now);
    }
    let (done, all) = (rollout.runs.len(), rollout.steps.len());
    let waits = if done < all && done >= rollout.wanted_steps {
        "; it waits for the action \"next\""
    } else {
        ""
    };
    rollout.reason = format!("step {done} of {all} is done{waits}");
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
