//! Several threads at one piece of work.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::progress::{Outcome, Progress, Stream, Task, TaskId};

/// Does `work` in so many threads. The first failure stops the others, and is the one returned.
pub(crate) fn each<E: Send>(
    workers: usize,
    progress: &dyn Progress,
    work: impl Fn(&dyn Progress) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let shared = Stoppable { inner: progress, stop: AtomicBool::new(false) };
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                if let Err(error) = work(&shared) {
                    // Others then fail with "cancelled", which is not the reason.
                    if !shared.stop.swap(true, Ordering::Relaxed) {
                        *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    }
                }
            });
        }
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// The next piece of a queue that several threads work on.
pub(crate) fn pop<T>(queue: &Mutex<VecDeque<T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// The caller's progress, and a way for one worker to stop the others.
struct Stoppable<'a> {
    inner: &'a dyn Progress,
    stop: AtomicBool,
}

impl Progress for Stoppable<'_> {
    fn begin(&self, task: &Task) {
        self.inner.begin(task);
    }

    fn advance(&self, task: TaskId, done: u64) {
        self.inner.advance(task, done);
    }

    fn finish(&self, task: TaskId, outcome: Outcome) {
        self.inner.finish(task, outcome);
    }

    fn output(&self, task: TaskId, stream: Stream, bytes: &[u8]) {
        self.inner.output(task, stream, bytes);
    }

    fn log(&self, line: &str) {
        self.inner.log(line);
    }

    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.inner.cancelled()
    }
}
