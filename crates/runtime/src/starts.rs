//! Starts that are under way. What is made for later starts waits for them: on a machine with few
//! processors it would take one of theirs just when it counts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// How long the last program that was started is given to come up before others are prepared for.
const HEAD_START: Duration = Duration::from_millis(10);

/// So many at once leave a processor free now and then. More are a burst, in which each start makes what
/// it does not find ready: then making more beside it only slows all of them.
const FEW: usize = 2;

/// How many are under way; clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Starts(Arc<watch::Sender<usize>>);

/// One of them, until dropped.
#[derive(Debug)]
pub(crate) struct Underway(Starts);

impl Starts {
    pub(crate) fn begin(&self) -> Underway {
        self.0.send_modify(|n| *n += 1);
        Underway(self.clone())
    }

    /// Whether something may be made beside them, if it has to be.
    pub(crate) fn are_few(&self) -> bool {
        *self.0.borrow() <= FEW
    }

    /// Waits until none is under way, nor was a moment ago.
    pub(crate) async fn over(&self) {
        let mut count = self.0.subscribe();
        loop {
            // The sender is ours, so this cannot fail.
            let _ = count.wait_for(|n| *n == 0).await;
            if tokio::time::timeout(HEAD_START, count.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.0.send_modify(|n| *n -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_over_when_the_last_has_ended_and_no_other_begins() {
        let starts = Starts::default();
        starts.over().await;
        let (one, two) = (starts.begin(), starts.begin());
        assert!(starts.are_few());
        let three = starts.begin();
        assert!(!starts.are_few());
        drop(three);
        let waiting = tokio::spawn({
            let starts = starts.clone();
            async move { starts.over().await }
        });
        drop(one);
        tokio::time::advance(HEAD_START * 2).await;
        assert!(!waiting.is_finished());
        drop(two);
        waiting.await.unwrap();
    }
}
