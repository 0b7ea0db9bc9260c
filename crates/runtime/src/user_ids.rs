//! Ranges of the host's user and group ids, one for each sandbox.
//!
//! A range is reserved by a lock on one byte of a file that all of Berth on a machine shares. The
//! lock belongs to a descriptor that the sandbox's init holds: it ends with the sandbox, however that
//! ends, and outlives every agent.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;
use init::message::UserIds;
use model::limits::{USER_IDS, USER_IDS_FIRST, USER_IDS_LAST};

use crate::sys;

/// On memory: reservations do not survive a restart of the machine, and neither do sandboxes.
const FILE: &str = "/run/berth/user-ids";

/// How many ranges there are.
const RANGES: u32 = (USER_IDS_LAST - USER_IDS_FIRST + 1) / USER_IDS;

/// Ids that no other sandbox has.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub(crate) ids: UserIds,
    /// Its last copy to be closed ends the reservation.
    pub(crate) lock: OwnedFd,
}

/// Reserves a range; `seed` says where the search begins. Blocking.
pub(crate) fn reserve(seed: u64) -> io::Result<Reservation> {
    reserve_in(Path::new(FILE), seed, &taken())
}

fn reserve_in(file: &Path, seed: u64, taken: &[(u32, u32)]) -> io::Result<Reservation> {
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir)?;
        fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))?;
    }
    let file: File = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(file)?
        .into();
    let start = u32::try_from(seed % u64::from(RANGES)).expect("below a u32");
    for i in (start..RANGES).chain(0..start) {
        let first = USER_IDS_FIRST + i * USER_IDS;
        if !overlaps(first, taken) && sys::lock_byte(file.as_fd(), i)? {
            return Ok(Reservation { ids: UserIds { first, count: USER_IDS }, lock: file.into() });
        }
    }
    Err(io::Error::new(io::ErrorKind::QuotaExceeded, "every range of user ids is in use"))
}

/// What the administrator has given to users for their own containers: first id and count.
fn taken() -> Vec<(u32, u32)> {
    ["/etc/subuid", "/etc/subgid"]
        .into_iter()
        .flat_map(|path| subordinate_ids(&fs::read_to_string(path).unwrap_or_default()))
        .collect()
}

/// Lines of `user:first:count`.
fn subordinate_ids(text: &str) -> Vec<(u32, u32)> {
    let line = |line: &str| {
        let mut fields = line.trim().rsplitn(3, ':');
        let (count, first) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        fields.next().map(|_user| (first, count))
    };
    text.lines().filter_map(line).collect()
}

fn overlaps(first: u32, taken: &[(u32, u32)]) -> bool {
    taken.iter().any(|&(other, count)| {
        first < other.saturating_add(count) && other < first.saturating_add(USER_IDS)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_is_one_sandboxs_until_its_last_descriptor_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("run/ids");
        let one = reserve_in(&file, 7, &[]).unwrap();
        let two = reserve_in(&file, 7, &[]).unwrap();
        assert_eq!(one.ids.first, USER_IDS_FIRST + 7 * USER_IDS);
        assert_eq!(two.ids.first, one.ids.first + USER_IDS);
        let copy = one.lock.try_clone().unwrap();
        drop(one.lock);
        assert_ne!(reserve_in(&file, 7, &[]).unwrap().ids, one.ids);
        drop(copy);
        assert_eq!(reserve_in(&file, 7, &[]).unwrap().ids, one.ids);
    }

    #[test]
    fn the_last_range_is_followed_by_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ids");
        let last = reserve_in(&file, u64::from(RANGES) - 1, &[]).unwrap();
        assert!(last.ids.first + (USER_IDS - 1) <= USER_IDS_LAST);
        assert_eq!(
            reserve_in(&file, u64::from(RANGES) - 1, &[]).unwrap().ids.first,
            USER_IDS_FIRST
        );
    }

    #[test]
    fn ids_given_to_users_are_left_to_them() {
        let taken = subordinate_ids("alice:100000:65536\nbob:524288:65537\nodd:x:1\n:\n1:2\n");
        assert_eq!(taken, [(100_000, 65_536), (524_288, 65_537)]);
        let dir = tempfile::tempdir().unwrap();
        let first = reserve_in(&dir.path().join("ids"), 0, &taken).unwrap().ids.first;
        assert_eq!(first, USER_IDS_FIRST + 2 * USER_IDS);
    }

    proptest! {
        #[test]
        fn any_file_is_read_without_harm(text in ".*") {
            let _ = subordinate_ids(&text);
        }
    }
}
