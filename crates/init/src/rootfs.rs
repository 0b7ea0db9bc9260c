//! The root file system: how it becomes the root, and what is mounted into it.
//!
//! Everything that resolves a path of the image happens after that and by openat2 without magic
//! links, so no symbolic link of an image leads out, not even through `/proc/self/fd`.

use std::os::fd::{AsFd, OwnedFd};

use berth_init::message::{Bind, Failure, Start, Tmpfs};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags};

use crate::failure::Step;
use crate::overlay;
use crate::stage::{Stage, StagedFile};
use crate::userns::UserNamespace;

/// How often a path is resolved again when the kernel could not do it safely.
const OPEN_ATTEMPTS: u32 = 128;

/// What of the host is shown inside, as detached mounts.
pub(crate) struct Trees {
    /// The image's layers, topmost first.
    pub(crate) layers: Vec<OwnedFd>,
    /// What takes the writes.
    pub(crate) writable: OwnedFd,
    /// Those of [`Start::binds`].
    pub(crate) binds: Vec<OwnedFd>,
}

impl Trees {
    /// The descriptors that came with a `Start`.
    pub(crate) fn take(start: &Start, fds: Vec<OwnedFd>) -> Result<Self, Failure> {
        let mut fds = fds.into_iter();
        let layers: Vec<_> = fds.by_ref().take(start.layers.into()).collect();
        let (writable, binds) = (fds.next(), fds.collect::<Vec<_>>());
        let complete = layers.len() == start.layers.into() && binds.len() == start.binds.len();
        match writable {
            Some(writable) if complete => Ok(Self { layers, writable, binds }),
            _ => Err(Errno::BADF).step("take the mounts of the root file system"),
        }
    }
}

/// Puts the root together and moves into it; returns the mount points it had to make.
pub(crate) fn enter(
    stage: Stage,
    start: &Start,
    trees: &Trees,
    namespace: Option<&UserNamespace>,
) -> Result<Vec<String>, Failure> {
    let root = overlay::mount(&trees.layers, &start.writable, &trees.writable, namespace)?;
    cover(&root).step("enter the root")?;
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
    for (bind, source) in start.binds.iter().zip(&trees.binds) {
        mount_bind(&mut points, bind, source, namespace)?;
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

/// Covers the stage with `root` and makes that this process's root, as a booting machine covers its
/// initramfs (switch_root(8)): a walk up from anywhere ends in what is on top. Nothing is unmounted,
/// for which the kernel would wait.
fn cover(root: &OwnedFd) -> rustix::io::Result<()> {
    rustix::process::fchdir(root)?;
    rustix::mount::move_mount(root, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    rustix::process::chroot(".")
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

fn mount_bind(
    points: &mut MountPoints,
    bind: &Bind,
    source: &OwnedFd,
    namespace: Option<&UserNamespace>,
) -> Result<(), Failure> {
    if let Some(namespace) = namespace {
        namespace.map(source.as_fd(), true).step_on("map the ids of", &bind.target)?;
    }
    let stat = rustix::fs::fstat(source).step_on("look at", &bind.target)?;
    let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let point =
        if directory { points.directory(&bind.target)? } else { points.file(&bind.target, 0)? };
    attach(source, &point).step_on("mount", &bind.target)?;
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
