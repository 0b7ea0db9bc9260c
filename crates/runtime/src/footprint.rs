//! What a sandbox leaves on the host outside its processes: a directory, cgroups, and beside a
//! caller's upper directory a working one.
//!
//! ```text
//! <dir>/<id>/handle     who it is
//! <dir>/<id>/record     whether it was started and how it ended, written by init
//! <dir>/<id>/init.sock  where an agent that adopts connects
//! <dir>/<id>/root       mount point, in the sandbox's own mount namespace
//! <dir>/<id>/upper, work     only where quotas limit what is written, or nothing does
//! ```

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use init::message::Status;
use init::record::Record;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};

use crate::cgroup::Cgroup;
use crate::{ExitStatus, SandboxHandle, disk};

/// One sandbox's traces.
#[derive(Debug)]
pub(crate) struct Footprint {
    pub(crate) id: String,
    pub(crate) dir: PathBuf,
    pub(crate) cgroup: Cgroup,
    /// `<upper>.work` of a caller's upper.
    pub(crate) work: Option<PathBuf>,
    /// A caller's upper, and mount points made in it that must not become part of an image.
    pub(crate) stubs: Option<(PathBuf, Vec<String>)>,
}

/// Something of a sandbox could not be removed. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub struct DestroyError {
    /// What was being done.
    pub step: String,
    /// Why it failed.
    pub source: io::Error,
}

impl Footprint {
    /// Makes the directory and opens the record; `writable` if writes go to it. Blocking.
    pub(crate) fn create(
        dir: PathBuf,
        id: String,
        cgroup: Cgroup,
        writable: bool,
    ) -> io::Result<(Self, OwnedFd)> {
        fs::create_dir(&dir)?;
        fs::set_permissions(&dir, Permissions::from_mode(0o700))?;
        let names: &[&str] = if writable { &["root", "upper", "work"] } else { &["root"] };
        for name in names {
            fs::create_dir(dir.join(name))?;
            fs::set_permissions(dir.join(name), Permissions::from_mode(0o755))?;
        }
        let record = File::options().write(true).create_new(true).open(dir.join("record"))?;
        Ok((Self { id, dir, cgroup, work: None, stubs: None }, record.into()))
    }

    /// The record as it stands.
    pub(crate) fn record(&self) -> Record {
        read_record(&self.dir)
    }

    /// How the main program ended, by what init said of it and by what the kernel counted.
    pub(crate) fn status(&self, status: Status, oom: bool) -> ExitStatus {
        let killed = status == Status::Signal(libc::SIGKILL);
        ExitStatus::new(status, killed && (oom || self.cgroup.oom_kills() > 0))
    }

    /// Opens the upper directory.
    pub(crate) fn open_upper(&self) -> io::Result<OwnedFd> {
        let own = self.dir.join("upper");
        let upper = self.stubs.as_ref().map_or(&own, |(upper, _)| upper);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::open(upper, flags, Mode::empty())?)
    }

    /// Removes everything, as far as it can, and returns the first failure. Blocking.
    pub(crate) fn remove(&self) -> Result<(), DestroyError> {
        let step = |step: &str, result: io::Result<()>| {
            result.map_err(|source| DestroyError { step: step.to_owned(), source })
        };
        let cgroup = step("remove the cgroups", self.cgroup.remove());
        if let Some((upper, created)) = &self.stubs {
            remove_stubs(upper, created);
        }
        let work = self.work.as_ref().map_or(Ok(()), |work| remove_all(work));
        let work = step("remove the overlay's working directory", work);
        let limit = step("forget the limit of its disk", disk::forget(&self.dir));
        let dir = step("remove the sandbox's directory", remove_all(&self.dir));
        cgroup.and(work).and(limit).and(dir)
    }
}

/// The record in a sandbox's directory; one that cannot be read says nothing.
pub(crate) fn read_record(dir: &Path) -> Record {
    fs::read(dir.join("record")).map_or(Record::Parked, |bytes| Record::decode(&bytes))
}

/// Writes the handle into the sandbox's directory, whole or not at all: without it a sandbox that
/// runs would be taken for one that never did.
pub(crate) fn write_handle(handle: &SandboxHandle) -> io::Result<()> {
    let bytes = serde_json::to_vec(handle).map_err(io::Error::other)?;
    let beside = handle.dir.join("handle.new");
    fs::write(&beside, bytes)?;
    fs::rename(beside, handle.dir.join("handle"))
}

/// Reads it back.
pub(crate) fn read_handle(dir: &Path) -> Option<SandboxHandle> {
    serde_json::from_slice(&fs::read(dir.join("handle")).ok()?).ok()
}

fn remove_all(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Takes mount points that are still empty out of an upper directory. What a program made of them
/// meanwhile stays. No link is followed: the program may have put some in the way.
fn remove_stubs(upper: &Path, created: &[String]) {
    let Ok(upper) = File::open(upper) else { return };
    for path in created.iter().rev() {
        let (parent, name) = path
            .trim_start_matches('/')
            .rsplit_once('/')
            .unwrap_or((".", path.trim_start_matches('/')));
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(parent) = rustix::fs::openat2(&upper, parent, flags, Mode::empty(), resolve) else {
            continue;
        };
        let Ok(stat) = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
        let flags = match kind {
            rustix::fs::FileType::Directory => AtFlags::REMOVEDIR,
            rustix::fs::FileType::RegularFile if stat.st_size == 0 => AtFlags::empty(),
            _ => continue,
        };
        let _ = rustix::fs::unlinkat(&parent, name, flags);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_empty_stubs_are_taken_out_of_a_layer() {
        let dir = tempfile::tempdir().unwrap();
        let upper = dir.path().join("upper");
        let outside = dir.path().join("outside");
        for path in [&outside, &upper.join("etc"), &upper.join("proc"), &upper.join("dev/x")] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(outside.join("hosts"), "").unwrap();
        fs::write(upper.join("etc/hosts"), "").unwrap();
        fs::write(upper.join("etc/hostname"), "kept").unwrap();
        std::os::unix::fs::symlink(&outside, upper.join("run")).unwrap();
        let created = ["/proc", "/dev", "/etc", "/etc/hosts", "/etc/hostname", "/run/hosts"];
        remove_stubs(&upper, &created.map(str::to_owned));
        assert!(!upper.join("proc").exists() && !upper.join("etc/hosts").exists());
        assert!(upper.join("etc/hostname").exists() && upper.join("dev/x").exists());
        assert!(outside.join("hosts").exists());
    }
}
