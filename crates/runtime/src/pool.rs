//! Parked sandboxes kept ready, so that a start finds one: as many as are in demand.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::demand::{Demand, QUIET};
use crate::park::Parked;
use crate::runtime::Inner;

/// Pause after a sandbox could not be parked.
const RETRY: Duration = Duration::from_secs(1);

/// Ready sandboxes, oldest first.
#[derive(Debug)]
pub(crate) struct Pool {
    ready: Mutex<VecDeque<Parked>>,
    demand: Mutex<Demand>,
    /// Something was taken, or the pool is to close.
    changed: Arc<Notify>,
    closed: AtomicBool,
    filler: Mutex<Option<JoinHandle<()>>>,
}

impl Pool {
    /// One that keeps at least `least`.
    pub(crate) fn new(least: usize) -> Self {
        Self {
            ready: Mutex::default(),
            demand: Mutex::new(Demand::new(least)),
            changed: Arc::default(),
            closed: AtomicBool::new(false),
            filler: Mutex::default(),
        }
    }

    /// A ready one, if there is any.
    pub(crate) fn take(&self) -> Option<Parked> {
        let parked = loop {
            let parked = self.ready().pop_front();
            if parked.as_ref().is_none_or(Parked::is_alive) {
                break parked;
            }
        };
        if parked.is_none() {
            self.demand().missed(Instant::now());
        }
        self.changed.notify_one();
        parked
    }

    /// What is to be done for the pool's size.
    fn next(&self) -> Next {
        let (ready, mut demand) = (self.ready(), self.demand());
        let wanted = demand.wanted(Instant::now());
        match ready.len() {
            len if len < wanted => Next::Make { urgent: demand.is_urgent(len) },
            len if len > wanted => Next::Remove,
            _ => Next::Wait { shrinks: demand.will_shrink() },
        }
    }

    /// Begins to keep `runtime`'s pool at its size.
    pub(crate) fn fill(runtime: &Arc<Inner>) {
        let task = tokio::spawn(fill(Arc::downgrade(runtime), runtime.pool.changed.clone()));
        *runtime.pool.filler() = Some(task);
    }

    /// Stops filling and removes what is ready.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.changed.notify_one();
        let filler = self.filler().take();
        if let Some(filler) = filler {
            let _ = filler.await;
        }
        let ready = std::mem::take(&mut *self.ready());
        for parked in ready {
            parked.remove().await;
        }
    }

    fn ready(&self) -> MutexGuard<'_, VecDeque<Parked>> {
        self.ready.lock().expect("no code panics while it holds the lock")
    }

    fn demand(&self) -> MutexGuard<'_, Demand> {
        self.demand.lock().expect("no code panics while it holds the lock")
    }

    fn filler(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.filler.lock().expect("no code panics while it holds the lock")
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(filler) = self.filler().take() {
            filler.abort();
        }
    }
}

/// What the filler does next.
enum Next {
    /// Beside starts that are under way if it is urgent and they are few, else after them.
    Make {
        urgent: bool,
    },
    Remove,
    /// Until something changes; for no longer than [`QUIET`] if there will be less to keep.
    Wait {
        shrinks: bool,
    },
}

/// Holds the runtime only while it makes a sandbox.
async fn fill(runtime: Weak<Inner>, changed: Arc<Notify>) {
    while let Some(strong) = runtime.upgrade() {
        if strong.pool.closed.load(Ordering::Relaxed) {
            return;
        }
        let next = strong.pool.next();
        match next {
            Next::Make { urgent: true } if strong.starts.are_few() => {}
            Next::Make { .. } => {
                let starts = strong.starts.clone();
                drop(strong);
                tokio::select! {
                    () = starts.over() => {}
                    () = changed.notified() => continue,
                }
            }
            Next::Remove => {
                let surplus = strong.pool.ready().pop_back();
                drop(surplus);
                continue;
            }
            Next::Wait { shrinks } => {
                drop(strong);
                let patience = if shrinks { QUIET } else { Duration::MAX };
                let _ = tokio::time::timeout(patience, changed.notified()).await;
                continue;
            }
        }
        let Some(strong) = runtime.upgrade() else { return };
        match Parked::make(strong.clone()).await {
            Ok(parked) => strong.pool.ready().push_back(parked),
            Err(e) => {
                tracing::warn!("failed to {e}");
                drop(strong);
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
