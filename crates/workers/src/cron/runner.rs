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
    run_by(SystemTime::now, schedules, serving, events).await;
}

/// As [`run`], by a clock that tests can set.
async fn run_by(
    now: impl Fn() -> SystemTime,
    schedules: Vec<Schedule>,
    serving: watch::Receiver<Option<Serving>>,
    events: Events,
) {
    let mut triggers = JoinSet::new();
    let mut after = now();
    loop {
        let next = schedules.iter().filter_map(|schedule| schedule.next_after(after)).min();
        let Some(next) = next else { return };
        sleep_until(next, &now, &mut triggers).await;
        // Minutes that the machine slept through are not made up for.
        let late = now().duration_since(next).is_ok_and(|late| late > LONGEST_SLEEP * 3);
        for schedule in schedules.iter().filter(|_| !late) {
            if schedule.next_after(after) == Some(next) {
                let cron = schedule.as_str().to_owned();
                triggers.spawn(trigger(cron, next, serving.clone(), events.clone()));
            }
        }
        after = if late { now() } else { next };
    }
}

async fn sleep_until(time: SystemTime, now: &impl Fn() -> SystemTime, triggers: &mut JoinSet<()>) {
    while let Ok(left) = time.duration_since(now()) {
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

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    /// What was triggered, and in which minute after the start the trigger was told.
    async fn triggered(crons: &[&str], count: usize, jump: Duration) -> Vec<(String, u64)> {
        let schedules =
            crons.iter().map(|cron| Schedule::parse(cron).expect("an expression")).collect();
        let (events, mut receiver) = Events::channel(100);
        let (_serving, none) = watch::channel(None);
        let began = tokio::time::Instant::now();
        // 1 January 2026, 00:00:30; after ten minutes the clock jumps.
        let start = UNIX_EPOCH + Duration::from_secs(1_767_225_630);
        let now = move || {
            let passed = began.elapsed();
            start + passed + if passed > Duration::from_mins(10) { jump } else { Duration::ZERO }
        };
        let runner = tokio::spawn(run_by(now, schedules, none, events));
        let mut told = Vec::new();
        while told.len() < count {
            let Some(Event::Cron { expression, outcome }) = receiver.recv().await else { break };
            assert_eq!(outcome, Err("the Worker is not running".to_owned()));
            // The trigger waited for a process, which is not part of the schedule.
            told.push((expression, (began.elapsed() - PROCESS_WAITS).as_secs().div_ceil(60)));
        }
        runner.abort();
        told
    }

    #[tokio::test(start_paused = true)]
    async fn each_schedule_runs_at_its_minutes() {
        let told = triggered(&["*/2 * * * *", "3 * * * *"], 4, Duration::ZERO).await;
        let expected =
            [("*/2 * * * *", 2), ("3 * * * *", 3), ("*/2 * * * *", 4), ("*/2 * * * *", 6)];
        assert_eq!(told, expected.map(|(cron, minute)| (cron.to_owned(), minute)));
    }

    #[tokio::test(start_paused = true)]
    async fn minutes_that_the_machine_slept_through_are_not_made_up_for() {
        let told = triggered(&["*/9 * * * *"], 3, Duration::from_hours(5)).await;
        let minutes: Vec<u64> = told.into_iter().map(|(_, minute)| minute).collect();
        // 00:09; then the clock jumps from 00:10 to 05:10, and 05:18 and 05:27 follow.
        assert_eq!(minutes, [9, 18, 27]);
    }
}
