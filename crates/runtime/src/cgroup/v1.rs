//! The files of cgroup v1 controllers.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::event::EventfdFlags;

use super::{keyed, number, set};

/// Asks the kernel for a notice when memory is used up.
pub(super) fn oom_event(dir: &Path) -> io::Result<OwnedFd> {
    let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC)?;
    let control = File::open(dir.join("memory.oom_control"))?;
    set(dir, "cgroup.event_control", format!("{} {}", event.as_raw_fd(), control.as_raw_fd()))?;
    Ok(event)
}

/// Which part of an instance's memory it may have once more as buffers of network sockets.
const SOCKET_SHARE: u64 = 4;

pub(super) fn limit_memory(dir: &Path, bytes: u64) -> io::Result<()> {
    set(dir, "memory.limit_in_bytes", bytes)?;
    // Memory and swap together, so no swap; absent when the kernel does not account for swap.
    match set(dir, "memory.memsw.limit_in_bytes", bytes) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => set(dir, "memory.swappiness", 0),
        result => result,
    }?;
    // Buffers of network sockets are counted for themselves, and at all only where they are limited;
    // absent when the kernel counts none.
    match set(dir, "memory.kmem.tcp.limit_in_bytes", bytes / SOCKET_SHARE) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

pub(super) fn set_cpu_quota(dir: &Path, quota: Option<u64>, period: u64) -> io::Result<()> {
    set(dir, "cpu.cfs_period_us", period)?;
    match quota {
        Some(quota) => set(dir, "cpu.cfs_quota_us", quota),
        None => set(dir, "cpu.cfs_quota_us", -1),
    }
}

pub(super) fn cpu_usec(dir: &Path) -> io::Result<u64> {
    Ok(number(dir, "cpuacct.usage")? / 1000)
}

pub(super) fn throttled_usec(dir: &Path) -> io::Result<u64> {
    Ok(keyed(dir, "cpu.stat", "throttled_time")? / 1000)
}

pub(super) fn memory_bytes(dir: &Path) -> io::Result<u64> {
    let cache = keyed(dir, "memory.stat", "total_inactive_file")?;
    Ok(number(dir, "memory.usage_in_bytes")?.saturating_sub(cache))
}
