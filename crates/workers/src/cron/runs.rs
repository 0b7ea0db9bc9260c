//! When cron triggers last ran, kept in a file: a Worker that was down makes up once for what it missed.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fs_err as fs;
use jiff::Timestamp;
use tokio::time::Instant;

use super::Schedule;

/// The minute of an expression's last run, by the expression.
type Minutes = BTreeMap<String, Timestamp>;

/// The runs of one Worker's triggers. Without a file nothing is remembered and nothing made up for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runs {
    file: Option<PathBuf>,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Runs that have begun: none begins twice, whatever becomes of it.
    begun: BTreeMap<String, Begun>,
    /// Runs that the Worker has answered for, as in the file: one that a crash cuts off is missed.
    ended: Minutes,
}

/// The last run of a schedule by both clocks: the one on the wall may be set back, the other never is.
#[derive(Debug, Clone, Copy)]
struct Begun {
    minute: Timestamp,
    at: Instant,
}

impl Runs {
    /// Those of a file; its folder is made if it is missing.
    pub(crate) fn of(file: Option<PathBuf>) -> Self {
        let ended = file.as_deref().map(|path| {
            read(path).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "it is not known when crons last ran");
                Minutes::new()
            })
        });
        let known = Known { ended: ended.unwrap_or_default(), begun: BTreeMap::new() };
        Self { file, known: Arc::new(Mutex::new(known)) }
    }

    /// Forgets all other schedules, and counts those that are new from now on.
    pub(crate) fn count(&self, schedules: &[Schedule], now: SystemTime) {
        let (Some(file), Ok(now)) = (&self.file, Timestamp::try_from(now)) else { return };
        let ended = {
            let mut known = self.lock();
            let is_one = |text: &str| schedules.iter().any(|schedule| schedule.as_str() == text);
            known.begun.retain(|text, _| is_one(text));
            known.ended.retain(|text, _| is_one(text));
            for schedule in schedules {
                let text = schedule.as_str();
                let last = *known.ended.entry(text.to_owned()).or_insert(now);
                // By a clock that was set back since: it may have been just now.
                if last > now {
                    let begun = Begun { minute: last, at: Instant::now() };
                    known.begun.entry(text.to_owned()).or_insert(begun);
                }
            }
            known.ended.clone()
        };
        store(file, &ended);
    }

    /// The last minute of a schedule that nobody has run.
    pub(crate) fn missed(&self, schedule: &Schedule, now: SystemTime) -> Option<SystemTime> {
        self.file.as_ref()?;
        let last = schedule.last_before(now)?;
        let known = self.lock();
        let text = schedule.as_str();
        // What is still to come was run by a clock that was set back since, and says nothing.
        let is_past = |minute: &Timestamp| SystemTime::from(*minute) <= now;
        let begun = known.begun.get(text).map(|begun| begun.minute).filter(is_past);
        let ended = known.ended.get(text).copied().filter(is_past);
        let since = begun.max(ended)?;
        (SystemTime::from(since) < last).then_some(last)
    }

    /// Whether a run of this minute would be the last one again, because the clock was set back.
    pub(crate) fn is_repeat(&self, schedule: &Schedule, minute: SystemTime) -> bool {
        let begun = self.lock().begun.get(schedule.as_str()).copied();
        begun.is_some_and(|begun| {
            let has_run = minute <= SystemTime::from(begun.minute);
            has_run && is_too_soon(schedule, minute, begun.at.elapsed())
        })
    }

    /// A run begins that belongs to this minute.
    pub(crate) fn begin(&self, expression: &str, minute: SystemTime) {
        if let Ok(minute) = Timestamp::try_from(minute) {
            let begun = Begun { minute, at: Instant::now() };
            self.lock().begun.insert(expression.to_owned(), begun);
        }
    }

    /// The Worker has answered for a run; blocks for a write.
    pub(crate) fn end(&self, expression: &str, minute: SystemTime) {
        let (Some(file), Ok(minute)) = (&self.file, Timestamp::try_from(minute)) else { return };
        let mut known = self.lock();
        let newest = known.begun.get(expression).map(|begun| begun.minute);
        // It may have been taken away meanwhile.
        let Some(last) = known.ended.get_mut(expression) else { return };
        // A later run may have been faster. If none has begun since, the clock was set back.
        *last = if newest == Some(minute) { minute } else { minute.max(*last) };
        // Under the lock: the newest state is the last that is written.
        store(file, &known.ended);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether so little time has passed since the last run that the clock was merely put right: less than half
/// of what lies between this minute of the schedule and the one before it. After more it was wrong, and
/// the schedule goes on by the one that is right.
fn is_too_soon(schedule: &Schedule, minute: SystemTime, passed: Duration) -> bool {
    let before = minute.checked_sub(Duration::from_secs(1));
    let earlier = before.and_then(|time| schedule.last_before(time));
    let between = earlier.and_then(|earlier| minute.duration_since(earlier).ok());
    between.is_some_and(|between| passed < between / 2)
}

fn read(file: &Path) -> io::Result<Minutes> {
    match fs::read(file) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Minutes::new()),
        Err(error) => Err(error),
    }
}

/// Replaces the file as a whole. A run that cannot be written down is made up for once too often.
fn store(file: &Path, minutes: &Minutes) {
    let write = || {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let new = file.with_extension("new");
        fs::write(&new, serde_json::to_vec(minutes)?)?;
        fs::rename(new, file)
    };
    if let Err(error) = write() {
        tracing::warn!(%error, "when crons last ran cannot be written down");
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;
    use std::time::UNIX_EPOCH;

    use super::*;

    /// 1 January 2026, 00:00:30.
    fn start() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_767_225_630)
    }

    fn minutes(count: u64) -> Duration {
        Duration::from_mins(count)
    }

    #[test]
    fn what_was_missed_is_the_last_minute_since_the_last_run() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("worker/runs.json");
        let schedule = Schedule::parse("*/5 * * * *").unwrap();
        let schedules = [schedule.clone()];

        let runs = Runs::of(Some(file.clone()));
        assert_eq!(runs.missed(&schedule, start()), None, "it is not known since when");
        runs.count(&schedules, start());
        assert_eq!(runs.missed(&schedule, start() + minutes(4)), None);

        // Down for seventeen minutes.
        let runs = Runs::of(Some(file.clone()));
        let now = start() + minutes(17);
        runs.count(&schedules, now);
        let missed = runs.missed(&schedule, now).unwrap();
        assert_eq!(missed, start() - Duration::from_secs(30) + minutes(15));
        runs.begin(schedule.as_str(), missed);
        assert_eq!(runs.missed(&schedule, now), None, "it is made up for once");

        // Cut off before the Worker had answered.
        let runs = Runs::of(Some(file.clone()));
        assert_eq!(runs.missed(&schedule, now), Some(missed));
        runs.end(schedule.as_str(), missed);
        assert_eq!(Runs::of(Some(file)).missed(&schedule, now), None);
    }

    #[test]
    fn a_schedule_that_is_new_or_comes_back_has_missed_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = Some(folder.path().join("runs.json"));
        let (hourly, daily) = (Schedule::parse("0 * * * *"), Schedule::parse("0 0 * * *"));
        let (hourly, daily) = (hourly.unwrap(), daily.unwrap());
        let runs = Runs::of(file.clone());
        runs.count(std::slice::from_ref(&hourly), start());
        runs.count(&[hourly.clone(), daily.clone()], start() + minutes(90));
        assert_eq!(runs.missed(&daily, start() + minutes(90)), None);
        assert!(runs.missed(&hourly, start() + minutes(90)).is_some());

        runs.count(&[daily], start() + minutes(90));
        runs.count(std::slice::from_ref(&hourly), start() + minutes(150));
        assert_eq!(Runs::of(file).missed(&hourly, start() + minutes(150)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_repeats_no_run_and_holds_none_up() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("runs.json");
        let daily = Schedule::parse("0 0 * * *").unwrap();
        let midnight = start() - Duration::from_secs(30);
        let runs = Runs::of(Some(file.clone()));
        runs.count(from_ref(&daily), start() - minutes(60));
        assert!(!runs.is_repeat(&daily, midnight), "it is the first");
        runs.begin(daily.as_str(), midnight);
        runs.end(daily.as_str(), midnight);
        assert!(runs.is_repeat(&daily, midnight), "the clock was put right");
        assert!(!runs.is_repeat(&daily, midnight + minutes(24 * 60)), "the next day's");
        tokio::time::advance(Duration::from_hours(13)).await;
        assert!(!runs.is_repeat(&daily, midnight), "the clock was wrong by half a day and more");

        // Set back while no process looked.
        let now = start() - minutes(10);
        let runs = Runs::of(Some(file));
        runs.count(from_ref(&daily), now);
        assert!(runs.is_repeat(&daily, midnight), "it has run");
        assert_eq!(runs.missed(&daily, now), None);
        tokio::time::advance(Duration::from_hours(13)).await;
        let day_before = midnight - minutes(24 * 60);
        assert!(!runs.is_repeat(&daily, day_before));
        runs.begin(daily.as_str(), day_before);
        runs.end(daily.as_str(), day_before);
        // The clock that is right now says what was run last.
        assert_eq!(runs.missed(&daily, midnight + minutes(1)), Some(midnight));
    }

    #[test]
    fn without_a_file_or_with_a_broken_one_nothing_was_missed() {
        let schedule = Schedule::parse("* * * * *").unwrap();
        let runs = Runs::of(None);
        runs.count(std::slice::from_ref(&schedule), start());
        assert_eq!(runs.missed(&schedule, start() + minutes(5)), None);

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("runs.json");
        fs::write(&file, b"{\"* * *").unwrap();
        let runs = Runs::of(Some(file));
        runs.count(std::slice::from_ref(&schedule), start());
        assert_eq!(runs.missed(&schedule, start()), None);
        assert!(runs.missed(&schedule, start() + minutes(5)).is_some(), "it counts again");
    }
}
