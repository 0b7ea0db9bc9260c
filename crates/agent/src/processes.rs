//! The processes of an instance, as the host's kernel tells of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Ticks in a second of the kernel's counters: the same on all machines that Berth runs on.
const TICKS: u64 = 100;
/// PID 1, which is Berth's own.
const INIT: &str = "berth-init";

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// As the host sees it.
    pub(crate) pid: u32,
    /// As it sees itself.
    pub(crate) inner_pid: u32,
    /// The parent, as the host sees it.
    pub(crate) parent: u32,
    /// The user, as the host sees it.
    pub(crate) uid: u32,
    /// CPU time that it has used.
    pub(crate) cpu: Duration,
    /// When it was started, since the host was.
    pub(crate) started: Duration,
    /// Memory of it that is in use.
    pub(crate) memory_bytes: u64,
    /// With its arguments; its name, where it has none.
    pub(crate) command: String,
}

/// Those of the instance whose main program has this pid, but for its init, by their pids; `None` when that
/// has ended. Blocking.
pub(crate) fn of_instance(pid: u32) -> Option<Vec<Process>> {
    let own = namespace(pid)?;
    let mut processes = Vec::new();
    for entry in fs_err::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(pid) = pid.filter(|pid| namespace(*pid).as_ref() == Some(&own)) else { continue };
        processes.extend(read(pid));
    }
    processes.retain(|process| process.command != INIT);
    processes.sort_by_key(|process| process.pid);
    Some(processes)
}

/// How long the host has been running.
pub(crate) fn uptime() -> Duration {
    let text = fs_err::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text.split_ascii_whitespace().next().and_then(|text| text.parse().ok());
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default()
}

/// What tells a container's processes from others: their mounts, which are one sandbox's alone.
fn namespace(pid: u32) -> Option<PathBuf> {
    fs_err::read_link(format!("/proc/{pid}/ns/mnt")).ok()
}

fn read(pid: u32) -> Option<Process> {
    let directory = Path::new("/proc").join(pid.to_string());
    let status = fs_err::read_to_string(directory.join("status")).ok()?;
    let stat = fs_err::read_to_string(directory.join("stat")).ok()?;
    let words = fs_err::read(directory.join("cmdline")).ok()?;
    parse(pid, &status, &stat, &String::from_utf8_lossy(&words))
}

/// A process, from what is in its `status`, `stat` and `cmdline`.
fn parse(pid: u32, status: &str, stat: &str, words: &str) -> Option<Process> {
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let first = |name: &str| line(name)?.split_ascii_whitespace().next();
    let inner_pid = line("NSpid:").and_then(|pids| pids.split_ascii_whitespace().next_back());
    // The name may contain anything, in parentheses.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks = |number: usize| -> Option<u64> { fields.split(' ').nth(number)?.parse().ok() };
    let time = |ticks: u64| Duration::from_millis(ticks.saturating_mul(1000 / TICKS));
    let command = words.trim_end_matches('\0').replace('\0', " ");
    // What the kernel runs for itself, and what has ended, has no memory.
    let kib: u64 = first("VmRSS:").and_then(|kib| kib.parse().ok()).unwrap_or_default();
    Some(Process {
        pid,
        inner_pid: inner_pid.and_then(|pid| pid.parse().ok()).unwrap_or(pid),
        parent: first("PPid:")?.parse().ok()?,
        uid: first("Uid:")?.parse().ok()?,
        cpu: time(ticks(11)?.saturating_add(ticks(12)?)),
        started: time(ticks(19)?),
        memory_bytes: kib.saturating_mul(1024),
        command: if command.is_empty() { line("Name:")?.to_owned() } else { command },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\ta) b\nPid:\t812\nPPid:\t7\nUid:\t1000\t1001\t1000\t1000\n\
                          NSpid:\t812\t5\t2\nVmRSS:\t    40 kB\n";
    const STAT: &str = "812 (a) b) S 7 42 42 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 1 0 12345 1 1 0";

    #[test]
    fn a_process_is_told_by_its_files() {
        let process = parse(812, STATUS, STAT, "/app\0--port\08080\0").unwrap();
        let expected = Process {
            pid: 812,
            inner_pid: 2,
            parent: 7,
            uid: 1000,
            cpu: Duration::from_secs(2),
            started: Duration::from_millis(123_450),
            memory_bytes: 40 * 1024,
            command: "/app --port 8080".to_owned(),
        };
        assert_eq!(process, expected);
        assert_eq!(parse(812, STATUS, STAT, "").unwrap().command, "a) b");
        assert_eq!(parse(812, "", STAT, "x"), None);
    }

    #[test]
    fn a_process_that_runs_is_read() {
        let own = read(std::process::id()).unwrap();
        assert!(!own.command.is_empty() && own.memory_bytes > 0 && own.started <= uptime());
        assert!(of_instance(own.pid).unwrap().iter().any(|process| process.pid == own.pid));
        assert!(read(u32::MAX).is_none() && of_instance(u32::MAX).is_none());
    }
}
