//! The life of a credential goes on while an upload that it began does.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// After the last byte of an upload its credential lasts this long, for what follows: the next layer,
/// the manifest.
pub(crate) const GRACE: Duration = Duration::from_secs(15 * 60);
/// Nothing extends a life beyond this.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// When each credential last uploaded something, by the clock that nobody sets.
#[derive(Debug, Default)]
pub(crate) struct Leases(Mutex<HashMap<String, Instant>>);

impl Leases {
    /// Those of uploads that were under way before a restart, with when something was last written to each.
    pub(crate) fn of(active: impl IntoIterator<Item = (String, SystemTime)>) -> Self {
        let (leases, now) = (Self::default(), Instant::now());
        for (credential, time) in active {
            let ago = time.elapsed().unwrap_or_default();
            leases.renew(&credential, now.checked_sub(ago).unwrap_or(now));
        }
        leases
    }

    /// Something was uploaded by this credential.
    pub(crate) fn renew(&self, credential: &str, now: Instant) {
        let mut leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        leases.retain(|_, last| now.saturating_duration_since(*last) <= GRACE);
        let last = leases.entry(credential.to_owned()).or_insert(now);
        *last = now.max(*last);
    }

    /// Whether a credential is still good now that expired so many seconds ago.
    pub(crate) fn extends(&self, credential: &str, expired: i64, now: Instant) -> bool {
        let leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = leases.get(credential);
        let goes_on = last.is_some_and(|last| now.saturating_duration_since(*last) <= GRACE);
        goes_on && u64::try_from(expired).is_ok_and(|seconds| seconds <= LONGEST.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_extends_a_life_for_a_while_and_not_for_ever() {
        let (leases, start) = (Leases::default(), Instant::now());
        let second = Duration::from_secs(1);
        leases.renew("a", start);
        assert!(leases.extends("a", 1000, start + GRACE));
        assert!(!leases.extends("a", 1001, start + GRACE + second), "nothing came for too long");
        assert!(!leases.extends("b", 100, start), "another credential");
        let day = 24 * 60 * 60;
        leases.renew("a", start + LONGEST);
        assert!(leases.extends("a", day, start + LONGEST));
        assert!(!leases.extends("a", day + 1, start + LONGEST));
    }

    #[test]
    fn a_clock_that_is_set_forward_in_the_middle_of_an_upload_ends_no_life() {
        let (leases, start) = (Leases::default(), Instant::now());
        leases.renew("a", start);
        assert!(leases.extends("a", 10 * 60 * 60, start + Duration::from_secs(1)));
    }

    #[test]
    fn uploads_of_the_process_before_go_on() {
        let now = SystemTime::now();
        let ago = |time: Duration| now.checked_sub(time).unwrap();
        let active = [("a", GRACE / 2), ("b", Duration::ZERO)];
        let leases = Leases::of(active.map(|(id, time)| (id.to_owned(), ago(time))));
        let later = Instant::now() + GRACE * 3 / 4;
        assert!(!leases.extends("a", 0, later) && leases.extends("b", 0, later));
    }
}
