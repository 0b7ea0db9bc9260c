//! A user namespace of this user that stands already: that of another Berth, or of instances which
//! outlived theirs. Only who is in it too can look after them.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::fs::{FlockOperation, Mode, OFlags, Stat};

use super::SUBORDINATE_MIN;
use crate::sys;

/// What the names of our own processes begin with: `berth`, `berth-launcher`, and `berth-init` in
/// sandboxes.
const OURS: &str = "berth";

/// Making a namespace takes two programs' starts. Everybody on the machine can lock what [`turn`]
/// locks, so it is not waited for any longer.
const TURN_PATIENCE: Duration = Duration::from_secs(5);

/// Held from looking for a namespace to having one, or two who start at once make one each, and who
/// comes after them finds but one. Released when dropped.
pub(super) fn turn() -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let namespace = rustix::fs::open("/proc/self/ns/user", flags, Mode::empty()).ok()?;
    let begin = Instant::now();
    loop {
        match rustix::fs::flock(&namespace, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(namespace),
            Err(rustix::io::Errno::WOULDBLOCK) if begin.elapsed() < TURN_PATIENCE => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => {
                tracing::debug!(%error, "no turn to look for a user namespace");
                return None;
            }
        }
    }
}

/// The namespace of such a process, with subordinate ids or without.
///
/// A program in an instance may call itself what it likes and make a namespace of its own; that is
/// below the instance's, and not taken.
pub(super) fn find(subordinate: bool) -> Option<OwnedFd> {
    let own = rustix::fs::stat("/proc/self/ns/user").ok()?;
    let processes = fs::read_dir("/proc").ok()?;
    let names = processes.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let pids = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    pids.filter(|pid| is_ours(pid)).find_map(|pid| namespace_of(&pid, &own, subordinate))
}

fn is_ours(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with(OURS))
}

fn namespace_of(pid: &str, own: &Stat, subordinate: bool) -> Option<OwnedFd> {
    let ids = fs::read_to_string(format!("/proc/{pid}/uid_map")).ok()?;
    if has_subordinate(&ids) != subordinate {
        return None;
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let namespace = rustix::fs::open(format!("/proc/{pid}/ns/user"), flags, Mode::empty()).ok()?;
    let parent = sys::parent_user_namespace(namespace.as_fd()).ok()?;
    let parent = rustix::fs::fstat(parent).ok()?;
    let is_child = (parent.st_dev, parent.st_ino) == (own.st_dev, own.st_ino);
    is_child.then_some(namespace)
}

/// Whether a map has more than root: lines are `inside outside count`.
fn has_subordinate(map: &str) -> bool {
    let counts = map.lines().filter_map(|line| line.split_ascii_whitespace().nth(2));
    counts.filter_map(|count| count.parse::<u32>().ok()).any(|count| count >= SUBORDINATE_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_root_alone_or_more() {
        assert!(!has_subordinate("         0      65534          1\n"));
        assert!(has_subordinate("0 65534 1\n1 1900000000 65536\n"));
        assert!(!has_subordinate(""));
    }

    #[test]
    fn a_process_in_our_own_namespace_has_none_to_take() {
        let own = rustix::fs::stat("/proc/self/ns/user").unwrap();
        let subordinate = has_subordinate(&fs::read_to_string("/proc/self/uid_map").unwrap());
        assert!(namespace_of("self", &own, subordinate).is_none());
    }
}
