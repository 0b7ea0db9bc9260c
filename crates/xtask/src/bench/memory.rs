//! What processes hold of the machine's memory: proportional set sizes, which share shared pages.

use std::collections::{BTreeMap, BTreeSet};

use e2e::{Process, processes};
use fs_err as fs;

use super::report::{Figure, Row, Table};

/// The user's program in an instance, and what runs the user's Worker and its Durable Objects.
const OF_THE_USER: [&str; 2] = ["server", "workerd"];

/// Processes by name, with their number and their size together in KiB. Kernel memory isn't in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(BTreeMap<String, (usize, f64)>);

impl Memory {
    /// All processes of this process namespace but the bench and its first process.
    pub(crate) fn of_all() -> Self {
        let this = std::process::id();
        Self::of(processes().into_iter().filter(|process| process.pid != 1 && process.pid != this))
    }

    fn of(processes: impl Iterator<Item = Process>) -> Self {
        let mut memory = Self::default();
        for process in processes {
            let Some(size) = proportional_size(process.pid) else { continue };
            let entry = memory.0.entry(process.name).or_default();
            *entry = (entry.0 + 1, entry.1 + size);
        }
        memory
    }

    fn named(&self, name: &str) -> (usize, f64) {
        self.0.get(name).copied().unwrap_or_default()
    }
}

/// What each kind of process holds when no instance runs and when `instances` do.
pub(crate) fn table(
    (key, title): (&'static str, &str),
    idle: &Memory,
    busy: &Memory,
    instances: usize,
) -> Table {
    let mut table = Table::new(key, format!("{title}, idle and with {instances} instances"));
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    let share = |size: f64| Figure::Kibibytes(size / instances.max(1) as f64);
    let row = |label: &str, idle: (usize, f64), busy: (usize, f64)| {
        Row::new(label)
            .with("idle n", Figure::Count(idle.0))
            .with("idle", Figure::Kibibytes(idle.1))
            .with("busy n", Figure::Count(busy.0))
            .with("busy", Figure::Kibibytes(busy.1))
            .with("each instance", share(busy.1 - idle.1))
    };
    let mut rest = [(0, 0.0), (0, 0.0)];
    let names: BTreeSet<_> = idle.0.keys().chain(busy.0.keys()).collect();
    for name in names {
        let (idle, busy) = (idle.named(name), busy.named(name));
        if !OF_THE_USER.contains(&name.as_str()) {
            rest[0] = (rest[0].0 + idle.0, rest[0].1 + idle.1);
            rest[1] = (rest[1].0 + busy.0, rest[1].1 + busy.1);
        }
        table.push(row(name, idle, busy));
    }
    table.push(row("all but server and workerd", rest[0], rest[1]));
    table.note("Proportional set sizes. `server` is the user's program.");
    table
}

/// In KiB; `None` for kernel threads and for those that have just ended.
pub(crate) fn proportional_size(pid: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_size() {
        assert!(proportional_size(std::process::id()).unwrap() > 0.0);
    }
}
