//! The audit log: every change that was asked for, who asked, and how it ended. A change that cannot be
//! written down here is not made.

use std::time::Duration;

use jiff::Timestamp;
use store::Transaction;

use crate::envelope::Failure;
use crate::records::AuditEntry;
use crate::state::{State, bytes, key};

/// How long entries are kept: as long as Cloudflare keeps its.
const KEPT: Duration = Duration::from_hours(24 * 548);
/// Entries that are removed in one transaction.
const REMOVED_AT_ONCE: usize = 1000;

/// Which entries are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) since: Timestamp,
    pub(crate) before: Timestamp,
    pub(crate) limit: usize,
    /// The last entry of the page before.
    pub(crate) cursor: Option<String>,
}

/// Entries, the newest first, and where the next page begins if there is one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) entries: Vec<AuditEntry>,
    pub(crate) cursor: Option<String>,
}

/// Writes down a change that is about to be made, or, with its status, one that was.
pub(crate) fn write(state: &State, entry: &AuditEntry) -> Result<(), Failure> {
    let key = key::audit_entry(entry.at, entry.id);
    state.commit(&Transaction::new().put(key, bytes(entry)))
}

/// A page of the log.
pub(crate) fn read(state: &State, wanted: &Wanted) -> Result<Page, Failure> {
    let mut entries = state.audit_entries(wanted.since)?;
    entries.retain(|entry| entry.at < wanted.before);
    entries.reverse();
    if let Some(cursor) = &wanted.cursor {
        let last = entries.iter().position(|entry| entry.id.to_string() == *cursor);
        let last = last.ok_or_else(|| Failure::bad_request("the cursor is none of this log"))?;
        entries.drain(..=last);
    }
    let more = entries.len() > wanted.limit;
    entries.truncate(wanted.limit);
    let cursor = entries.last().filter(|_| more).map(|entry| entry.id.to_string());
    Ok(Page { entries, cursor })
}

/// Removes what is older than anybody keeps.
pub(crate) fn remove_old(state: &State, now: Timestamp) -> Result<(), Failure> {
    let Ok(oldest) = now.checked_sub(KEPT) else { return Ok(()) };
    loop {
        let keys = state.audit_keys_before(oldest, REMOVED_AT_ONCE)?;
        let done = keys.len() < REMOVED_AT_ONCE;
        state.commit(&keys.into_iter().fold(Transaction::new(), Transaction::delete))?;
        if done {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::fake::state;

    fn entry(at: i64) -> AuditEntry {
        AuditEntry {
            id: Uuid::new_v4(),
            at: Timestamp::from_second(at).unwrap(),
            token_id: "0123".into(),
            token_name: "ci".into(),
            address: None,
            method: "PUT".into(),
            path: format!("/{at}"),
            status: None,
        }
    }

    fn wanted(since: i64, before: i64, limit: usize, cursor: Option<String>) -> Wanted {
        let time = |second| Timestamp::from_second(second).unwrap();
        Wanted { since: time(since), before: time(before), limit, cursor }
    }

    #[test]
    fn the_newest_come_first_a_page_at_a_time() {
        let (state, _folder) = state();
        let entries: Vec<_> = (1..=5).map(entry).collect();
        for entry in &entries {
            write(&state, entry).unwrap();
        }
        let done = AuditEntry { status: Some(200), ..entries[3].clone() };
        write(&state, &done).unwrap();

        let first = read(&state, &wanted(2, 5, 2, None)).unwrap();
        assert_eq!(first.entries, [done.clone(), entries[2].clone()]);
        assert_eq!(first.cursor, Some(entries[2].id.to_string()));
        let second = read(&state, &wanted(2, 5, 2, first.cursor)).unwrap();
        assert_eq!((second.entries, second.cursor), (vec![entries[1].clone()], None));
        let unknown = wanted(2, 5, 2, Some("gone".into()));
        assert!(read(&state, &unknown).unwrap_err().message().contains("cursor"));
    }

    #[test]
    fn what_is_older_than_eighteen_months_goes() {
        let (state, _folder) = state();
        let now = 2_000_000_000;
        let day = 24 * 3600;
        for days in [1000, 600, 500, 1] {
            write(&state, &entry(now - days * day)).unwrap();
        }
        remove_old(&state, Timestamp::from_second(now).unwrap()).unwrap();
        let left = read(&state, &wanted(0, now, 10, None)).unwrap().entries;
        assert_eq!(left.len(), 2);
    }
}
