//! Disks: how much a sandbox may write.
//!
//! Where the host's file system has project quotas that answer as a full disk does, writes go to the
//! sandbox's own directory, and its project has a limit: see [`quota`]. Elsewhere they go to a file
//! system of just that size, made for it: an ext4 without journal on a loop device over a sparse file.
//! The file never has a name, the device is given up with its last user and the mount is attached
//! nowhere but in its sandbox: so when the processes that hold a disk end, however they do, all of it is
//! gone.

mod file;
mod pool;
mod quota;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Mutex;

use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::starts::Starts;
use crate::{DiskLimit, sys};

use pool::Pool;

pub(crate) use quota::{Projects, forget};

/// What limits the writes of a runtime's sandboxes.
#[derive(Debug)]
pub(crate) enum Disks {
    /// Their directories' projects.
    Quota(Projects),
    /// A file system for each.
    Mounted(Pool),
}

impl Disks {
    /// Quotas if sandboxes may have them (`quotas`) and the file system of `dir` does, else a first
    /// disk, to see that the host can, and a pool that keeps `least` of each of the sizes.
    pub(crate) async fn open(
        dir: &Path,
        quotas: bool,
        sizes: &[u64],
        least: usize,
        starts: Starts,
    ) -> io::Result<Self> {
        match quotas.then(|| Projects::open(dir)).flatten() {
            Some(projects) => Ok(Self::Quota(projects)),
            None => Ok(Self::Mounted(Pool::open(dir, sizes, least, starts).await?)),
        }
    }

    pub(crate) fn kind(&self) -> DiskLimit {
        match self {
            Self::Quota(_) => DiskLimit::ProjectQuota,
            Self::Mounted(_) => DiskLimit::LoopDevice,
        }
    }

    /// The quotas, if that is what limits.
    pub(crate) fn projects(&self) -> Option<&Projects> {
        match self {
            Self::Quota(projects) => Some(projects),
            Self::Mounted(_) => None,
        }
    }

    /// Lets go of all that was made beforehand.
    pub(crate) async fn close(&self) {
        if let Self::Mounted(pool) = self {
            pool.close().await;
        }
    }
}

/// One at a time: the kernel says which device is free, not whose it is.
static ATTACHING: Mutex<()> = Mutex::new(());

/// How often a free loop device is looked for again when another process was faster.
const ATTEMPTS: u32 = 64;

/// A mounted file system of fixed size, empty but for overlayfs's two directories.
#[derive(Debug)]
pub(crate) struct Disk {
    /// The detached mount. Owners are as on disk.
    pub(crate) mount: OwnedFd,
}

impl Disk {
    /// Makes one from a template. Blocking.
    fn make(template: &File, dir: &Path) -> io::Result<Self> {
        let backing = file::copy(template, dir)?;
        let (device, path) = attach(&backing)?;
        let mount = mount(&path).map_err(|e| named("mount the disk", &e))?;
        // From here on the mount holds the device, and the device the file.
        drop((device, backing));
        for name in ["upper", "work"] {
            rustix::fs::mkdirat(&mount, name, Mode::from_raw_mode(0o755))?;
            rustix::fs::chmodat(
                &mount,
                name,
                Mode::from_raw_mode(0o755),
                rustix::fs::AtFlags::empty(),
            )?;
        }
        Ok(Self { mount })
    }
}

/// Puts a file behind a free loop device; the open device and its path.
fn attach(backing: &File) -> io::Result<(OwnedFd, String)> {
    let open = |path: &str| {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty())
            .map_err(|e| named(&format!("open `{path}`"), &e.into()))
    };
    let control = open("/dev/loop-control")?;
    let _turn = ATTACHING.lock().expect("no code panics while it holds the lock");
    for _ in 0..ATTEMPTS {
        let number = sys::free_loop_device(control.as_fd())
            .map_err(|e| named("find a free loop device", &e))?;
        let path = format!("/dev/loop{number}");
        let device = open(&path)?;
        match sys::configure_loop_device(device.as_fd(), backing.as_fd()) {
            Ok(()) => return Ok((device, path)),
            Err(e) if e.kind() == io::ErrorKind::ResourceBusy => {}
            Err(e) => return Err(named(&format!("set `{path}` up"), &e)),
        }
    }
    Err(named("find a free loop device", &io::ErrorKind::ResourceBusy.into()))
}

/// Mounts the file system without attaching it anywhere.
fn mount(device: &str) -> io::Result<OwnedFd> {
    let fs = rustix::mount::fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&fs, "source", device)?;
    // Nothing on it needs to survive a crash, nor has it to be as tidy as one that does.
    for flag in ["nobarrier", "noinit_itable"] {
        rustix::mount::fsconfig_set_flag(&fs, flag)?;
    }
    rustix::mount::fsconfig_create(&fs)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOATIME;
    Ok(rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

fn named(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
