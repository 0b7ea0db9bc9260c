//! Logs of instances that have ended: kept for a while, as `docker logs` of a stopped container needs
//! them. Each is the folder of its log files, moved; when its instance ended is the folder's time.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use model::InstanceId;
use model::limits::{ENDED_LOG_BYTES, ENDED_LOG_TTL, ENDED_LOGS};

/// The name of a file that is made in a folder when it is kept, which sets the folder's time.
const ENDED: &str = "ended";

/// The logs that are kept.
#[derive(Debug)]
pub(crate) struct EndedLogs {
    folder: PathBuf,
    /// The oldest first.
    all: Mutex<VecDeque<Ended>>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ended {
    instance: String,
    at: SystemTime,
    bytes: u64,
}

impl EndedLogs {
    /// Those that are in a folder, which is made with the first; what was kept long enough is removed.
    pub(crate) fn open(folder: PathBuf) -> Self {
        let mut found: Vec<Ended> = Vec::new();
        if let Ok(entries) = fs_err::read_dir(&folder) {
            let ended = |entry: fs_err::DirEntry| {
                let instance = entry.file_name().into_string().ok()?;
                Ended::of(instance, &entry.path())
            };
            found.extend(entries.filter_map(Result::ok).filter_map(ended));
        }
        found.sort_by_key(|ended| ended.at);
        let logs = Self { folder, all: Mutex::new(found.into()) };
        logs.remove_surplus();
        logs
    }

    /// Keeps the log of an instance that is gone. Without one there is nothing to keep.
    pub(crate) fn keep(&self, instance: InstanceId, log: &Path) {
        let instance = instance.to_string();
        let kept = self.folder.join(&instance);
        let moved = fs_err::create_dir_all(&self.folder)
            .and_then(|()| fs_err::rename(log, &kept))
            .and_then(|()| fs_err::File::create(kept.join(ENDED)).map(drop));
        match (moved, Ended::of(instance, &kept)) {
            (Ok(()), Some(ended)) => {
                self.all().push_back(ended);
                self.remove_surplus();
            }
            (Err(error), _) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, "the log of an instance that ended is not kept");
                let _ = fs_err::remove_dir_all(log);
            }
            _ => {}
        }
    }

    /// The folder of an instance's log, if it is kept.
    pub(crate) fn find(&self, instance: &str) -> Option<PathBuf> {
        let now = SystemTime::now();
        let all = self.all();
        let known = |ended: &&Ended| ended.instance == instance && !is_too_old(ended, now);
        // It is one of the names that were found or given here, whatever was asked for.
        all.iter().find(known).map(|ended| self.folder.join(&ended.instance))
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<Ended>> {
        self.all.lock().expect("no holder of this lock panics")
    }

    fn remove_surplus(&self) {
        let gone: Vec<Ended> = {
            let mut all = self.all();
            let surplus = surplus(&all, SystemTime::now());
            all.drain(..surplus).collect()
        };
        for ended in gone {
            let _ = fs_err::remove_dir_all(self.folder.join(ended.instance));
        }
    }
}

impl Ended {
    fn of(instance: String, folder: &Path) -> Option<Self> {
        let at = fs_err::metadata(folder).ok()?.modified().ok()?;
        let files = fs_err::read_dir(folder).ok()?.filter_map(Result::ok);
        let bytes = files.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
        Some(Self { instance, at, bytes })
    }
}

fn is_too_old(ended: &Ended, now: SystemTime) -> bool {
    // What ended in the future did so by another clock.
    let age = now.duration_since(ended.at).unwrap_or(Duration::ZERO);
    age > ENDED_LOG_TTL
}

/// How many of the oldest are not kept any longer: they are too old, or the rest is as much as may be.
fn surplus(all: &VecDeque<Ended>, now: SystemTime) -> usize {
    let mut bytes = 0;
    let fits = |ended: &&Ended| {
        bytes += ended.bytes;
        bytes <= ENDED_LOG_BYTES && !is_too_old(ended, now)
    };
    let kept = all.iter().rev().take(ENDED_LOGS).take_while(fits).count();
    all.len() - kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000_000);

    /// One that ended so many seconds ago.
    fn ended(seconds_ago: u64, bytes: u64) -> Ended {
        let at = SystemTime::UNIX_EPOCH + NOW - Duration::from_secs(seconds_ago);
        Ended { instance: seconds_ago.to_string(), at, bytes }
    }

    #[test]
    fn the_newest_are_kept_as_long_as_they_are_young_few_and_small() {
        let now = SystemTime::UNIX_EPOCH + NOW;
        let day = ENDED_LOG_TTL.as_secs();
        let half = ENDED_LOG_BYTES / 2;
        let many: Vec<_> = (0..ENDED_LOGS as u64 + 3).rev().map(|ago| ended(ago, 1)).collect();
        for (what, all, gone) in [
            ("nothing", vec![], 0),
            ("young ones", vec![ended(day, 1), ended(0, 1)], 0),
            ("an old one", vec![ended(day + 1, 1), ended(0, 1)], 1),
            ("large ones", vec![ended(3, half), ended(2, half), ended(1, half)], 1),
            ("one that is too large", vec![ended(2, 1), ended(1, ENDED_LOG_BYTES + 1)], 2),
            ("many", many, 3),
        ] {
            assert_eq!(surplus(&all.into(), now), gone, "{what}");
        }
    }

    #[test]
    fn a_log_is_found_by_its_instance_also_by_the_next_agent() {
        let directory = tempfile::tempdir().unwrap();
        let (log, kept) = (directory.path().join("log"), directory.path().join("kept"));
        let logs = EndedLogs::open(kept.clone());
        let instance = InstanceId::new();
        logs.keep(instance, &log);
        assert_eq!(logs.find(&instance.to_string()), None, "it had none");
        fs_err::create_dir(&log).unwrap();
        fs_err::write(log.join("log"), "x").unwrap();
        logs.keep(instance, &log);
        assert!(!log.exists());
        for logs in [logs, EndedLogs::open(kept)] {
            let folder = logs.find(&instance.to_string()).unwrap();
            assert_eq!(fs_err::read_to_string(folder.join("log")).unwrap(), "x");
            for other in ["", "..", "../log", &InstanceId::new().to_string()] {
                assert_eq!(logs.find(other), None, "{other}");
            }
        }
    }
}
