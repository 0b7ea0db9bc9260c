//! Runs `scheduled()` when a schedule says so.

use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Runs, Schedule};
use crate::event::Event;
use crate::log::Events;
use crate::process::{ScheduledError, ScheduledOutcome, Serving, scheduled};

/// Longest sleep: the wall clock may jump, and the machine may sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// What is later than that was missed.
const LATE: Duration = Duration::from_secs(60);
/// How long a trigger waits for a process while one is being replaced.
const PROCESS_WAITS: Duration = Duration::from_secs(20);

/// Triggers forever; ends when aborted. A trigger that is still running does not delay the next.
/// What was missed before is made up for first, if it is known what that is: the last minute of each
/// schedule, once.
pub(crate) async fn run(
    schedules: Vec<Schedule>,
    runs: Runs,
    serving: watch::Receiver<Option<Serving>>,
    events: Events,
) {
    run_by(SystemTime::now, schedules, Triggers { runs, serving, events }).await;
}

/// As [`run`], by a clock that tests can set.
async fn run_by(now: impl Fn() -> SystemTime, schedules: Vec<Schedule>, of: Triggers) {
    let mut triggers = JoinSet::new();
    let mut after = now();
    of.runs.count(&schedules, after);
    make_up(&schedules, after, &of, &mut triggers);
    loop {
        let next = schedules.iter().filter_map(|schedule| schedule.next_after(after)).min();
        let Some(next) = next else { return };
        if let Woken::SetBack(time) = sleep_until(next, after, &now, &mut triggers).await {
            tracing::info!("the clock was set back; crons go on by what it says now");
            after = time;
            continue;
        }
        // The machine slept: its minutes are not run one after the other.
        let late = now().duration_since(next).is_ok_and(|late| late > LATE);
        for schedule in schedules.iter().filter(|_| !late) {
            if schedule.next_after(after) == Some(next) && !of.runs.is_repeat(schedule, next) {
                of.spawn(schedule, Run { minute: next, missed: false }, &mut triggers);
            }
        }
        after = if late { now() } else { next };
        if late {
            make_up(&schedules, after, &of, &mut triggers);
        }
    }
}

fn make_up(schedules: &[Schedule], now: SystemTime, of: &Triggers, triggers: &mut JoinSet<()>) {
    for schedule in schedules {
        if let Some(minute) = of.runs.missed(schedule, now) {
            of.spawn(schedule, Run { minute, missed: true }, triggers);
        }
    }
}

/// Why a sleep is over.
#[derive(Debug)]
enum Woken {
    /// It is time.
    Due,
    /// The clock says this, which is before the sleep began.
    SetBack(SystemTime),
}

/// Sleeps until `time`, from some moment after `after` on.
async fn sleep_until(
    time: SystemTime,
    after: SystemTime,
    now: &impl Fn() -> SystemTime,
    triggers: &mut JoinSet<()>,
) -> Woken {
    loop {
        let now = now();
        if now < after {
            return Woken::SetBack(now);
        }
        let left = time.duration_since(now).unwrap_or_default();
        if left.is_zero() {
            return Woken::Due;
        }
        tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
        while triggers.try_join_next().is_some() {}
    }
}

/// A run of a schedule.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// The minute it belongs to.
    minute: SystemTime,
    /// Whether that is long ago.
    missed: bool,
}

/// What every trigger needs.
#[derive(Debug, Clone)]
struct Triggers {
    runs: Runs,
    serving: watch::Receiver<Option<Serving>>,
    events: Events,
}

impl Triggers {
    fn spawn(&self, schedule: &Schedule, run: Run, triggers: &mut JoinSet<()>) {
        self.runs.begin(schedule.as_str(), run.minute);
        triggers.spawn(self.clone().trigger(schedule.as_str().to_owned(), run));
    }

    async fn trigger(mut self, expression: String, run: Run) {
        let process = self.serving.wait_for(Option::is_some);
        let control = tokio::time::timeout(PROCESS_WAITS, process)
            .await
            .ok()
            .and_then(|serving| serving.ok()?.as_ref().map(|serving| serving.control.clone()));
        let outcome = match control {
            Some(control) => scheduled(&control, &expression, run.minute).await,
            None => Err(ScheduledError::NotRunning),
        };
        let outcome = match outcome {
            Ok(ScheduledOutcome { outcome, .. }) => {
                let (runs, cron) = (self.runs.clone(), expression.clone());
                let written = tokio::task::spawn_blocking(move || runs.end(&cron, run.minute));
                if let Err(error) = written.await {
                    tracing::warn!(%error, "write down a run");
                }
                Ok(outcome)
            }
            Err(error) => Err(error.to_string()),
        };
        let missed = run.missed.then_some(run.minute);
        self.events.send(Event::Cron { expression, outcome, missed });
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    /// What the clock does after ten minutes.
    #[derive(Debug, Clone, Copy)]
    enum Jump {
        Forward(Duration),
        Back(Duration),
    }

    const NONE: Jump = Jump::Forward(Duration::ZERO);

    /// What was triggered, and in which minute after the start the trigger was told.
    async fn triggered(crons: &[&str], count: usize, jump: Jump) -> Vec<(String, u64)> {
        let schedules =
            crons.iter().map(|cron| Schedule::parse(cron).expect("an expression")).collect();
        let (events, mut receiver) = Events::channel(100);
        let (_serving, none) = watch::channel(None);
        let began = tokio::time::Instant::now();
        // 1 January 2026, 00:00:30; after ten minutes the clock jumps.
        let start = UNIX_EPOCH + Duration::from_secs(1_767_225_630);
        let now = move || {
            let passed = began.elapsed();
            match jump {
                _ if passed <= Duration::from_mins(10) => start + passed,
                Jump::Forward(by) => start + passed + by,
                Jump::Back(by) => start + passed - by,
            }
        };
        let of = Triggers { runs: Runs::default(), serving: none, events };
        let runner = tokio::spawn(run_by(now, schedules, of));
        let mut told = Vec::new();
        while told.len() < count {
            let Some(Event::Cron { expression, outcome, missed }) = receiver.recv().await else {
                break;
            };
            assert_eq!(missed, None);
            assert_eq!(outcome, Err("the Worker is not running".to_owned()));
            // The trigger waited for a process, which is not part of the schedule.
            told.push((expression, (began.elapsed() - PROCESS_WAITS).as_secs().div_ceil(60)));
        }
        runner.abort();
        told
    }

    #[tokio::test(start_paused = true)]
    async fn each_schedule_runs_at_its_minutes() {
        let told = triggered(&["*/2 * * * *", "3 * * * *"], 4, NONE).await;
        let expected =
            [("*/2 * * * *", 2), ("3 * * * *", 3), ("*/2 * * * *", 4), ("*/2 * * * *", 6)];
        assert_eq!(told, expected.map(|(cron, minute)| (cron.to_owned(), minute)));
    }

    #[tokio::test(start_paused = true)]
    async fn minutes_that_the_machine_slept_through_are_not_run_one_by_one() {
        // 00:09; then the clock jumps from 00:10 to 05:10, and 05:18 and 05:27 follow.
        assert_eq!(minutes(Jump::Forward(Duration::from_hours(5))).await, [9, 18, 27]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_holds_no_schedule_up() {
        // 00:09; then the clock jumps from 00:10 to 19:10 of the day before, and 19:18 and 19:27 follow.
        assert_eq!(minutes(Jump::Back(Duration::from_hours(5))).await, [9, 18, 27]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_put_right_by_a_little_runs_nothing_twice() {
        // 00:09; then the clock jumps from 00:10 to 00:08. At 00:09 there is nothing to do; 00:18 and 00:27
        // follow.
        assert_eq!(minutes(Jump::Back(Duration::from_mins(2))).await, [9, 20, 29]);
    }

    /// The minutes after the start in which a schedule of every nine minutes is run.
    async fn minutes(jump: Jump) -> Vec<u64> {
        let told = triggered(&["*/9 * * * *"], 3, jump).await;
        told.into_iter().map(|(_, minute)| minute).collect()
    }
}
