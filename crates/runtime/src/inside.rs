//! What a running sandbox's program sees, from outside: its root, its users, and standing still.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::fs::{Mode, OFlags};

use crate::{Sandbox, sys};

/// How long all processes may take to stand still.
const PAUSE_PATIENCE: Duration = Duration::from_secs(5);
/// How often that is looked at.
const PAUSE_POLL: Duration = Duration::from_millis(1);

/// A sandbox whose processes stand still; they go on when this is dropped.
#[derive(Debug)]
pub struct Paused {
    files: Vec<Freezer>,
}

/// The file by which one hierarchy freezes, and what it takes.
#[derive(Debug, Clone)]
enum Freezer {
    V1(PathBuf),
    V2(PathBuf),
}

/// The map of who has no other users and groups than we do.
const SAME: &str = "0 0 4294967295";

impl Sandbox {
    /// The root directory as the main program sees it, with everything mounted there.
    ///
    /// # Errors
    /// `NotConnected` when the program has ended.
    pub fn root(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(self.proc("root"), flags, Mode::empty())?;
        self.still_runs().map(|()| root)
    }

    /// The main program's maps of users and groups, as `uid_map` and `gid_map` have them: which of
    /// those that this process sees are its own.
    ///
    /// # Errors
    /// `NotConnected` when the program has ended.
    pub fn id_maps(&self) -> io::Result<[String; 2]> {
        let namespace = fs::read_link(self.proc("ns/user"))?;
        let maps = if namespace == fs::read_link("/proc/self/ns/user")? {
            // An ordinary user's: to those in it, the files tell of the namespace above.
            [SAME, SAME].map(str::to_owned)
        } else {
            [fs::read_to_string(self.proc("uid_map"))?, fs::read_to_string(self.proc("gid_map"))?]
        };
        self.still_runs().map(|()| maps)
    }

    /// Does `work` on this thread as the sandbox's root would, where files are concerned: in a user
    /// namespace nobody else can make any. The thread keeps its capabilities, and is itself again
    /// when this returns.
    ///
    /// # Errors
    /// The program has ended, or its users cannot be told.
    pub fn as_root<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        let [users, groups] = self.id_maps()?;
        let root = |map: &str| map.split_ascii_whitespace().nth(1).and_then(|id| id.parse().ok());
        let (Some(uid), Some(gid)) = (root(&users), root(&groups)) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let own = rustix::thread::capabilities(None)?;
        let again = Again(own);
        sys::set_file_owner(uid, gid);
        // Another owner than root takes those that are about files away.
        rustix::thread::set_capabilities(None, own)?;
        let done = work();
        drop(again);
        Ok(done)
    }

    /// Lets every process inside stand still. Blocking, for up to 5 s.
    ///
    /// # Errors
    /// They do not stand still, or the host has no freezer.
    pub fn pause(&self) -> io::Result<Paused> {
        let cgroups = self.handle().cgroups;
        let files: Vec<Freezer> = cgroups.iter().filter_map(|dir| freezer(dir)).collect();
        if files.is_empty() {
            let what = "let its processes stand still: there is no cgroup freezer (an ordinary user \
                        has one where cgroups are delegated)";
            return Err(io::Error::new(io::ErrorKind::Unsupported, what));
        }
        // Dropped on the way out of an error, it lets them go on.
        let paused = Paused { files };
        for file in &paused.files {
            file.freeze()?;
        }
        Ok(paused)
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid()))
    }

    /// The pid was still the program's when this is called, so what was opened by it is its own.
    fn still_runs(&self) -> io::Result<()> {
        match self.exit_status() {
            None if self.pid() != 0 => Ok(()),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// Makes the thread itself again, however the work ends.
struct Again(rustix::thread::CapabilitySets);

impl Drop for Again {
    fn drop(&mut self) {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        sys::set_file_owner(uid.as_raw(), gid.as_raw());
        if let Err(error) = rustix::thread::set_capabilities(None, self.0) {
            tracing::error!(%error, "a thread has lost capabilities");
        }
    }
}

/// Lets processes go on that an agent, killed meanwhile, has left standing still.
pub(crate) fn resume(cgroups: &[PathBuf]) {
    cgroups.iter().filter_map(|dir| freezer(dir)).for_each(|freezer| freezer.thaw());
}

fn freezer(dir: &Path) -> Option<Freezer> {
    let (v1, v2) = (dir.join("freezer.state"), dir.join("cgroup.freeze"));
    if v1.exists() {
        Some(Freezer::V1(v1))
    } else if v2.exists() {
        Some(Freezer::V2(v2))
    } else {
        None
    }
}

impl Freezer {
    fn freeze(&self) -> io::Result<()> {
        match self {
            Self::V1(file) => fs::write(file, "FROZEN")?,
            Self::V2(file) => fs::write(file, "1")?,
        }
        let deadline = Instant::now() + PAUSE_PATIENCE;
        while !self.is_frozen()? {
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(PAUSE_POLL);
        }
        Ok(())
    }

    fn is_frozen(&self) -> io::Result<bool> {
        Ok(match self {
            Self::V1(file) => fs::read_to_string(file)?.trim() == "FROZEN",
            Self::V2(file) => {
                let events = fs::read_to_string(file.with_file_name("cgroup.events"))?;
                events.lines().any(|line| line == "frozen 1")
            }
        })
    }

    fn thaw(&self) {
        let written = match self {
            Self::V1(file) => fs::write(file, "THAWED"),
            Self::V2(file) => fs::write(file, "0"),
        };
        if let Err(error) = written {
            tracing::error!(%error, "a sandbox may stand still for ever");
        }
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        self.files.iter().for_each(Freezer::thaw);
    }
}
