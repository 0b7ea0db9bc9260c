//! Parked sandboxes kept ready, so that a start finds one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::park::Parked;
use crate::runtime::Inner;

/// Pause after a sandbox could not be parked.
const RETRY: Duration = Duration::from_secs(1);

/// Ready sandboxes, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    ready: Mutex<VecDeque<Parked>>,
    /// Something was taken, or the pool is to close.
    changed: Arc<Notify>,
    closed: AtomicBool,
    filler: Mutex<Option<JoinHandle<()>>>,
}

impl Pool {
    /// A ready one, if there is any.
    pub(crate) fn take(&self) -> Option<Parked> {
        let parked = loop {
            let parked = self.ready().pop_front();
            if parked.as_ref().is_none_or(Parked::is_alive) {
                break parked;
            }
        };
        self.changed.notify_one();
        parked
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

/// Holds the runtime only while it makes a sandbox.
async fn fill(runtime: Weak<Inner>, changed: Arc<Notify>) {
    while let Some(strong) = runtime.upgrade() {
        if strong.pool.closed.load(Ordering::Relaxed) {
            return;
        }
        if strong.pool.ready().len() >= strong.config.parked {
            drop(strong);
            changed.notified().await;
            continue;
        }
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
