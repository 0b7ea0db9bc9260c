//! The mounts every sandbox gets, built beforehand as detached trees and moved into its root once
//! that is known: /proc, /dev, /sys and the three files of /etc.
//!
//! What is hidden or read-only is Docker's list. It hides what the kernel does not namespace; what
//! root inside may do is limited by capabilities and seccomp, not here.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use berth_init::message::{Failure, Fork};
use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, OpenTreeFlags, UnmountFlags};

use crate::failure::Step;
use crate::userns::UserNamespace;

/// Files show `/dev/null`, directories an empty one.
const MASKED: [&str; 12] = [
    "proc/acpi",
    "proc/asound",
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/timer_list",
    "proc/timer_stats",
    "sys/devices/virtual/powercap",
    "sys/firmware",
];

const READ_ONLY: [&str; 5] = ["proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"];

const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const DEVICE_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Directory of the skeleton layer below the stage.
pub(crate) const SKELETON: &str = "skeleton";

/// Where the image's layers are attached, by their number.
pub(crate) const LAYERS: &str = "layers";

/// Where the sandbox's disk is attached, if it has one.
pub(crate) const DISK: &str = "disk";

/// Where the directory that holds the upper and the working one is attached.
pub(crate) const WRITABLE: &str = "writable";

/// Where kernels before 6.7 attach the overlay for a moment.
pub(crate) const OVERLAY: &str = "overlay";

/// Debian's and everybody's group of terminals.
const TTY: u32 = 5;

/// nosuid, nodev, noexec.
const HARMLESS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Detached trees waiting for their root.
pub(crate) struct Stage {
    /// `(mount point, tree)` of /proc, /dev and /sys.
    pub(crate) trees: Vec<(&'static str, OwnedFd)>,
    /// The files of /etc, empty so far.
    pub(crate) hosts: StagedFile,
    pub(crate) hostname: StagedFile,
    pub(crate) resolv_conf: StagedFile,
}

/// A file on memory, to be written and then mounted.
pub(crate) struct StagedFile {
    /// Open for writing.
    pub(crate) file: OwnedFd,
    /// Its detached mount.
    pub(crate) tree: OwnedFd,
}

/// Builds everything on a memory file system at `root` and moves this process into it: from then on
/// nothing of the host is in its mount namespace. The overlay will later cover it.
pub(crate) fn build(
    root: &Path,
    fork: &Fork,
    namespace: Option<&UserNamespace>,
) -> Result<Stage, Failure> {
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags).step("cut mounts off the host's")?;
    let stage = Staging { root: root.to_owned() };
    stage.mount("tmpfs", "", HARMLESS, c"mode=755,size=128k")?;
    for name in ["proc", "dev", "sys", "empty", LAYERS, DISK, WRITABLE, OVERLAY] {
        stage.mkdir(name)?;
    }
    stage.skeleton()?;
    stage.mount("tmpfs", "empty", HARMLESS | MountFlags::RDONLY, c"mode=755,size=4k")?;
    stage.dev(fork.shm_bytes, namespace)?;
    stage.mount("proc", "proc", HARMLESS, c"")?;
    stage.mount("sysfs", "sys", HARMLESS | MountFlags::RDONLY, c"")?;
    stage.cgroups(&fork.cgroup_v1)?;
    for path in READ_ONLY {
        stage.make_read_only(path)?;
    }
    for path in MASKED {
        stage.mask(path)?;
    }
    let staged = Stage {
        trees: vec![
            ("/proc", stage.tree("proc")?),
            ("/dev", stage.tree("dev")?),
            ("/sys", stage.tree("sys")?),
        ],
        hosts: stage.file("hosts")?,
        hostname: stage.file("hostname")?,
        resolv_conf: stage.file("resolv.conf")?,
    };
    pivot(root)?;
    Ok(staged)
}

/// Makes `root` the root and lets go of the host's file systems. Beforehand, because the kernel waits
/// for all processors when it unmounts.
fn pivot(root: &Path) -> Result<(), Failure> {
    rustix::process::chdir(root).step("enter the stage")?;
    // The old root ends up on top of the new one (pivot_root(2), "pivot_root(".", ".")").
    rustix::process::pivot_root(".", ".").step("pivot the root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).step("let go of the host's mounts")?;
    rustix::process::chdir("/").step("enter the stage")
}

/// Puts a `/proc` of the caller's own PID namespace, hidden and read-only like the staged one, in
/// that one's place. For a main program that is PID 1, before it is executed: the namespace a `/proc`
/// shows is that of who mounts it.
pub(crate) fn renew_proc() -> Result<(), Failure> {
    let place = Staging { root: PathBuf::from("/") };
    rustix::mount::unmount(place.path("proc"), UnmountFlags::DETACH).step("unmount /proc")?;
    place.mount("proc", "proc", HARMLESS, c"")?;
    for path in READ_ONLY.into_iter().filter(|path| path.starts_with("proc/")) {
        place.make_read_only(path)?;
    }
    for path in MASKED.into_iter().filter(|path| path.starts_with("proc/")) {
        let Ok(stat) = rustix::fs::lstat(place.path(path)) else { continue };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let flags = HARMLESS | MountFlags::RDONLY;
            place.mount("tmpfs", path, flags, c"mode=755,size=4k")?;
        } else {
            place.mask(path)?;
        }
    }
    Ok(())
}

struct Staging {
    root: PathBuf,
}

impl Staging {
    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.clone() } else { self.root.join(name) }
    }

    fn mkdir(&self, name: &str) -> Result<(), Failure> {
        rustix::fs::mkdir(self.path(name), Mode::from_raw_mode(0o755)).step_on("make", name)
    }

    fn mount(
        &self,
        kind: &str,
        name: &str,
        flags: MountFlags,
        options: &CStr,
    ) -> Result<(), Failure> {
        rustix::mount::mount(kind, self.path(name), kind, flags, Some(options))
            .step_on(&format!("mount {kind} at"), &format!("/{name}"))
    }

    /// The mount points every root needs, as a layer below the image's: so an image that lacks some
    /// costs no writes to disk, and none of them ends up in a layer that is built.
    fn skeleton(&self) -> Result<(), Failure> {
        for name in ["", "/proc", "/dev", "/sys", "/etc"] {
            self.mkdir(&format!("{SKELETON}{name}"))?;
        }
        for name in ["hosts", "hostname", "resolv.conf"] {
            let path = self.path(SKELETON).join("etc").join(name);
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            rustix::fs::open(path, flags, Mode::from_raw_mode(0o644)).step_on("make", name)?;
        }
        Ok(())
    }

    fn dev(&self, shm_bytes: u64, namespace: Option<&UserNamespace>) -> Result<(), Failure> {
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
        self.mount("tmpfs", "dev", flags, c"mode=755,size=64k")?;
        for (name, major, minor) in DEVICES {
            let path = self.path("dev").join(name);
            let mode = Mode::from_raw_mode(0o666);
            let device = rustix::fs::makedev(major, minor);
            match rustix::fs::mknodat(CWD, &path, FileType::CharacterDevice, mode, device) {
                // In a user namespace nobody may make devices; the host's can be shown.
                Err(Errno::PERM) => {
                    self.show_device(name)?;
                    continue;
                }
                made => made.step_on("make device", name)?,
            }
            // The umask does not apply to what a program expects of /dev/null.
            rustix::fs::chmod(&path, mode).step_on("make device", name)?;
        }
        for (name, target) in DEVICE_LINKS {
            rustix::fs::symlink(target, self.path("dev").join(name)).step_on("make link", name)?;
        }
        for name in ["dev/pts", "dev/shm", "dev/mqueue"] {
            self.mkdir(name)?;
        }
        self.terminals(namespace)?;
        let shm = format!("mode=1777,size={shm_bytes}");
        let shm = CString::new(shm).map_err(std::io::Error::other).step_on("mount", "dev/shm")?;
        self.mount("tmpfs", "dev/shm", HARMLESS, &shm)?;
        // A kernel may be built without message queues.
        let _ = self.mount("mqueue", "dev/mqueue", HARMLESS, c"");
        Ok(())
    }

    fn terminals(&self, namespace: Option<&UserNamespace>) -> Result<(), Failure> {
        let host = |id| namespace.map_or(Some(id), |namespace| namespace.host(id)).unwrap_or(id);
        let options = format!("newinstance,ptmxmode=0666,mode=0620,gid={}", host(TTY));
        let options =
            CString::new(options).map_err(std::io::Error::other).step_on("mount", "dev/pts")?;
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
        // Who has one id of its own has no group of terminals.
        let none = c"newinstance,ptmxmode=0666,mode=0620";
        self.mount("devpts", "dev/pts", flags, &options)
            .or_else(|_| self.mount("devpts", "dev/pts", flags, none))?;
        // Made by the kernel, so not in our name.
        let (uid, gid) = (Uid::from_raw(host(0)), Gid::from_raw(host(0)));
        for name in ["dev/pts", "dev/pts/ptmx"] {
            rustix::fs::chown(self.path(name), Some(uid), Some(gid)).step_on("give", name)?;
        }
        Ok(())
    }

    fn show_device(&self, name: &str) -> Result<(), Failure> {
        let path = self.path("dev").join(name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        rustix::fs::open(&path, flags, Mode::from_raw_mode(0o666)).step_on("make device", name)?;
        let host = Path::new("/dev").join(name);
        rustix::mount::mount_bind(&host, &path).step_on("show device", name)
    }

    /// Shows the sandbox its own cgroups, read-only: runtimes size their heaps by them. Best
    /// effort, because a host may hide its cgroups from us.
    fn cgroups(&self, v1: &[(String, String)]) -> Result<(), Failure> {
        let flags = HARMLESS | MountFlags::RDONLY;
        if v1.is_empty() {
            let _ = self.mount("cgroup2", "sys/fs/cgroup", flags, c"");
            return Ok(());
        }
        let base = "sys/fs/cgroup";
        if self.mount("tmpfs", base, HARMLESS, c"mode=755,size=4k").is_err() {
            return Ok(());
        }
        for (name, options) in v1 {
            let name = format!("{base}/{name}");
            let Ok(options) = CString::new(options.as_str()) else { continue };
            self.mkdir(&name)?;
            let _ = self.mount("cgroup", &name, flags, &options);
        }
        rustix::mount::mount_remount(self.path(base), flags | MountFlags::BIND, c"")
            .step_on("make read-only", base)
    }

    fn make_read_only(&self, name: &str) -> Result<(), Failure> {
        let path = self.path(name);
        match rustix::mount::mount_bind(&path, &path) {
            Err(Errno::NOENT) => return Ok(()),
            result => result.step_on("bind", name)?,
        }
        let flags = HARMLESS | MountFlags::BIND | MountFlags::RDONLY;
        rustix::mount::mount_remount(&path, flags, c"").step_on("make read-only", name)
    }

    fn mask(&self, name: &str) -> Result<(), Failure> {
        let path = self.path(name);
        let Ok(stat) = rustix::fs::lstat(&path) else { return Ok(()) };
        let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let cover = self.path(if directory { "empty" } else { "dev/null" });
        rustix::mount::mount_bind(cover, &path).step_on("hide", name)
    }

    /// A detached copy of the mounts at `name`.
    fn tree(&self, name: &str) -> Result<OwnedFd, Failure> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE;
        rustix::mount::open_tree(CWD, self.path(name), flags).step_on("detach", name)
    }

    fn file(&self, name: &str) -> Result<StagedFile, Failure> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let file = rustix::fs::open(self.path(name), flags, mode).step_on("make", name)?;
        rustix::fs::fchmod(&file, mode).step_on("make", name)?;
        Ok(StagedFile { file, tree: self.tree(name)? })
    }
}
