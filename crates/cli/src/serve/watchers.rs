//! Who watches which Worker.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use control::Events;
use serde_json::Value;
use tokio::sync::broadcast;

/// Events that wait for a slow watcher.
const WAITING: usize = 256;

/// Watchers by the tags of their Workers; clones are the same ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watchers(Arc<Mutex<HashMap<String, broadcast::Sender<Arc<Value>>>>>);

impl Watchers {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, broadcast::Sender<Arc<Value>>>> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// One more of a Worker.
    pub(crate) fn add(&self, tag: &str) -> Events {
        let mut watchers = self.lock();
        let sender =
            watchers.entry(tag.to_owned()).or_insert_with(|| broadcast::channel(WAITING).0);
        sender.subscribe()
    }

    /// Something happened in a Worker.
    pub(crate) fn tell(&self, tag: &str, event: Value) {
        if let Some(sender) = self.lock().get(tag) {
            // Nobody may be there any more.
            let _ = sender.send(Arc::new(event));
        }
    }

    /// Whether a Worker has none any more.
    pub(crate) fn are_gone(&self, tag: &str) -> bool {
        let mut watchers = self.lock();
        let gone = watchers.get(tag).is_none_or(|sender| sender.receiver_count() == 0);
        if gone {
            watchers.remove(tag);
        }
        gone
    }

    /// A Worker is gone: its watchers see the end.
    pub(crate) fn remove(&self, tag: &str) {
        self.lock().remove(tag);
    }
}
