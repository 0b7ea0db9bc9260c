//! One change of a thing at a time: what runs is what was written last.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use tokio::sync::OwnedMutexGuard;

/// Turns, by the name of what is changed; clones give the same ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>);

impl Turns {
    /// The right to change this, while the guard lives.
    pub(crate) async fn of(&self, name: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().expect("no holder of this lock panics");
            Arc::clone(turns.entry(name.to_owned()).or_default())
        };
        turn.lock_owned().await
    }

    /// The right to change all of these. Everybody who wants several takes them in one order, so that
    /// nobody waits for somebody who waits for them.
    pub(crate) async fn of_all<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Vec<OwnedMutexGuard<()>> {
        let names: BTreeSet<&str> = names.into_iter().collect();
        let mut guards = Vec::new();
        for name in names {
            guards.push(self.of(name).await);
        }
        guards
    }
}
