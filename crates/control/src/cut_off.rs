//! A store for tests that dies at a write, as a process does that is killed there.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use store::{CommitError, Record, Revision, Store, StoreError, Transaction};

use crate::state::State;

/// On which side of its last write a process dies.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    /// What it was about to write is lost.
    Before,
    /// It is written, and nothing follows from it any more.
    After,
}

/// Every moment at which a process can die that is of interest, until one outlives them all.
pub(crate) fn moments() -> impl Iterator<Item = (usize, Side)> {
    (0..).flat_map(|write| [(write, Side::Before), (write, Side::After)])
}

/// Records that stay, seen by a process that does not.
#[derive(Debug)]
pub(crate) struct CutOff {
    records: Arc<dyn Store>,
    /// Writes until the last one.
    left: AtomicUsize,
    side: Side,
    dead: AtomicBool,
}

impl CutOff {
    /// What a process has of `state` that dies at its `write`th write, from 0.
    pub(crate) fn of(state: &State, (write, side): (usize, Side)) -> (Arc<Self>, State) {
        let records = Arc::clone(&state.store);
        let left = AtomicUsize::new(write);
        let store = Arc::new(Self { records, left, side, dead: AtomicBool::new(false) });
        (Arc::clone(&store), State { store, ..state.clone() })
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    fn alive(&self) -> Result<(), StoreError> {
        match self.is_dead() {
            true => Err(dead()),
            false => Ok(()),
        }
    }
}

fn dead() -> StoreError {
    StoreError::File(io::Error::other("this process is dead"))
}

impl Store for CutOff {
    fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        self.alive()?;
        self.records.get(key)
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.alive()?;
        self.records.list(prefix, after, limit)
    }

    fn commit(&self, transaction: &Transaction) -> Result<Revision, CommitError> {
        self.alive()?;
        let one_less = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            return self.records.commit(transaction);
        }
        self.dead.store(true, Ordering::SeqCst);
        if matches!(self.side, Side::After) {
            self.records.commit(transaction)?;
        }
        Err(dead().into())
    }
}
