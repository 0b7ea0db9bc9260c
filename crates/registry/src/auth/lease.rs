//! The life of a credential goes on while an upload that it began does.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// After the last byte of an upload its credential lasts this long, for what follows: the next layer,
/// the manifest.
pub(crate) const GRACE: Duration = Duration::from_secs(15 * 60);
/// Nothing extends a life beyond this.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// When each credential last uploaded something, in seconds since 1970.
#[derive(Debug, Default)]
pub(crate) struct Leases(Mutex<HashMap<String, i64>>);

impl Leases {
    /// Those of uploads that were under way before a restart.
    pub(crate) fn of(active: impl IntoIterator<Item = (String, SystemTime)>) -> Self {
        let leases = Self::default();
        for (credential, time) in active {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            leases.renew(&credential, i64::try_from(since.as_secs()).unwrap_or(0));
        }
        leases
    }

    /// Something was uploaded by this credential.
    pub(crate) fn renew(&self, credential: &str, now: i64) {
        let mut leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        leases.retain(|_, last| now - *last <= seconds(GRACE));
        let last = leases.entry(credential.to_owned()).or_insert(now);
        *last = now.max(*last);
    }

    /// Whether a credential that expired then is still good now.
    pub(crate) fn extends(&self, credential: &str, expired: i64, now: i64) -> bool {
        let leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = leases.get(credential);
        last.is_some_and(|last| now - *last <= seconds(GRACE))
            && now.saturating_sub(expired) <= seconds(LONGEST)
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_extends_a_life_for_a_while_and_not_for_ever() {
        let leases = Leases::default();
        leases.renew("a", 1000);
        assert!(leases.extends("a", 900, 1000 + 15 * 60));
        assert!(!leases.extends("a", 900, 1001 + 15 * 60), "nothing came for too long");
        assert!(!leases.extends("b", 900, 1000), "another credential");
        let day = 24 * 60 * 60;
        leases.renew("a", 900 + day);
        assert!(leases.extends("a", 900, 900 + day) && !leases.extends("a", 900, 901 + day));
    }
}
