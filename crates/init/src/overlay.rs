//! The overlay of an image's layers and a sandbox's writes.

use std::ffi::{CString, OsStr};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use berth_init::message::{Failure, Start};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags};

use crate::failure::Step;
use crate::userns::UserNamespace;
use crate::{kernel, stage};

/// Longest value `fsconfig` takes.
const FSCONFIG_BYTES: usize = 255;

/// The upper directory must be readable without the lower ones: it becomes an image's layer. Redirects
/// are not even followed: together with [`USER_XATTR`], overlayfs takes no other value.
const OPTIONS: [(&str, &str); 3] =
    [("index", "off"), ("metacopy", "off"), ("redirect_dir", "nofollow")];

/// Notes in `user.` attributes: in a user namespace, those in `trusted.` cannot be had.
const USER_XATTR: &str = "userxattr";

/// Where the layers are shown with the sandbox's ids, below the stage.
const LAYERS: &str = "layers";

/// Where the sandbox's disk is shown, if it has one.
const DISK: &str = "disk";

/// Where the directory that holds the upper and the working one is shown with the sandbox's ids.
const WRITABLE: &str = "writable";

/// Mounts the overlay of all layers at `root`, the stage's skeleton below all others. This process
/// is in the stage then.
pub(crate) fn mount(
    root: &Path,
    start: &Start,
    disk: Option<&OwnedFd>,
    namespace: Option<&UserNamespace>,
) -> Result<(), Failure> {
    rustix::process::chdir(root).step("enter the stage")?;
    let mut directories = Directories::plain(start);
    if let Some(disk) = disk {
        directories.write_to(disk).step("attach the sandbox's disk")?;
    }
    if let Some(namespace) = namespace {
        directories.map(namespace)?;
    }
    // One by one (`lowerdir+`) since Linux 6.7. Asked of the version, because older kernels take any
    // option at first, and complain about it in the host's log when they mount.
    if !kernel::at_least(6, 7) {
        return mount_in_one_string(root, &directories);
    }
    let fs =
        rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).step("open overlayfs")?;
    let mount = match configure(&fs, &directories) {
        Err((error, option)) => {
            let mut log = String::new();
            let _ = std::fs::File::from(fs).read_to_string(&mut log);
            let what = format!("mount the layers as overlay ({option}: {})", log.trim_end());
            return Err(error).step(&what);
        }
        Ok(mount) => mount,
    };
    attach(&mount, root).step("attach the root")
}

/// The directories as overlayfs is told of them.
struct Directories {
    /// The image's layers, topmost first.
    lower: Vec<Vec<u8>>,
    upper: Vec<u8>,
    work: Vec<u8>,
    volatile: bool,
}

impl Directories {
    /// All layers: the stage's skeleton is below the image's.
    fn lower(&self) -> impl Iterator<Item = &[u8]> {
        self.lower.iter().map(Vec::as_slice).chain([stage::SKELETON.as_bytes()])
    }

    /// As they are on the host.
    fn plain(start: &Start) -> Self {
        let lower = start.layers.clone();
        let (upper, work) = (start.upper.clone(), start.work.clone());
        Self { lower, upper, work, volatile: start.volatile }
    }

    /// Writes go to the file system of that detached mount.
    fn write_to(&mut self, disk: &OwnedFd) -> io::Result<()> {
        rustix::fs::mkdir(DISK, Mode::from_raw_mode(0o700))?;
        attach(disk, Path::new(DISK))?;
        self.upper = format!("{DISK}/upper").into_bytes();
        self.work = format!("{DISK}/work").into_bytes();
        Ok(())
    }

    /// As mounts in the stage on which the disk's root is root inside. They go with the stage;
    /// overlayfs keeps copies of its own.
    fn map(&mut self, namespace: &UserNamespace) -> Result<(), Failure> {
        let show = |source: &[u8], at: &str| -> io::Result<()> {
            let tree = namespace.mapped(Path::new(OsStr::from_bytes(source)), false)?;
            rustix::fs::mkdir(at, Mode::from_raw_mode(0o700))?;
            Ok(attach(&tree, Path::new(at))?)
        };
        rustix::fs::mkdir(LAYERS, Mode::from_raw_mode(0o700))
            .step("make the layers' mount points")?;
        for (i, layer) in self.lower.iter_mut().enumerate() {
            let at = format!("{LAYERS}/{i}");
            let what = "map the ids of the overlay's layer";
            show(layer, &at).step_on(what, &String::from_utf8_lossy(layer))?;
            *layer = at.into_bytes();
        }
        // Both from one mount: overlayfs insists.
        let (parent, upper) = split(&self.upper);
        let (_, work) = split(&self.work);
        show(parent, WRITABLE)
            .step_on("map the ids of the upper directory in", &String::from_utf8_lossy(parent))?;
        let below = |name: &[u8]| [WRITABLE.as_bytes(), b"/", name].concat();
        (self.upper, self.work) = (below(upper), below(work));
        Ok(())
    }
}

/// A path's directory and its last name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(0) => (b"/", &path[1..]),
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b".", path),
    }
}

fn attach(tree: &OwnedFd, at: &Path) -> rustix::io::Result<()> {
    rustix::mount::move_mount(tree, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

fn configure(fs: &OwnedFd, directories: &Directories) -> Result<OwnedFd, (Errno, &'static str)> {
    let mut opened = Vec::new();
    let mut set = |key: &'static str, path: &[u8]| {
        let value = short_path(path, &mut opened).map_err(|e| (e, key))?;
        rustix::mount::fsconfig_set_string(fs, key, value).map_err(|e| (e, key))
    };
    for layer in directories.lower() {
        set("lowerdir+", layer)?;
    }
    set("upperdir", &directories.upper)?;
    set("workdir", &directories.work)?;
    for (key, value) in OPTIONS {
        rustix::mount::fsconfig_set_string(fs, key, value).map_err(|e| (e, key))?;
    }
    if directories.volatile {
        rustix::mount::fsconfig_set_flag(fs, "volatile").map_err(|e| (e, "volatile"))?;
    }
    if kernel::in_a_user_namespace() {
        rustix::mount::fsconfig_set_flag(fs, USER_XATTR).map_err(|e| (e, USER_XATTR))?;
    }
    rustix::mount::fsconfig_create(fs).map_err(|e| (e, "create"))?;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    rustix::mount::fsmount(fs, flags, MountAttrFlags::MOUNT_ATTR_NODEV).map_err(|e| (e, "mount"))
}

/// A path as overlayfs takes it: as it is, or through a descriptor when it is too long or has
/// characters that mean something. The descriptor must stay open until the mount is made.
fn short_path(path: &[u8], opened: &mut Vec<OwnedFd>) -> Result<CString, Errno> {
    let plain = path.len() <= FSCONFIG_BYTES && !path.iter().any(|b| b":,\\".contains(b));
    if plain {
        return CString::new(path).map_err(|_| Errno::INVAL);
    }
    descriptor_path(path, opened)
}

fn descriptor_path(path: &[u8], opened: &mut Vec<OwnedFd>) -> Result<CString, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let fd = rustix::fs::open(OsStr::from_bytes(path), flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    opened.push(fd);
    CString::new(path).map_err(|_| Errno::INVAL)
}

/// The same mount by mount(2), whose options are limited to one page: every layer through a short
/// descriptor path.
fn mount_in_one_string(root: &Path, directories: &Directories) -> Result<(), Failure> {
    let what = "mount the layers as overlay";
    let mut opened = Vec::new();
    let mut options = b"lowerdir=".to_vec();
    for (i, layer) in directories.lower().enumerate() {
        options.extend(if i > 0 { &b":"[..] } else { b"" });
        options.extend(descriptor_path(layer, &mut opened).step(what)?.as_bytes());
    }
    for (key, path) in [(",upperdir=", &directories.upper), (",workdir=", &directories.work)] {
        options.extend(key.as_bytes());
        options.extend(descriptor_path(path, &mut opened).step(what)?.as_bytes());
    }
    for (key, value) in OPTIONS {
        options.extend(format!(",{key}={value}").as_bytes());
    }
    options.extend(if directories.volatile { &b",volatile"[..] } else { b"" });
    if kernel::in_a_user_namespace() {
        options.extend(format!(",{USER_XATTR}").as_bytes());
    }
    let options = CString::new(options).map_err(io::Error::other).step(what)?;
    rustix::mount::mount("overlay", root, "overlay", MountFlags::NODEV, Some(options.as_c_str()))
        .step(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_at_its_last_name() {
        assert_eq!(split(b"/a/b/upper"), (&b"/a/b"[..], &b"upper"[..]));
        assert_eq!(split(b"/upper"), (&b"/"[..], &b"upper"[..]));
        assert_eq!(split(b"upper"), (&b"."[..], &b"upper"[..]));
    }
}
