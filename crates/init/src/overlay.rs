//! The overlay of an image's layers and a sandbox's writes.

use std::ffi::{CString, OsStr};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use berth_init::message::{Failure, Writable};
use rustix::fs::{CWD, Mode};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
};

use crate::failure::Step;
use crate::userns::UserNamespace;
use crate::{kernel, stage};

/// The upper directory must be readable without the lower ones: it becomes an image's layer. Redirects
/// are not even followed: together with [`USER_XATTR`], overlayfs takes no other value.
const OPTIONS: [(&str, &str); 3] =
    [("index", "off"), ("metacopy", "off"), ("redirect_dir", "nofollow")];

/// Notes in `user.` attributes: in a user namespace, those in `trusted.` cannot be had.
const USER_XATTR: &str = "userxattr";

/// Makes a detached overlay of all layers, the stage's skeleton below all others. This process is in
/// the stage, which keeps the mounts that the overlay is made of.
pub(crate) fn mount(
    layers: &[OwnedFd],
    writable: &Writable,
    written: &OwnedFd,
    namespace: Option<&UserNamespace>,
) -> Result<OwnedFd, Failure> {
    let directories = Directories {
        lower: show_layers(layers, namespace)?,
        base: show_writable(writable, written, namespace).step("attach what takes the writes")?,
        writable,
    };
    // One by one (`lowerdir+`) since Linux 6.7. Asked of the version, because older kernels take any
    // option at first, and complain about it in the host's log when they mount.
    let what = "mount the layers as overlay";
    if !kernel::at_least(6, 7) {
        return mount_in_one_string(&directories).and_then(takes_writes).step(what);
    }
    let fs =
        rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).step("open overlayfs")?;
    let mount = configure(&fs, &directories).or_else(|(error, option)| {
        let mut log = String::new();
        let _ = std::fs::File::from(fs).read_to_string(&mut log);
        Err(error).step(&format!("{what} ({option}: {})", log.trim_end()))
    })?;
    takes_writes(mount).step(what)
}

/// Without room for its working directory, overlayfs mounts all the same, and takes no writes.
fn takes_writes(mount: OwnedFd) -> io::Result<OwnedFd> {
    let flags = rustix::fs::fstatvfs(&mount)?.f_flag;
    match flags.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        true => Err(Errno::NOSPC.into()),
        false => Ok(mount),
    }
}

/// Attaches the layers in the stage, on mounts where the disk's root is root inside.
fn show_layers(
    layers: &[OwnedFd],
    namespace: Option<&UserNamespace>,
) -> Result<Vec<String>, Failure> {
    let show = |(i, layer): (usize, &OwnedFd)| {
        let at = format!("{}/{i}", stage::LAYERS);
        rustix::fs::mkdir(&at, Mode::from_raw_mode(0o700))?;
        if let Some(namespace) = namespace {
            namespace.map(layer.as_fd(), false)?;
        }
        attach(layer, Path::new(&at))?;
        io::Result::Ok(at)
    };
    layers.iter().enumerate().map(show).collect::<io::Result<_>>().step("attach the image's layers")
}

/// Attaches the mount of the upper and the working directory in the same way; where it is.
fn show_writable(
    writable: &Writable,
    written: &OwnedFd,
    namespace: Option<&UserNamespace>,
) -> io::Result<&'static str> {
    match namespace {
        // Agents see a disk with the owners that are on it: what is mapped is a copy.
        Some(namespace) if writable.disk => {
            attach(written, Path::new(stage::DISK))?;
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            let copy = rustix::mount::open_tree(CWD, stage::DISK, flags)?;
            namespace.map(copy.as_fd(), false)?;
            attach(&copy, Path::new(stage::WRITABLE))?;
        }
        Some(namespace) => {
            namespace.map(written.as_fd(), false)?;
            attach(written, Path::new(stage::WRITABLE))?;
        }
        None => attach(written, Path::new(stage::WRITABLE))?,
    }
    Ok(stage::WRITABLE)
}

fn attach(tree: &OwnedFd, at: &Path) -> rustix::io::Result<()> {
    rustix::mount::move_mount(tree, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// The directories as overlayfs is told of them, all below the stage.
struct Directories<'a> {
    /// The image's layers, topmost first.
    lower: Vec<String>,
    /// Where the upper and the working directory are.
    base: &'static str,
    writable: &'a Writable,
}

impl Directories<'_> {
    /// All layers: the stage's skeleton is below the image's.
    fn lower(&self) -> impl Iterator<Item = &str> {
        self.lower.iter().map(String::as_str).chain([stage::SKELETON])
    }

    fn upper_and_work(&self) -> [(&'static str, Vec<u8>); 2] {
        let below = |name: &[u8]| [self.base.as_bytes(), b"/", name].concat();
        [("upperdir", below(&self.writable.upper)), ("workdir", below(&self.writable.work))]
    }

    fn flags(&self) -> impl Iterator<Item = &'static str> {
        let volatile = self.writable.volatile.then_some("volatile");
        volatile.into_iter().chain(kernel::in_a_user_namespace().then_some(USER_XATTR))
    }
}

fn configure(fs: &OwnedFd, directories: &Directories) -> Result<OwnedFd, (Errno, &'static str)> {
    let set = |key: &'static str, value: &[u8]| {
        rustix::mount::fsconfig_set_string(fs, key, OsStr::from_bytes(value)).map_err(|e| (e, key))
    };
    for layer in directories.lower() {
        set("lowerdir+", layer.as_bytes())?;
    }
    for (key, path) in directories.upper_and_work() {
        set(key, &path)?;
    }
    for (key, value) in OPTIONS {
        set(key, value.as_bytes())?;
    }
    for flag in directories.flags() {
        rustix::mount::fsconfig_set_flag(fs, flag).map_err(|e| (e, flag))?;
    }
    rustix::mount::fsconfig_create(fs).map_err(|e| (e, "create"))?;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    rustix::mount::fsmount(fs, flags, MountAttrFlags::MOUNT_ATTR_NODEV).map_err(|e| (e, "mount"))
}

/// The same mount by mount(2), whose options are limited to one page.
fn mount_in_one_string(directories: &Directories) -> io::Result<OwnedFd> {
    let mut options = b"lowerdir=".to_vec();
    options.extend(directories.lower().collect::<Vec<_>>().join(":").as_bytes());
    for (key, path) in directories.upper_and_work() {
        options.extend([b",", key.as_bytes(), b"=", &path].concat());
    }
    for (key, value) in OPTIONS {
        options.extend(format!(",{key}={value}").as_bytes());
    }
    for flag in directories.flags() {
        options.extend(format!(",{flag}").as_bytes());
    }
    let options = CString::new(options)?;
    let at = stage::OVERLAY;
    rustix::mount::mount("overlay", at, "overlay", MountFlags::NODEV, Some(options.as_c_str()))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(rustix::mount::open_tree(CWD, at, flags)?)
}
