//! Layers as one tree, seen through an overlay mount that is attached nowhere.
//!
//! The mount lives in a file descriptor: nothing in the host's tree shows it, and it is gone with
//! the descriptor, however this process ends.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

use crate::overlay_notes::notes;
use crate::root::Root;

/// Features that would tie a layer to those below it; an image's layers stand alone.
/// Redirects are not even followed: together with `userxattr`, overlayfs takes no other value.
const OFF: [(&str, &str); 3] =
    [("index", "off"), ("metacopy", "off"), ("redirect_dir", "nofollow")];

/// Where changes go.
pub(crate) struct Upper<'a> {
    pub(crate) upper: &'a Path,
    /// An empty directory on the same file system, for overlayfs itself.
    pub(crate) work: &'a Path,
}

/// Shows `layers` (topmost first, at least one) as one tree. Without `upper` it is read-only; `empty`
/// is an empty directory to put below a single layer, as overlayfs wants two.
pub(crate) fn mount(
    layers: &[PathBuf],
    upper: Option<Upper<'_>>,
    empty: &Path,
) -> io::Result<Root> {
    let mut lower = layers.iter().map(|layer| open(layer)).collect::<io::Result<Vec<_>>>()?;
    if upper.is_none() && lower.len() == 1 && layers[0] != empty {
        lower.push(open(empty)?);
    } else if upper.is_none() && lower.len() == 1 {
        return Root::open(empty);
    }
    let upper = match upper {
        Some(upper) => Some((open(upper.upper)?, open(upper.work)?)),
        None => None,
    };
    let root = match mount_detached(&lower, upper.as_ref()) {
        // Kernels before 6.8 do not know `lowerdir+`.
        Err(Errno::INVAL) => mount_briefly(&lower, upper.as_ref())?,
        result => Root::from_fd(result.map_err(explain)?),
    };
    // Without room for its working directory, overlayfs mounts all the same, and takes no writes.
    if upper.is_some() && is_read_only(&root)? {
        return Err(explain(Errno::NOSPC));
    }
    Ok(root)
}

fn is_read_only(mount: impl AsFd) -> io::Result<bool> {
    Ok(rustix::fs::fstatvfs(mount)?.f_flag.contains(StatVfsMountFlags::RDONLY))
}

fn explain(errno: Errno) -> io::Error {
    let error = io::Error::from(errno);
    io::Error::new(error.kind(), format!("mount an overlay of the layers: {error}"))
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|errno| crate::error::at(path, errno.into()))
}

/// A path that is short and has no character overlayfs gives a meaning.
fn name(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

fn mount_detached(lower: &[OwnedFd], upper: Option<&(OwnedFd, OwnedFd)>) -> Result<OwnedFd, Errno> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in lower {
        fsconfig_set_string(&context, "lowerdir+", name(layer))?;
    }
    if let Some((upper, work)) = upper {
        fsconfig_set_string(&context, "upperdir", name(upper))?;
        fsconfig_set_string(&context, "workdir", name(work))?;
    }
    for (feature, value) in OFF {
        fsconfig_set_string(&context, feature, value)?;
    }
    if let Some(option) = notes().option {
        fsconfig_set_flag(&context, option)?;
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// Mounts it somewhere for as long as it takes to open it.
fn mount_briefly(lower: &[OwnedFd], upper: Option<&(OwnedFd, OwnedFd)>) -> io::Result<Root> {
    let mut options = format!("lowerdir={}", lower.iter().map(name).collect::<Vec<_>>().join(":"));
    if let Some((upper, work)) = upper {
        options.push_str(&format!(",upperdir={},workdir={}", name(upper), name(work)));
    }
    for (feature, value) in OFF {
        options.push_str(&format!(",{feature}={value}"));
    }
    if let Some(option) = notes().option {
        options.push_str(&format!(",{option}"));
    }
    let options = std::ffi::CString::new(options).expect("numbers and words have no NUL");
    let target = tempfile::tempdir()?;
    rustix::mount::mount(
        "overlay",
        target.path(),
        "overlay",
        MountFlags::empty(),
        options.as_c_str(),
    )
    .map_err(explain)?;
    let root = Root::open(target.path());
    rustix::mount::unmount(target.path(), UnmountFlags::DETACH)?;
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        for (layer, file) in [("top", "a"), ("bottom", "b")] {
            fs_err::create_dir(dir.path().join(layer)).unwrap();
            fs_err::write(dir.path().join(layer).join(file), layer).unwrap();
        }
        for folder in ["upper", "work", "empty"] {
            fs_err::create_dir(dir.path().join(folder)).unwrap();
        }
        let layers = vec![dir.path().join("top"), dir.path().join("bottom")];
        (dir, layers)
    }

    fn mounts() -> usize {
        fs_err::read_to_string("/proc/self/mountinfo").unwrap().lines().count()
    }

    #[test]
    fn layers_are_one_tree_that_no_one_else_sees() {
        let (dir, layers) = layers();
        let before = mounts();
        let root = mount(&layers, None, &dir.path().join("empty")).unwrap();
        assert_eq!(root.read(Path::new("a"), 9).unwrap().unwrap(), b"top");
        assert_eq!(root.read(Path::new("b"), 9).unwrap().unwrap(), b"bottom");
        assert_eq!(mounts(), before);
    }

    #[test]
    fn one_layer_and_no_layer_are_trees_too() {
        let (dir, layers) = layers();
        let empty = dir.path().join("empty");
        let root = mount(&layers[..1], None, &empty).unwrap();
        assert!(root.read(Path::new("a"), 9).unwrap().is_some());
        let root = mount(std::slice::from_ref(&empty), None, &empty).unwrap();
        assert!(root.read(Path::new("a"), 9).unwrap().is_none());
    }

    #[test]
    fn changes_go_to_the_upper_directory_by_both_ways_of_mounting() {
        for old_kernel in [false, true] {
            let (dir, layers) = layers();
            let (upper, work) = (dir.path().join("upper"), dir.path().join("work"));
            let lower: Vec<_> = layers.iter().map(|layer| open(layer).unwrap()).collect();
            let upper_fds = (open(&upper).unwrap(), open(&work).unwrap());
            let root = if old_kernel {
                mount_briefly(&lower, Some(&upper_fds)).unwrap()
            } else {
                mount(
                    &layers,
                    Some(Upper { upper: &upper, work: &work }),
                    &dir.path().join("empty"),
                )
                .unwrap()
            };
            crate::root::remove(root.as_fd(), std::ffi::OsStr::new("b")).unwrap();
            drop(root);
            let stat = rustix::fs::lstat(upper.join("b")).unwrap();
            assert!(crate::root::is_whiteout(&stat));
        }
    }
}
