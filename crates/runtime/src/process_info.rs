//! Telling processes apart: what /proc says about a pid or a pidfd.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use fs_err as fs;
use rustix::process::{Pid, PidfdFlags};
use tokio::io::Interest;

use crate::sys;

/// Start time of a process in clock ticks since boot.
pub(crate) fn start_time(pid: u32) -> io::Result<u64> {
    parse_start_time(&fs::read_to_string(format!("/proc/{pid}/stat"))?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no start time"))
}

/// The 22nd field; the second is a name that may contain anything, in parentheses.
fn parse_start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(19)?.parse().ok()
}

/// The pid behind a pidfd, as we see it; `None` when the process has been reaped.
pub(crate) fn pid_of(pidfd: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    Ok(pids_of(pidfd)?.map(|(ours, _)| ours))
}

/// The pid behind a pidfd, as we see it and as it sees itself; `None` when it has been reaped.
pub(crate) fn pids_of(pidfd: BorrowedFd<'_>) -> io::Result<Option<(u32, u32)>> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    Ok(parse_pids(&info))
}

/// `NSpid:` names it in each PID namespace, ours first, its own last.
fn parse_pids(info: &str) -> Option<(u32, u32)> {
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name));
    let ours = field("Pid:")?.trim().parse().ok()?;
    let own = field("NSpid:").and_then(|pids| pids.split_whitespace().next_back()?.parse().ok());
    Some((ours, own.unwrap_or(ours)))
}

/// A pidfd of `pid` if it is still the process that started at `start_time`.
pub(crate) fn open(pid: u32, start_time: u64) -> Option<OwnedFd> {
    let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
    let pidfd = rustix::process::pidfd_open(raw, PidfdFlags::empty()).ok()?;
    // Only now: from here on the pid cannot be another's.
    let same = self::start_time(pid).is_ok_and(|time| time == start_time);
    (same && !has_ended(pidfd.as_fd())).then_some(pidfd)
}

/// Whether the process has ended (it may not be reaped yet).
pub(crate) fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())) == Ok(1)
}

/// Waits until the process has ended.
pub(crate) async fn ended(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    let pidfd = sys::watch(pidfd.try_clone_to_owned()?, Interest::READABLE)?;
    pidfd.readable().await?.retain_ready();
    Ok(())
}

/// SIGKILL; a process that has ended is fine.
pub(crate) fn kill(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    signal(pidfd, libc::SIGKILL)
}

/// Sends a signal; a process that has ended is fine.
pub(crate) fn signal(pidfd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    if !(1..=64).contains(&number) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no such signal"));
    }
    match sys::send_signal(pidfd.as_fd(), number) {
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_time_is_found_behind_any_name() {
        let stat = "42 (a) b ( c) S 1 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 1 0";
        assert_eq!(parse_start_time(stat), Some(12345));
        assert_eq!(parse_start_time("42 (x"), None);
    }

    #[test]
    fn a_process_has_a_pid_in_each_namespace_and_none_when_reaped() {
        assert_eq!(parse_pids("pos:\t0\nPid:\t812\nNSpid:\t812\t7\t1\n"), Some((812, 1)));
        assert_eq!(parse_pids("Pid:\t812\nNSpid:\t812\n"), Some((812, 812)));
        assert_eq!(parse_pids("Pid:\t-1\nNSpid:\t-1\n"), None);
    }

    #[test]
    fn a_pid_with_another_start_time_is_not_opened() {
        let me = std::process::id();
        let time = start_time(me).unwrap();
        assert!(open(me, time).is_some());
        assert!(open(me, time + 1).is_none());
    }
}
