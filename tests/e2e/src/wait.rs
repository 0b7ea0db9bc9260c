//! Waiting for a state with a deadline. The only place where a test may pause.

use std::thread;
use std::time::{Duration, Instant};

/// How long a state may take that comes on its own; generous, because CI machines are slow.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Looks for `found` until it is there.
///
/// # Panics
/// It is not there after [`PATIENCE`]; the message names `what`.
pub fn until<T>(what: &str, found: impl FnMut() -> Option<T>) -> T {
    eventually(PATIENCE, found).unwrap_or_else(|| panic!("{what}: not within {PATIENCE:?}"))
}

/// Looks for `found` until it is there or `patience` has passed.
pub fn eventually<T>(patience: Duration, mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = found() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    }
}
