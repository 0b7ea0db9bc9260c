//! Counts requests that a process is working on, for whoever wants to replace it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The counter; clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlight(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    count: AtomicUsize,
    zero: Notify,
}

/// Counts one request while it lives.
#[derive(Debug)]
pub(crate) struct Guard(InFlight);

impl InFlight {
    pub(crate) fn enter(&self) -> Guard {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        Guard(self.clone())
    }

    /// Counts one more, unless there are `most` already.
    pub(crate) fn enter_below(&self, most: usize) -> Option<Guard> {
        let more = |count| (count < most).then_some(count + 1);
        let entered = self.0.count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        entered.is_ok().then(|| Guard(self.clone()))
    }

    /// Resolves when there is none.
    pub(crate) async fn zero(&self) {
        loop {
            let notified = self.0.zero.notified();
            tokio::pin!(notified);
            // Registered before looking, so that no end is missed.
            notified.as_mut().enable();
            if self.0.count.load(Ordering::SeqCst) == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.0.zero.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_too_many_is_not_counted() {
        let count = InFlight::default();
        let one = count.enter_below(1);
        assert!(one.is_some() && count.enter_below(1).is_none());
        drop(one);
        assert!(count.enter_below(1).is_some());
    }

    #[tokio::test]
    async fn zero_is_reached_when_the_last_guard_goes() {
        let count = InFlight::default();
        count.zero().await;
        let (a, b) = (count.enter(), count.enter());
        let waiting = tokio::spawn({
            let count = count.clone();
            async move { count.zero().await }
        });
        drop(a);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(b);
        waiting.await.expect("no panic");
    }
}
