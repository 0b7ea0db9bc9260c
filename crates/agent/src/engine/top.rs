//! `GET /containers/{id}/top`: the processes of a container, as the host sees them.

use std::path::Path;

use serde_json::json;

use super::Inner;
use super::containers::Found;
use super::error::EngineError;
use super::reply::{Answer, ok};
use crate::docker_api::path::Query;

/// The columns, as `ps -ef` has them as far as they are known cheaply.
const TITLES: [&str; 4] = ["UID", "PID", "PPID", "CMD"];

/// One process.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    uid: String,
    pid: u32,
    parent: String,
    command: String,
}

pub(super) fn top(engine: &Inner, found: &Found, query: Query<'_>) -> Answer {
    if let Some(options) = query.get("ps_args").filter(|o| !o.is_empty() && o != "-ef") {
        return Err(EngineError::NotSupported(format!("top with the options `{options}`")));
    }
    let instance = found.running(engine)?;
    let running = instance.published().running;
    let pid = running.map_or(0, |running| running.sandbox.pid());
    let namespace = namespace(pid)
        .ok_or_else(|| EngineError::Conflict(format!("Container {} is not running", found.id())))?;
    let mut processes = Vec::new();
    for entry in fs_err::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(pid) = pid.filter(|pid| self::namespace(*pid).as_ref() == Some(&namespace)) else {
            continue;
        };
        processes.extend(read(pid));
    }
    processes.sort_by_key(|process| process.pid);
    let rows = processes.iter().filter(|process| process.command != "berth-init");
    let rows =
        rows.map(|p| [p.uid.clone(), p.pid.to_string(), p.parent.clone(), p.command.clone()]);
    ok(json!({"Titles": TITLES, "Processes": rows.collect::<Vec<_>>()}))
}

/// What tells a container's processes from others: their mounts, which are one sandbox's alone.
fn namespace(pid: u32) -> Option<std::path::PathBuf> {
    fs_err::read_link(format!("/proc/{pid}/ns/mnt")).ok()
}

fn read(pid: u32) -> Option<Process> {
    let directory = Path::new("/proc").join(pid.to_string());
    let status = fs_err::read_to_string(directory.join("status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next().map(str::to_owned)
    };
    let words = fs_err::read(directory.join("cmdline")).ok()?;
    let words = String::from_utf8_lossy(&words);
    let command = words.trim_end_matches('\0').replace('\0', " ");
    let command = if command.is_empty() { field("Name:")? } else { command };
    Some(Process { uid: field("Uid:")?, pid, parent: field("PPid:")?, command })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_with_its_command() {
        let own = read(std::process::id()).unwrap();
        assert_eq!(own.pid, std::process::id());
        assert!(!own.command.is_empty() && !own.parent.is_empty());
        assert!(namespace(own.pid).is_some() && read(u32::MAX).is_none());
    }
}
