//! The files of cgroup v2.

use std::io;
use std::path::Path;

use super::{keyed, number, set};

pub(super) fn limit_memory(dir: &Path, bytes: u64) -> io::Result<()> {
    set(dir, "memory.max", bytes)?;
    // All or nothing: an instance that runs out of memory ends as a whole.
    set(dir, "memory.oom.group", 1)?;
    match set(dir, "memory.swap.max", 0) {
        // A kernel without swap.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

pub(super) fn set_cpu_quota(dir: &Path, quota: Option<u64>, period: u64) -> io::Result<()> {
    match quota {
        Some(quota) => set(dir, "cpu.max", format!("{quota} {period}")),
        None => set(dir, "cpu.max", format!("max {period}")),
    }
}

pub(super) fn cpu_usec(dir: &Path) -> io::Result<u64> {
    keyed(dir, "cpu.stat", "usage_usec")
}

pub(super) fn throttled_usec(dir: &Path) -> io::Result<u64> {
    keyed(dir, "cpu.stat", "throttled_usec")
}

pub(super) fn memory_bytes(dir: &Path) -> io::Result<u64> {
    let cache = keyed(dir, "memory.stat", "inactive_file")?;
    Ok(number(dir, "memory.current")?.saturating_sub(cache))
}
