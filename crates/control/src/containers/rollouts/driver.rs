//! Who carries rollouts out.
//!
//! Each application that has a rollout has one driver: it reads the records, looks at the instances,
//! asks [`decide`] and does one thing, until the rollout is over. All it must remember is written down
//! before it is done, so that the driver of another process goes on in the middle of it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use model::Share;
use store::Transaction;
use tokio::sync::Notify;

use crate::containers::Containers;
use crate::envelope::Failure;
use crate::plan::InstanceStatus;
use crate::records::{ApplicationRecord, Rollout, RolloutStatus, StepRun};
use crate::rollout::{Decision, Seen, decide};
use crate::state::{Read, bytes, key};
use crate::wanted::{previous_configuration, target_configuration};

/// How often a driver looks at the instances.
const LOOK: Duration = Duration::from_millis(200);
/// How long it waits after something went wrong that may be well later.
const AGAIN: Duration = Duration::from_secs(5);

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

impl Containers {
    /// Lets a driver look at an application's rollout. The caller has the application's turn, or is the
    /// only one there is.
    pub(in crate::containers) fn wake(&self, id: &str) {
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
        let target = target_configuration(&record, rollout);
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
    pub(super) fn write(&self, id: &str, rollout: &mut Rollout) -> Result<(), Failure> {
        let Some(Read { revision, .. }) = self.state.find_application(id)? else { return Ok(()) };
        rollout.updated_at = Timestamp::now();
        let write = Transaction::new()
            .if_unchanged(key::application(id), Some(revision))
            .put(key::rollout(id, rollout.number), bytes(rollout));
        self.state.commit(&write)
    }
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
