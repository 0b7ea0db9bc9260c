//! A store that is gone with the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::transaction::is_listed;
use crate::{CommitError, Record, Revision, Store, StoreError, Transaction, Write};

/// Records in memory, for tests.
#[derive(Debug, Default)]
pub struct Memory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    revision: u64,
    records: BTreeMap<String, Record>,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        // A transaction is checked before it changes anything, and changes cannot panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        Ok(self.state().records.get(key).cloned())
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let state = self.state();
        let from = state.records.range(prefix.to_owned()..).map(|(_, record)| record);
        let of_prefix = from.take_while(|record| record.key.starts_with(prefix));
        let listed = of_prefix.filter(|record| is_listed(record, prefix, after));
        Ok(listed.take(limit).cloned().collect())
    }

    fn commit(&self, transaction: &Transaction) -> Result<Revision, CommitError> {
        let mut state = self.state();
        for precondition in &transaction.preconditions {
            precondition.check(state.records.get(precondition.key()).map(|r| r.revision))?;
        }
        state.revision += 1;
        let revision = Revision(state.revision);
        for write in &transaction.writes {
            match write {
                Write::Put(key, value) => {
                    let record = Record { key: key.clone(), value: value.clone(), revision };
                    state.records.insert(key.clone(), record);
                }
                Write::Delete(key) => {
                    state.records.remove(key);
                }
            }
        }
        Ok(revision)
    }
}
