//! A directory tree that is worked on as a root: no path, symlink or race leads out of it.
//!
//! Every path is resolved by the kernel with `openat2(RESOLVE_IN_ROOT)`: `..` and absolute symlinks
//! stay inside, as they would for a process that sees this tree as `/`.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// Times an `openat2` is repeated when something else was renamed meanwhile.
const RETRIES: usize = 64;

/// An open directory that is the root of everything done through it.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    /// Whether what is mounted in it belongs to it.
    mounts: bool,
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Root {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| crate::error::at(path, errno.into()))?;
        Ok(Self { fd, mounts: true })
    }

    pub(crate) fn from_fd(fd: OwnedFd) -> Self {
        Self { fd, mounts: true }
    }

    /// The root of a running program: no path leads into what is mounted there, `/proc` above all.
    pub(crate) fn of_program(fd: OwnedFd) -> Self {
        Self { fd, mounts: false }
    }

    /// Opens `path`, following symlinks inside the root; with `NOFOLLOW`, the last one is not.
    pub(crate) fn open_at(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        if !self.mounts {
            resolve |= ResolveFlags::NO_XDEV;
        }
        let flags = flags | OFlags::CLOEXEC;
        for _ in 0..RETRIES {
            match rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return result,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Opens the directory at `path`.
    pub(crate) fn directory(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.open_at(path, OFlags::DIRECTORY | OFlags::RDONLY)
    }

    /// Opens the directory at `path` and makes what is missing of it, calling `made` for each new
    /// directory, parents first.
    pub(crate) fn make_directory(
        &self,
        path: &Path,
        made: &mut dyn FnMut(BorrowedFd<'_>, &Path) -> Result<(), Errno>,
    ) -> Result<OwnedFd, Errno> {
        match self.directory(path) {
            Err(Errno::NOENT) => {}
            result => return result,
        }
        let mut prefix = PathBuf::new();
        let mut parent = self.directory(&prefix)?;
        for component in path.components() {
            let Component::Normal(name) = component else { continue };
            prefix.push(name);
            parent = match self.directory(&prefix) {
                Err(Errno::NOENT) => {
                    rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
                    let fd = self.directory(&prefix)?;
                    // The process's umask is not the image's business.
                    rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o755))?;
                    made(fd.as_fd(), &prefix)?;
                    fd
                }
                result => result?,
            };
        }
        Ok(parent)
    }

    /// What is at `path`, following symlinks; `None` when nothing is.
    pub(crate) fn stat(&self, path: &Path) -> Result<Option<Stat>, Errno> {
        match self.open_at(path, OFlags::PATH) {
            Ok(fd) => rustix::fs::fstat(&fd).map(Some),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The whole file at `path`, following symlinks; `None` when there is none.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        use io::Read as _;
        let fd = match self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        if kind(&rustix::fs::fstat(&fd)?) != FileType::RegularFile {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        std::fs::File::from(fd).take(limit).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }
}

/// The file type in a `stat`.
pub(crate) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// What is at `name` in `parent`, not following a symlink; `None` when nothing is.
pub(crate) fn stat_at(parent: BorrowedFd<'_>, name: &OsStr) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Whether this is overlayfs's mark that the name is removed: a character device 0:0.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Names in an open directory, sorted by bytes, without `.` and `..`.
pub(crate) fn names(directory: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Opens a directory within an open one; a symlink there is not followed.
pub(crate) fn open_child(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Removes `name` in `parent` with everything in it. Symlinks are removed, not followed.
pub(crate) fn remove(parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        result => return result,
    }
    let directory = open_child(parent, name)?;
    for child in names(directory.as_fd())? {
        remove(directory.as_fd(), OsStr::from_bytes(&child))?;
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(dir.path().join("root/a")).unwrap();
        fs_err::create_dir(dir.path().join("outside")).unwrap();
        fs_err::write(dir.path().join("outside/secret"), "s").unwrap();
        let root = Root::open(&dir.path().join("root")).unwrap();
        (dir, root)
    }

    #[test]
    fn no_path_and_no_symlink_leads_out_of_the_root() {
        let (dir, root) = tree();
        symlink("../../outside", dir.path().join("root/a/relative")).unwrap();
        symlink(dir.path().join("outside"), dir.path().join("root/a/absolute")).unwrap();
        symlink("/proc/self/root", dir.path().join("root/a/magic")).unwrap();
        let outside = format!("{}/outside/secret", dir.path().display());
        for path in ["../outside/secret", "a/relative/secret", "a/absolute/secret", &outside] {
            assert!(root.read(Path::new(path), 10).unwrap().is_none(), "{path}");
        }
        assert!(root.directory(Path::new("a/magic")).is_err());
    }

    #[test]
    fn directories_are_made_through_symlinks_inside() {
        let (dir, root) = tree();
        symlink("/a", dir.path().join("root/link")).unwrap();
        let mut made = Vec::new();
        root.make_directory(Path::new("link/b/c"), &mut |_, path| {
            made.push(path.to_owned());
            Ok(())
        })
        .unwrap();
        assert!(dir.path().join("root/a/b/c").is_dir());
        assert_eq!(made, [Path::new("link/b"), Path::new("link/b/c")]);
    }

    #[test]
    fn removing_a_tree_leaves_what_its_symlinks_point_to() {
        let (dir, root) = tree();
        symlink(dir.path().join("outside"), dir.path().join("root/a/link")).unwrap();
        remove(root.as_fd(), OsStr::new("a")).unwrap();
        assert!(!dir.path().join("root/a").exists());
        assert!(dir.path().join("outside/secret").exists());
    }
}
