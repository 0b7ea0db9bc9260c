//! Limits and counters of a sandbox, on cgroup v1, v2, or a host that mixes them.
//!
//! Each controller is used where the host has it: a v1 hierarchy first, since a controller can only
//! be in one, else the v2 tree. A controller that is nowhere is a [`Warning`](crate::Warning), not
//! an error: the sandbox then runs without that limit.

mod hierarchies;
mod v1;
mod v2;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use model::Limits;

pub(crate) use hierarchies::Hierarchies;

/// What a sandbox uses and used; zero where the host has no controller for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// CPU time used in microseconds.
    pub cpu_usec: u64,
    /// Time in microseconds that the CPU quota held its threads back.
    pub throttled_usec: u64,
    /// Memory in use in bytes, without page cache that can be dropped.
    pub memory_bytes: u64,
    /// Processes the kernel ended because memory was used up.
    pub oom_kills: u64,
    /// Processes and threads alive, init included.
    pub pids: u64,
}

/// The files of cgroup v2 and v1 that say how much of a busy disk a cgroup gets beside others.
const IO_WEIGHTS: [&str; 4] = ["io.weight", "io.bfq.weight", "blkio.bfq.weight", "blkio.weight"];

/// How long a removal is tried: the kernel lets go of ended processes a moment later.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The quota's period in microseconds, Docker's and the kernel's default. A shorter one would cut a
/// small share into pieces too short for a request's work.
const PERIOD_USEC: u64 = 100_000;

/// Which files a controller has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// A controller's directory for one sandbox.
#[derive(Debug, Clone)]
struct Place {
    version: Version,
    dir: PathBuf,
}

/// The cgroups of one sandbox.
#[derive(Debug)]
pub(crate) struct Cgroup {
    cpu: Option<Place>,
    cpuacct: Option<Place>,
    memory: Option<Place>,
    pids: Option<Place>,
    io: Option<Place>,
    /// Every v1 directory, freezer's included.
    v1: Vec<PathBuf>,
    v2: Option<PathBuf>,
}

impl Cgroup {
    /// Makes the directories.
    pub(crate) fn create(hierarchies: &Hierarchies, parent: &str, id: &str) -> io::Result<Self> {
        let cgroup = Self::named(hierarchies, parent, id);
        for dir in cgroup.dirs() {
            fs::create_dir_all(dir)?;
        }
        Ok(cgroup)
    }

    /// The cgroups of that name, whether or not they exist.
    pub(crate) fn named(hierarchies: &Hierarchies, parent: &str, id: &str) -> Self {
        let below = |mount: &Path| mount.join(parent).join(id);
        let place = |controller: &str| {
            let v1 = hierarchies.v1_mount(controller).map(|mount| (Version::V1, mount));
            let v2 = || hierarchies.v2_mount(controller).map(|mount| (Version::V2, mount));
            v1.or_else(v2).map(|(version, mount)| Place { version, dir: below(mount) })
        };
        let mut v1: Vec<PathBuf> = hierarchies::V1
            .iter()
            .filter_map(|controller| hierarchies.v1_mount(controller))
            .map(below)
            .collect();
        v1.dedup();
        Self {
            cpu: place("cpu"),
            // v2 counts CPU time without its controller.
            cpuacct: place("cpuacct").or_else(|| place("cpu")),
            memory: place("memory"),
            pids: place("pids"),
            io: place("blkio").or_else(|| place("io")),
            v1,
            v2: hierarchies.v2_in_use().map(below),
        }
    }

    /// All directories.
    pub(crate) fn dirs(&self) -> impl Iterator<Item = &PathBuf> {
        self.v1.iter().chain(&self.v2)
    }

    /// Descriptors by which a process is born into or joins these cgroups: the v2 directory, and the
    /// `cgroup.procs` files of v1.
    pub(crate) fn join(&self) -> io::Result<(Option<OwnedFd>, Vec<OwnedFd>)> {
        let v2 = self.v2.as_ref().map(|dir| File::open(dir).map(OwnedFd::from)).transpose()?;
        let open = |dir: &PathBuf| File::options().write(true).open(dir.join("cgroup.procs"));
        let v1 = self.v1.iter().map(|dir| open(dir).map(OwnedFd::from));
        Ok((v2, v1.collect::<Result<_, _>>()?))
    }

    /// A descriptor that becomes readable when memory is used up; v1 only, as v2 ends the whole
    /// cgroup by itself.
    pub(crate) fn oom_event(&self) -> Option<OwnedFd> {
        match &self.memory {
            Some(Place { version: Version::V1, dir }) => v1::oom_event(dir).ok(),
            _ => None,
        }
    }

    /// Limits memory (without swap) and processes, and shares the disk by vCPU. CPU has [`Self::set_cpu_quota`].
    pub(crate) fn limit(&self, limits: &Limits) -> io::Result<()> {
        let bytes = limits.memory_mib.saturating_mul(1024 * 1024);
        match &self.memory {
            Some(Place { version: Version::V1, dir }) => v1::limit_memory(dir, bytes)?,
            Some(Place { version: Version::V2, dir }) => v2::limit_memory(dir, bytes)?,
            None => {}
        }
        if let Some(Place { dir, .. }) = &self.pids {
            // The same file in both versions; one more for init.
            set(dir, "pids.max", limits.pids.saturating_add(1))?;
        }
        if let Some(Place { dir, .. }) = &self.io {
            // Which of them exists depends on the disks' schedulers.
            let weight = io_weight(limits.vcpu);
            let _ = IO_WEIGHTS.iter().find(|file| set(dir, file, weight).is_ok());
        }
        Ok(())
    }

    /// Limits CPU time to `vcpu` CPUs, `None` not at all.
    pub(crate) fn set_cpu_quota(&self, vcpu: Option<f64>) -> io::Result<()> {
        let quota = vcpu.map(quota_usec);
        match &self.cpu {
            Some(Place { version: Version::V1, dir }) => v1::set_cpu_quota(dir, quota, PERIOD_USEC),
            Some(Place { version: Version::V2, dir }) => v2::set_cpu_quota(dir, quota, PERIOD_USEC),
            None => Ok(()),
        }
    }

    /// Reads all counters.
    pub(crate) fn stats(&self) -> io::Result<Stats> {
        let mut stats = Stats::default();
        match &self.cpuacct {
            Some(Place { version: Version::V1, dir }) => stats.cpu_usec = v1::cpu_usec(dir)?,
            Some(Place { version: Version::V2, dir }) => stats.cpu_usec = v2::cpu_usec(dir)?,
            None => {}
        }
        match &self.cpu {
            Some(Place { version: Version::V1, dir }) => {
                stats.throttled_usec = v1::throttled_usec(dir)?
            }
            Some(Place { version: Version::V2, dir }) => {
                stats.throttled_usec = v2::throttled_usec(dir)?
            }
            None => {}
        }
        match &self.memory {
            Some(Place { version: Version::V1, dir }) => {
                stats.memory_bytes = v1::memory_bytes(dir)?
            }
            Some(Place { version: Version::V2, dir }) => {
                stats.memory_bytes = v2::memory_bytes(dir)?
            }
            None => {}
        }
        if let Some(Place { dir, .. }) = &self.pids {
            stats.pids = number(dir, "pids.current")?;
        }
        stats.oom_kills = self.oom_kills();
        Ok(stats)
    }

    /// Processes the kernel ended for lack of memory; 0 when that cannot be read any more.
    pub(crate) fn oom_kills(&self) -> u64 {
        match &self.memory {
            Some(Place { version: Version::V1, dir }) => {
                keyed(dir, "memory.oom_control", "oom_kill")
            }
            Some(Place { version: Version::V2, dir }) => keyed(dir, "memory.events", "oom_kill"),
            None => Ok(0),
        }
        .unwrap_or(0)
    }

    /// Removes the directories, which must have no processes left. Blocking, for up to 5 s.
    pub(crate) fn remove(&self) -> io::Result<()> {
        self.dirs().map(|dir| remove_dir(dir)).fold(Ok(()), Result::and)
    }
}

/// Removes an empty cgroup; one that is gone is no error.
fn remove_dir(dir: &Path) -> io::Result<()> {
    let deadline = std::time::Instant::now() + REMOVE_TIMEOUT;
    let mut pause = Duration::from_micros(500);
    loop {
        match fs::remove_dir(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e)
                if e.kind() == io::ErrorKind::ResourceBusy
                    && std::time::Instant::now() < deadline =>
            {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            result => return result,
        }
    }
}

/// The quota for each period; the kernel takes no less than 1 ms.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "clamped to a range that all types hold"
)]
fn quota_usec(vcpu: f64) -> u64 {
    (vcpu * PERIOD_USEC as f64).round().clamp(1_000.0, 1e12) as u64
}

/// A whole CPU is the kernel's default weight.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a range that the type holds"
)]
fn io_weight(vcpu: f64) -> u16 {
    (vcpu * 100.0).round().clamp(1.0, 1_000.0) as u16
}

fn set(dir: &Path, file: &str, value: impl ToString) -> io::Result<()> {
    fs::write(dir.join(file), value.to_string())
}

fn number(dir: &Path, file: &str) -> io::Result<u64> {
    let text = fs::read_to_string(dir.join(file))?;
    text.trim().parse().map_err(io::Error::other)
}

/// The number behind `key` in a file of `key number` lines; 0 if it is not there.
fn keyed(dir: &Path, file: &str, key: &str) -> io::Result<u64> {
    let text = fs::read_to_string(dir.join(file))?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    Ok(value.and_then(|value| value.trim().parse().ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_becomes_a_quota_the_kernel_takes() {
        assert_eq!(quota_usec(0.0625), 6_250);
        assert_eq!(quota_usec(4.0), 400_000);
        assert_eq!(quota_usec(0.0), 1_000);
        assert_eq!(quota_usec(f64::INFINITY), 1_000_000_000_000);
    }

    #[test]
    fn a_whole_cpu_has_the_default_share_of_the_disk() {
        assert_eq!((io_weight(1.0), io_weight(0.0625), io_weight(4.0)), (100, 6, 400));
        assert_eq!((io_weight(0.0), io_weight(f64::INFINITY)), (1, 1_000));
    }

    #[test]
    fn a_counter_is_found_by_its_whole_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("events"), "oom 1\noom_kill 7\noom_kill_x 9\n").unwrap();
        assert_eq!(keyed(dir.path(), "events", "oom_kill").unwrap(), 7);
        assert_eq!(keyed(dir.path(), "events", "none").unwrap(), 0);
    }
}
