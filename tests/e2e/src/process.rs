//! Processes of this machine, as `/proc` shows them.

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use fs_err as fs;
use rustix::process::{Pid, Signal};

use crate::lines::Lines;
use crate::wait::eventually;

/// A process that was seen alive. Its start time tells it from a later one with its number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// Its number on the host.
    pub pid: u32,
    /// Its parent's number.
    pub parent: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Clock ticks between boot and its start.
    started: u64,
}

/// All processes of this machine.
#[must_use]
pub fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| Process::with_pid(name.parse().ok()?)).collect()
}

impl Process {
    /// The process with that number, unless it has ended (a zombie has).
    #[must_use]
    pub fn with_pid(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // `pid (name) state parent …`; a name may hold spaces and brackets.
        let (head, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        if matches!(*fields.first()?, "Z" | "X") {
            return None;
        }
        Some(Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            name: head.split_once('(')?.1.to_owned(),
            started: fields.get(19)?.parse().ok()?,
        })
    }

    /// The processes of the instance with that ID, as the programs in it see it.
    #[must_use]
    pub fn of_instance(id: &str) -> Vec<Self> {
        let wanted = format!("CLOUDFLARE_DEPLOYMENT_ID={id}");
        processes().into_iter().filter(|process| process.environment().contains(&wanted)).collect()
    }

    /// Ends a program that a fixture has started and is done with: as Ctrl-C does, and by force where
    /// that takes too long. A test that fails shows what the program said.
    pub(crate) fn end(&self, child: &mut Child, lines: &Lines, what: &str, patience: Duration) {
        if std::thread::panicking() {
            say(&format!("{what} said:\n{lines}"));
        }
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        self.signal(Signal::INT);
        let ended = || child.try_wait().is_ok_and(|status| status.is_some()).then_some(());
        if eventually(patience, ended).is_none() {
            // It hangs: a test that failed must not leave more behind than it has to.
            for process in Self::descendants_of(child.id()) {
                process.kill();
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// All descendants of the process `pid`.
    #[must_use]
    pub fn descendants_of(pid: u32) -> Vec<Self> {
        let all = processes();
        let mut found: Vec<Self> = Vec::new();
        let mut parents = vec![pid];
        while let Some(parent) = parents.pop() {
            for child in all.iter().filter(|process| process.parent == parent) {
                parents.push(child.pid);
                found.push(child.clone());
            }
        }
        found
    }

    /// Whether this very process still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Self::with_pid(self.pid).is_some_and(|now| now.started == self.started)
    }

    /// The environment it was started with, as `NAME=value`.
    #[must_use]
    pub fn environment(&self) -> Vec<String> {
        self.strings("environ")
    }

    /// Its command line.
    #[must_use]
    pub fn command(&self) -> Vec<String> {
        self.strings("cmdline")
    }

    /// Its network namespace, such as `net:[4026531840]`.
    #[must_use]
    pub fn network_namespace(&self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/ns/net", self.pid)).ok()
    }

    /// Its cgroups' paths.
    #[must_use]
    pub fn cgroups(&self) -> Vec<String> {
        let text = fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).unwrap_or_default();
        text.lines().filter_map(|line| Some(line.splitn(3, ':').nth(2)?.to_owned())).collect()
    }

    /// The most memory it ever had resident, in bytes.
    #[must_use]
    pub fn peak_memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(peak.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
    }

    /// Ends it with SIGKILL; it may have ended on its own.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Lets it hang: it does nothing until it is killed.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Sends it a signal; it may have ended on its own.
    pub fn signal(&self, signal: Signal) {
        if self.is_alive()
            && let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    fn strings(&self, file: &str) -> Vec<String> {
        let bytes = fs::read(format!("/proc/{}/{file}", self.pid)).unwrap_or_default();
        let strings = bytes.split(|byte| *byte == 0).filter(|string| !string.is_empty());
        strings.map(|string| String::from_utf8_lossy(string).into_owned()).collect()
    }
}

#[expect(clippy::print_stdout, reason = "the test harness shows it with the failure")]
fn say(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_has_a_command() {
        let this = Process::with_pid(std::process::id()).unwrap();
        assert!(this.is_alive() && !this.command().is_empty());
        assert!(processes().contains(&this));
    }
}
