//! The root file system: pivot, and what is mounted into it.
//!
//! Everything that resolves a path of the image happens after the pivot and by openat2 without magic
//! links, so no symbolic link of an image leads out, not even through `/proc/self/fd`.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
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
use crate::overlay;
use crate::stage::{Stage, StagedFile};
use crate::userns::UserNamespace;

/// How often a path is resolved again when the kernel could not do it safely.
const OPEN_ATTEMPTS: u32 = 128;

/// Puts the root together and moves into it; returns the mount points it had to make.
pub(crate) fn enter(
    dir: &Path,
    stage: Stage,
    start: &Start,
    disk: Option<&OwnedFd>,
    namespace: Option<&UserNamespace>,
) -> Result<Vec<String>, Failure> {
    let root = dir.join("root");
    overlay::mount(&root, start, disk, namespace)?;
    // Host paths are opened while they can be seen.
    let binds = start.binds.iter().map(|bind| bind_source(bind, namespace));
    let binds: Vec<OwnedFd> = binds.collect::<Result<_, _>>()?;
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

fn bind_source(bind: &Bind, namespace: Option<&UserNamespace>) -> Result<OwnedFd, Failure> {
    let source = Path::new(OsStr::from_bytes(&bind.source));
    if let Some(namespace) = namespace {
        return namespace.mapped(source, true).step_on("open", &source.to_string_lossy());
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
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
    fn a_path_is_normalised_within_the_root() {
        assert_eq!(normal("/etc/../run//systemd/./x"), ["run", "systemd", "x"]);
        assert_eq!(normal("/../../etc"), ["etc"]);
        assert!(normal("/").is_empty());
    }
}
