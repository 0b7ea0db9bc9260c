//! Stages that are built at once: who is finished, and who waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::state::State;
use crate::error::{StepProblem, StoreError};

/// How often a stage that waits for another looks whether the build was cancelled.
const CANCEL_POLL: Duration = Duration::from_millis(50);

/// Stages that are finished, for those that read from them.
#[derive(Default)]
pub(super) struct Finished {
    states: Mutex<BTreeMap<usize, Arc<State>>>,
    changed: Condvar,
}

impl Finished {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Arc<State>>> {
        // The map is whole after every call.
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, stage: usize, state: State) {
        self.lock().insert(stage, Arc::new(state));
        self.changed.notify_all();
    }

    /// The stage, once it is finished.
    pub(super) fn wait(
        &self,
        stage: usize,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Arc<State>, StepProblem> {
        let mut states = self.lock();
        loop {
            if let Some(state) = states.get(&stage) {
                return Ok(Arc::clone(state));
            }
            if cancelled() {
                return Err(StepProblem::Store(StoreError::Cancelled));
            }
            let waited = self.changed.wait_timeout(states, CANCEL_POLL);
            states = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Platform;

    #[test]
    fn a_stage_waits_for_the_one_it_reads_from_or_until_it_is_cancelled() {
        let finished = Finished::default();
        assert!(finished.wait(0, &|| true).is_err());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| finished.wait(0, &|| false).is_ok());
            finished.add(0, State::scratch(Platform::host()));
            assert!(waiting.join().unwrap());
        });
    }
}
