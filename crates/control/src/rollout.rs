//! What happens next in a rollout: decided from its record, what its instances do, and how long they and
//! the step have done so. Pure. No time here is of the clock on the wall, which may be set meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use model::DurableObjectId;
use model::limits::CONNECT_HOLD_WINDOW;

use crate::plan::{InstanceFailure, InstanceStatus, InstanceView};
use crate::records::{Rollout, RolloutStatus, StepRun};

/// How long a step waits for the first request to what it has replaced.
pub(crate) const QUIET: Duration = Duration::from_secs(10);
/// When an instance must listen that somebody wants to reach; one that nobody has asked for a port
/// is well after that time, too.
pub(crate) const READY_WITHIN: Duration = CONNECT_HOLD_WINDOW;
/// How long a step waits for instances that do not even start, such as those that have no place.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is seen of an application.
#[derive(Debug)]
pub(crate) struct Seen {
    /// When the step under way began, if that was in this process: it knows of no failure before itself.
    pub(crate) began: Option<Instant>,
    /// How long ago this process first saw that all instances of the step have ended that were to.
    pub(crate) waited: Duration,
    pub(crate) instances: Vec<InstanceView>,
    pub(crate) failures: Vec<InstanceFailure>,
    /// Instances that ran something else than the target when they were seen.
    pub(crate) old: BTreeSet<String>,
    /// How long an instance has run at least before it is replaced.
    pub(crate) active_grace: Duration,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Look again later.
    Wait,
    /// End these instances.
    Stop(Vec<String>),
    /// Begin the next step.
    Begin,
    /// Write down that all instances of the step have ended that were to.
    Replaced,
    /// Write down that the step is done.
    Finish,
    /// Go back to what was before, for this reason.
    Revert(String),
    /// It is over.
    End(RolloutStatus),
}

/// What happens next in a rollout that is not over.
pub(crate) fn decide(rollout: &Rollout, seen: &Seen) -> Decision {
    let misplaced = misplaced(rollout, seen);
    let step = rollout.runs.last().filter(|run| run.completed_at.is_none() && !rollout.reverting);
    let health = step.map(|run| Health::of(rollout, run, seen));
    if let Some(reason) = health.as_ref().and_then(Health::why_revert) {
        return Decision::Revert(reason);
    }
    let due: Vec<String> = misplaced
        .iter()
        .filter(|one| one.status != InstanceStatus::Stopping && is_eligible(rollout, one, seen))
        .map(|one| one.id.clone())
        .collect();
    if !due.is_empty() {
        return Decision::Stop(due);
    }
    if !misplaced.is_empty() {
        return Decision::Wait;
    }
    match (step, health) {
        _ if rollout.reverting => Decision::End(RolloutStatus::Reverted),
        (Some(run), Some(health)) => finish(run, &health, seen.waited),
        _ if rollout.runs.len() >= rollout.steps.len() => Decision::End(RolloutStatus::Completed),
        _ if rollout.runs.len() < rollout.wanted_steps => Decision::Begin,
        _ => Decision::Wait,
    }
}

/// Live instances that run what their objects are not to run now.
fn misplaced<'a>(rollout: &Rollout, seen: &'a Seen) -> Vec<&'a InstanceView> {
    let share = rollout.share();
    let wrong = |one: &&InstanceView| {
        let live = one.status.is_live() || one.status == InstanceStatus::Stopping;
        live && share.contains(&one.object) != (one.version == rollout.target_version())
    };
    seen.instances.iter().filter(wrong).collect()
}

/// Whether an instance may be ended now: what a rollout has started itself always may.
fn is_eligible(rollout: &Rollout, one: &InstanceView, seen: &Seen) -> bool {
    one.version == rollout.target_version()
        || one.running_for.is_none_or(|time| time >= seen.active_grace)
}

/// A step whose old instances are gone.
fn finish(run: &StepRun, health: &Health, waited: Duration) -> Decision {
    if run.replaced_at.is_none() {
        return Decision::Replaced;
    }
    let known = health.starting == 0 && health.ready.len() >= run.stopped;
    let quiet = health.starting == 0 && waited >= QUIET;
    match known || quiet || waited >= PATIENCE {
        true => Decision::Finish,
        false => Decision::Wait,
    }
}

/// How the new instances of a step are.
#[derive(Debug, Default)]
struct Health<'a> {
    ready: BTreeSet<&'a DurableObjectId>,
    failed: BTreeMap<&'a DurableObjectId, String>,
    starting: usize,
}

impl<'a> Health<'a> {
    fn of(rollout: &Rollout, run: &StepRun, seen: &'a Seen) -> Self {
        let mut health = Self::default();
        for failure in &seen.failures {
            let before = seen.began.is_some_and(|began| failure.at < began);
            let new = !before && !seen.old.contains(&failure.id);
            if new && run.share.contains(&failure.object) {
                health.failed.insert(&failure.object, failure.reason.clone());
            }
        }
        for one in &seen.instances {
            if one.version == rollout.target_version() && run.share.contains(&one.object) {
                health.add(one);
            }
        }
        health
    }

    fn add(&mut self, one: &'a InstanceView) {
        let is_late = one.running_for.is_some_and(|time| time >= READY_WITHIN);
        match one.status {
            InstanceStatus::Running if one.listens => self.is_ready(&one.object),
            InstanceStatus::Running if is_late => match one.silent_port {
                None => self.is_ready(&one.object),
                Some(port) => {
                    let seconds = READY_WITHIN.as_secs();
                    let reason = format!("does not listen on port {port} after {seconds} s");
                    self.failed.insert(&one.object, reason);
                }
            },
            InstanceStatus::Running | InstanceStatus::Placed => self.starting += 1,
            InstanceStatus::Stopped => self.is_ready(&one.object),
            InstanceStatus::Stopping | InstanceStatus::Failed => {}
        }
    }

    /// Its object got an instance that is well, whatever happened to those before.
    fn is_ready(&mut self, object: &'a DurableObjectId) {
        self.failed.remove(object);
        self.ready.insert(object);
    }

    /// A rollout goes on while no more objects have a new instance that failed than have one that is
    /// well.
    fn why_revert(&self) -> Option<String> {
        let (failed, ready) = (self.failed.len(), self.ready.len());
        let (object, reason) = self.failed.first_key_value()?;
        (failed > ready).then(|| {
            let all = failed + ready;
            format!("{failed} of {all} new instances failed; that of {}… {reason}", object.short())
        })
    }
}

#[cfg(test)]
mod tests;
