//! The root file system: overlay, pivot, and what is mounted into it.
//!
//! Everything that resolves a path of the image happens after the pivot and by openat2 without magic
//! links, so no symbolic link of an image leads out, not even through `/proc/self/fd`.

use std::ffi::{CString, OsStr};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use berth_init::message::{Bind, Failure, Start, Tmpfs};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};

use crate::failure::Step;
use crate::stage::{self, Stage, StagedFile};

/// How often a path is resolved again when the kernel could not do it safely.
const OPEN_ATTEMPTS: u32 = 128;

/// Longest value `fsconfig` takes.
const FSCONFIG_BYTES: usize = 255;

/// Puts the root together and moves into it; returns the mount points it had to make.
pub(crate) fn enter(dir: &Path, stage: Stage, start: &Start) -> Result<Vec<String>, Failure> {
    let root = dir.join("root");
    let skeleton = root.join(stage::SKELETON);
    overlay(&root, start, skeleton.as_os_str().as_bytes())?;
    // Host paths are opened while they can be seen.
    let binds: Vec<OwnedFd> = start.binds.iter().map(bind_source).collect::<Result<_, _>>()?;
    pivot(&root)?;
    rustix::system::sethostname(start.hostname.as_bytes()).step("set the host name")?;

    let root = open_root()?;
    let mut points = MountPoints { root, created: Vec::new() };
    for (target, tree) in stage.trees {
        points.real_directory(target)?;
        attach(&tree, &points.directory(target)?).step_on("mount", target)?;
    }
    let hostname = format!("{}\n", start.hostname);
    for (target, staged, text) in [
        ("/etc/hosts", stage.hosts, &start.hosts),
        ("/etc/hostname", stage.hostname, &hostname),
        ("/etc/resolv.conf", stage.resolv_conf, &start.resolv_conf),
    ] {
        etc_file(&mut points, target, &staged, text)?;
    }
    for (bind, source) in start.binds.iter().zip(&binds) {
        mount_bind(&mut points, bind, source)?;
    }
    for tmpfs in &start.tmpfs {
        mount_tmpfs(&mut points, tmpfs)?;
    }
    Ok(points.created)
}

/// Opens a path inside the root without following links out of it.
pub(crate) fn open_inside(path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    resolve(&root, path, flags)
}

/// Opens directory `path` inside the root, and makes it and its parents first if they are missing.
pub(crate) fn make_directory(path: &str) -> Result<OwnedFd, Failure> {
    MountPoints { root: open_root()?, created: Vec::new() }.directory(path)
}

fn open_root() -> Result<OwnedFd, Failure> {
    rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).step("open the root")
}

fn resolve(root: &OwnedFd, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    for _ in 1..OPEN_ATTEMPTS {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // Something was renamed or mounted, anywhere on the host, while `..` was resolved.
            Err(Errno::AGAIN) => {}
            result => return result,
        }
    }
    rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Mounts the overlay of all layers at `root`, `skeleton` below all others.
fn overlay(root: &Path, start: &Start, skeleton: &[u8]) -> Result<(), Failure> {
    if !appends_layers(&rustix::system::uname().release().to_string_lossy()) {
        return overlay_in_one_string(root, start, skeleton);
    }
    let fs =
        rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).step("open overlayfs")?;
    let mount = match configure_overlay(&fs, start, skeleton) {
        Err((error, option)) => {
            let mut log = String::new();
            let _ = std::fs::File::from(fs).read_to_string(&mut log);
            let what = format!("mount the layers as overlay ({option}: {})", log.trim_end());
            return Err(error).step(&what);
        }
        Ok(mount) => mount,
    };
    rustix::mount::move_mount(&mount, "", CWD, root, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .step("attach the root")
}

/// Whether overlayfs takes layers one by one (`lowerdir+`, Linux 6.7). Asked of the version, because
/// older kernels take any option at first, and complain about it in the host's log when they mount.
fn appends_layers(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (6, 7),
        _ => false,
    }
}

fn configure_overlay(
    fs: &OwnedFd,
    start: &Start,
    skeleton: &[u8],
) -> Result<OwnedFd, (Errno, &'static str)> {
    let mut opened = Vec::new();
    let mut set = |key: &'static str, path: &[u8]| {
        let value = short_path(path, &mut opened).map_err(|e| (e, key))?;
        rustix::mount::fsconfig_set_string(fs, key, value).map_err(|e| (e, key))
    };
    for layer in layers(start, skeleton) {
        set("lowerdir+", layer)?;
    }
    set("upperdir", &start.upper)?;
    set("workdir", &start.work)?;
    for (key, value) in OVERLAY_OPTIONS {
        rustix::mount::fsconfig_set_string(fs, key, value).map_err(|e| (e, key))?;
    }
    if start.volatile {
        rustix::mount::fsconfig_set_flag(fs, "volatile").map_err(|e| (e, "volatile"))?;
    }
    rustix::mount::fsconfig_create(fs).map_err(|e| (e, "create"))?;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    rustix::mount::fsmount(fs, flags, MountAttrFlags::MOUNT_ATTR_NODEV).map_err(|e| (e, "mount"))
}

fn layers<'a>(start: &'a Start, skeleton: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    start.layers.iter().map(Vec::as_slice).chain([skeleton])
}

/// The upper directory must be readable without the lower ones: it becomes an image's layer.
const OVERLAY_OPTIONS: [(&str, &str); 3] =
    [("index", "off"), ("metacopy", "off"), ("redirect_dir", "off")];

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
fn overlay_in_one_string(root: &Path, start: &Start, skeleton: &[u8]) -> Result<(), Failure> {
    let what = "mount the layers as overlay";
    let mut opened = Vec::new();
    let mut options = b"lowerdir=".to_vec();
    for (i, layer) in layers(start, skeleton).enumerate() {
        options.extend(if i > 0 { &b":"[..] } else { b"" });
        options.extend(descriptor_path(layer, &mut opened).step(what)?.as_bytes());
    }
    for (key, path) in [(",upperdir=", &start.upper), (",workdir=", &start.work)] {
        options.extend(key.as_bytes());
        options.extend(descriptor_path(path, &mut opened).step(what)?.as_bytes());
    }
    for (key, value) in OVERLAY_OPTIONS {
        options.extend(format!(",{key}={value}").as_bytes());
    }
    options.extend(if start.volatile { &b",volatile"[..] } else { b"" });
    let options = CString::new(options).map_err(io::Error::other).step(what)?;
    rustix::mount::mount("overlay", root, "overlay", MountFlags::NODEV, Some(options.as_c_str()))
        .step(what)
}

/// Makes `root` the root and lets go of the host's file systems.
fn pivot(root: &Path) -> Result<(), Failure> {
    rustix::process::chdir(root).step("enter the root")?;
    // The old root ends up on top of the new one (pivot_root(2), "pivot_root(".", ".")").
    rustix::process::pivot_root(".", ".").step("pivot the root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).step("let go of the host's mounts")?;
    rustix::process::chdir("/").step("enter the root")
}

fn attach(tree: &OwnedFd, target: &OwnedFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, "", target, "", flags)
}

fn etc_file(
    points: &mut MountPoints,
    target: &str,
    staged: &StagedFile,
    text: &str,
) -> Result<(), Failure> {
    rustix::io::write(&staged.file, text.as_bytes()).step_on("write", target)?;
    let point = points.file(target, 0)?;
    attach(&staged.tree, &point).step_on("mount", target)
}

fn bind_source(bind: &Bind) -> Result<OwnedFd, Failure> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let source = OsStr::from_bytes(&bind.source);
    rustix::mount::open_tree(CWD, source, flags).step_on("open", &source.to_string_lossy())
}

fn mount_bind(points: &mut MountPoints, bind: &Bind, source: &OwnedFd) -> Result<(), Failure> {
    let stat = rustix::fs::fstat(source).step_on("look at", &bind.target)?;
    let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let point =
        if directory { points.directory(&bind.target)? } else { points.file(&bind.target, 0)? };
    attach(source, &point).step_on("mount", &bind.target)?;
    // What the host mounts below the source later is not shown: nobody asked for it.
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(bind.target.as_str(), private).step_on("restrict", &bind.target)?;
    // A remount needs a path; the one just resolved could only be changed by what runs inside, and
    // nothing does yet.
    let mut flags = MountFlags::BIND | MountFlags::NODEV | MountFlags::NOSUID;
    if bind.read_only {
        flags |= MountFlags::RDONLY;
    }
    rustix::mount::mount_remount(bind.target.as_str(), flags, c"").step_on("restrict", &bind.target)
}

fn mount_tmpfs(points: &mut MountPoints, tmpfs: &Tmpfs) -> Result<(), Failure> {
    let point = points.directory(&tmpfs.target)?;
    let mount = || {
        let fs = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_set_string(&fs, "size", tmpfs.size.to_string())?;
        rustix::mount::fsconfig_set_string(&fs, "mode", format!("{:o}", tmpfs.mode & 0o7777))?;
        rustix::mount::fsconfig_create(&fs)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let mount = rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        attach(&mount, &point)
    };
    mount().step_on("mount a tmpfs at", &tmpfs.target)
}

/// Finds mount points and makes those that are missing.
struct MountPoints {
    root: OwnedFd,
    /// What was made, in order, so that it can be taken out of an image's layer again.
    created: Vec<String>,
}

impl MountPoints {
    /// Refuses an image whose `path` is a link or a file: programs trust what they find there.
    fn real_directory(&self, path: &str) -> Result<(), Failure> {
        match rustix::fs::statat(&self.root, &path[1..], AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(()),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => Ok(()),
            Ok(_) => Err(Errno::NOTDIR).step_on("use the image's", path),
            Err(e) => Err(e).step_on("look at", path),
        }
    }

    /// Opens directory `path`, made with its parents if missing.
    fn directory(&mut self, path: &str) -> Result<OwnedFd, Failure> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let mut current = self.root.as_fd().try_clone_to_owned().step_on("open", path)?;
        let mut walked = String::new();
        for name in normal(path) {
            walked = format!("{walked}/{name}");
            let next = match resolve(&self.root, &walked, flags) {
                Err(Errno::NOENT) => {
                    rustix::fs::mkdirat(&current, &name, Mode::from_raw_mode(0o755))
                        .step_on("make directory", &walked)?;
                    self.created.push(walked.clone());
                    resolve(&self.root, &walked, flags)
                }
                result => result,
            };
            current = next.step_on("open directory", &walked)?;
        }
        Ok(current)
    }

    /// Opens file `path`, made empty with its parents if missing.
    fn file(&mut self, path: &str, depth: u32) -> Result<OwnedFd, Failure> {
        match resolve(&self.root, path, OFlags::PATH) {
            Err(Errno::NOENT) => {}
            result => return result.step_on("open", path),
        }
        let mut names = normal(path);
        let Some(name) = names.pop() else { return Err(Errno::INVAL).step_on("open", path) };
        let parent_path = format!("/{}", names.join("/"));
        let parent = self.directory(&parent_path)?;
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        match rustix::fs::openat(&parent, &name, flags, Mode::from_raw_mode(0o644)) {
            // A link to something missing, as /etc/resolv.conf often is: make that.
            Err(Errno::EXIST) if depth < 8 => {
                let link = rustix::fs::readlinkat(&parent, &name, Vec::new())
                    .step_on("read link", path)?;
                let link = String::from_utf8_lossy(link.as_bytes()).into_owned();
                let target =
                    if link.starts_with('/') { link } else { format!("{parent_path}/{link}") };
                return self.file(&target, depth + 1);
            }
            result => drop(result.step_on("make", path)?),
        }
        self.created.push(format!("{}/{name}", parent_path.trim_end_matches('/')));
        resolve(&self.root, path, OFlags::PATH).step_on("open", path)
    }
}

/// The names along a path, `.` and `..` resolved by the text alone.
fn normal(path: &str) -> Vec<String> {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name.to_owned()),
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_appended_on_kernels_that_can() {
        for release in ["6.7.0", "6.12.9-arch1-1", "6.18.44-fc", "7.0-rc1", "10.1"] {
            assert!(appends_layers(release), "{release}");
        }
        for release in ["6.6.99", "6.1.0-56-cloud-amd64", "5.15.0-generic", "", "x"] {
            assert!(!appends_layers(release), "{release}");
        }
    }

    #[test]
    fn a_path_is_normalised_within_the_root() {
        assert_eq!(normal("/etc/../run//systemd/./x"), ["run", "systemd", "x"]);
        assert_eq!(normal("/../../etc"), ["etc"]);
        assert!(normal("/").is_empty());
    }
}
