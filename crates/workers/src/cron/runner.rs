//! Runs `scheduled()` when a schedule says so.

use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Schedule;
use crate::event::Event;
use crate::log::Events;
use crate::process::{ScheduledError, ScheduledOutcome, Serving, scheduled};

/// Longest sleep: the wall clock may jump, and the machine may sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(20);
/// How long a trigger waits for a process while one is being replaced.
const PROCESS_WAITS: Duration = Duration::from_secs(20);

/// Triggers forever; ends when aborted. A trigger that is still running does not delay the next.
pub(crate) async fn run(
    schedules: Vec<Schedule>,
    serving: watch::Receiver<Option<Serving>>,
    events: Events,
) {
    let mut triggers = JoinSet::new();
    let mut after = SystemTime::now();
    loop {
        let next = schedules.iter().filter_map(|schedule| schedule.next_after(after)).min();
        let Some(next) = next else { return };
        sleep_until(next, &mut triggers).await;
        // Minutes that the machine slept through are not made up for.
        let late =
            SystemTime::now().duration_since(next).is_ok_and(|late| late > LONGEST_SLEEP * 3);
        for schedule in schedules.iter().filter(|_| !late) {
            if schedule.next_after(after) == Some(next) {
                let cron = schedule.as_str().to_owned();
                triggers.spawn(trigger(cron, next, serving.clone(), events.clone()));
            }
        }
        after = if late { SystemTime::now() } else { next };
    }
}

async fn sleep_until(time: SystemTime, triggers: &mut JoinSet<()>) {
    while let Ok(left) = time.duration_since(SystemTime::now()) {
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
        while triggers.try_join_next().is_some() {}
    }
}

async fn trigger(
    cron: String,
    time: SystemTime,
    mut serving: watch::Receiver<Option<Serving>>,
    events: Events,
) {
    let process = serving.wait_for(Option::is_some);
    let control = tokio::time::timeout(PROCESS_WAITS, process)
        .await
        .ok()
        .and_then(|serving| serving.ok()?.as_ref().map(|serving| serving.control.clone()));
    let outcome = match control {
        Some(control) => scheduled(&control, &cron, time).await,
        None => Err(ScheduledError::NotRunning),
    };
    let outcome = match outcome {
        Ok(ScheduledOutcome { outcome, .. }) => Ok(outcome),
        Err(error) => Err(error.to_string()),
    };
    events.send(Event::Cron { expression: cron, outcome });
}
