//! Copies sources into an image's tree, as `COPY` and `ADD` do.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Known;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, XattrFlags};
use rustix::io::Errno;

use super::archive::decompress;
use super::chmod::Chmod;
use super::tree::{Entry, Source, Tree, within_root};
use crate::error::{StepProblem, StoreError, UnpackError, at};
use crate::options::UnpackLimits;
use crate::root::{Root, kind, remove, stat_at};
use crate::unpack::{Unpack, times, unpack};

/// Where and how files arrive.
pub(super) struct Copier<'a> {
    /// The image's tree, writable.
    pub(super) root: &'a Root,
    /// Destination as an absolute path; with a slash at its end it is a directory.
    pub(super) destination: &'a str,
    /// `--chown`, resolved.
    pub(super) owner: Option<(u32, u32)>,
    /// `--chmod`.
    pub(super) mode: Option<&'a Chmod>,
    /// Whether archives are unpacked (`ADD`).
    pub(super) extract: bool,
    pub(super) limits: UnpackLimits,
    pub(super) cancelled: &'a dyn Fn() -> bool,
    /// Files with several names that were copied: their first name.
    pub(super) links: Links,
}

/// Device and inode of a source → where it was copied to.
pub(super) type Links = RefCell<HashMap<(u64, u64), PathBuf>>;

/// A file whose content stands in the Dockerfile.
pub(super) struct Inline {
    pub(super) name: String,
    pub(super) content: String,
}

impl Copier<'_> {
    fn error(&self, path: &Path, errno: Errno) -> StepProblem {
        StepProblem::Io(at(&Path::new("/").join(path), errno.into()))
    }

    fn path(&self) -> PathBuf {
        within_root(Path::new(self.destination))
    }

    /// Whether the destination means a directory, because it says so or is one.
    fn is_directory(&self, path: &Path) -> Result<bool, StepProblem> {
        if self.destination.ends_with('/') || path.as_os_str().is_empty() {
            return Ok(true);
        }
        let stat = self.root.stat(path).map_err(|errno| self.error(path, errno))?;
        Ok(stat.is_some_and(|stat| kind(&stat) == FileType::Directory))
    }

    /// Copies one source.
    pub(super) fn source(&self, tree: &Tree<'_>, source: &Source) -> Result<(), StepProblem> {
        let mut path = self.path();
        let kept = !source.below.as_os_str().is_empty();
        if kept {
            path.push(&source.below);
        }
        if source.is_directory() {
            return self.directory(tree, source, &path);
        }
        let entry = &source.entries[0];
        if self.extract && self.archive(tree, source, entry, &path)? {
            return Ok(());
        }
        let directory = kept || self.is_directory(&path)?;
        let target = if directory { path.join(&source.name) } else { path };
        let parent = self.parent_of(&target)?;
        self.file(tree, source, entry, parent.as_fd(), &target)
    }

    /// Writes a file whose content stands in the Dockerfile.
    pub(super) fn inline(&self, file: &Inline) -> Result<(), StepProblem> {
        let path = self.path();
        let target = if self.is_directory(&path)? { path.join(&file.name) } else { path };
        let parent = self.parent_of(&target)?;
        let name = target.file_name().unwrap_or(OsStr::new(&file.name));
        let fd = self.create(parent.as_fd(), name, &target)?;
        let mut content = file.content.as_bytes();
        let mut out = std::fs::File::from(fd);
        io::copy(&mut content, &mut out).map_err(|e| StepProblem::Io(at(&target, e)))?;
        let (uid, gid) = self.owner.unwrap_or((0, 0));
        let mode = self.mode.map_or(0o644, |mode| mode.apply(0o644, false));
        set_owner(out.as_fd(), uid, gid)
            .and_then(|()| rustix::fs::fchmod(&out, Mode::from_raw_mode(mode)))
            .map_err(|errno| self.error(&target, errno))
    }

    /// The open directory that `target` is in. What is missing is made, for the given owner.
    fn parent_of(&self, target: &Path) -> Result<OwnedFd, StepProblem> {
        self.make_directory(target.parent().unwrap_or(Path::new("")))
    }

    pub(super) fn make_directory(&self, path: &Path) -> Result<OwnedFd, StepProblem> {
        let (uid, gid) = self.owner.unwrap_or((0, 0));
        self.root
            .make_directory(path, &mut |fd, _| set_owner(fd, uid, gid))
            .map_err(|errno| self.error(path, errno))
    }

    /// Copies what a directory has into the destination, which is one then.
    fn directory(&self, tree: &Tree<'_>, source: &Source, path: &Path) -> Result<(), StepProblem> {
        let existed = self.root.stat(path).map_err(|errno| self.error(path, errno))?;
        let top = self.make_directory(path)?;
        let mut made = Vec::new();
        for entry in &source.entries {
            if (self.cancelled)() {
                return Err(StepProblem::Store(StoreError::Cancelled));
            }
            if entry.path.as_os_str().is_empty() {
                // The context itself is some directory of the host's: its mode says nothing.
                if existed.is_none() && !source.path.as_os_str().is_empty() {
                    made.push((path.to_owned(), entry));
                }
                continue;
            }
            let target = path.join(&entry.path);
            if kind(&entry.stat) == FileType::Directory {
                // One that is there already becomes what the source's is; only the destination itself
                // stays what it was.
                self.make_child_directory(&target)?;
                made.push((target, entry));
                continue;
            }
            let below = entry.path.parent().unwrap_or(Path::new(""));
            if below.as_os_str().is_empty() {
                self.file(tree, source, entry, top.as_fd(), &target)?;
            } else {
                let parent = path.join(below);
                let parent = self.root.directory(&parent).map_err(|e| self.error(&parent, e))?;
                self.file(tree, source, entry, parent.as_fd(), &target)?;
            }
        }
        // Children first: making them changes their parent's time.
        for (target, entry) in made.iter().rev() {
            let fd = self.root.directory(target).map_err(|errno| self.error(target, errno))?;
            self.attributes(tree, fd.as_fd(), &entry.stat)
                .map_err(|errno| self.error(target, errno))?;
        }
        Ok(())
    }

    /// Makes a directory unless there is one.
    fn make_child_directory(&self, target: &Path) -> Result<(), StepProblem> {
        match self.root.stat(target).map_err(|errno| self.error(target, errno))? {
            Some(stat) if kind(&stat) == FileType::Directory => Ok(()),
            Some(_) => Err(StepProblem::Invalid(format!(
                "a directory cannot be copied over the file /{}",
                target.display()
            ))),
            None => self.make_directory(target).map(drop),
        }
    }

    /// Copies a file or a symlink to `target`, whose directory is `parent`.
    fn file(
        &self,
        tree: &Tree<'_>,
        source: &Source,
        entry: &Entry,
        parent: BorrowedFd<'_>,
        target: &Path,
    ) -> Result<(), StepProblem> {
        let shown = tree.shown(source, entry);
        let name = target.file_name().unwrap_or(source.name.as_os_str());
        if kind(&entry.stat) == FileType::Symlink {
            let link = tree.read_link(source, entry)?;
            let (uid, gid) = self.owner_of(tree, &entry.stat);
            return self
                .clear(parent, name)
                .and_then(|()| rustix::fs::symlinkat(&link, parent, name))
                .and_then(|()| set_owner_by_name(parent, name, uid, gid))
                .and_then(|()| set_time_by_name(parent, name, &entry.stat))
                .map_err(|errno| self.error(Path::new(name), errno));
        }
        if self.link(&entry.stat, parent, target, name)? {
            return Ok(());
        }
        let mut from = tree.open(source, entry)?;
        let mut to = std::fs::File::from(self.create(parent, name, Path::new(name))?);
        // The kernel copies, without moving the bytes through this process where it can.
        io::copy(&mut from, &mut to).map_err(|error| StepProblem::Io(at(&shown, error)))?;
        self.attributes(tree, to.as_fd(), &entry.stat)
            .map_err(|errno| self.error(Path::new(name), errno))?;
        for (name, value) in tree.xattrs(&from).map_err(|e| StepProblem::Io(at(&shown, e)))? {
            rustix::fs::fsetxattr(&to, name.as_str(), &value, XattrFlags::empty())
                .map_err(|errno| StepProblem::Io(at(&shown, errno.into())))?;
        }
        Ok(())
    }

    /// Makes one more name of a file that was copied under another one.
    fn link(
        &self,
        stat: &Stat,
        parent: BorrowedFd<'_>,
        target: &Path,
        name: &OsStr,
    ) -> Result<bool, StepProblem> {
        if stat.st_nlink < 2 {
            return Ok(false);
        }
        let mut links = self.links.borrow_mut();
        let first = match links.entry((stat.st_dev, stat.st_ino)) {
            Known::Vacant(new) => {
                new.insert(target.to_owned());
                return Ok(false);
            }
            Known::Occupied(first) => first.get().clone(),
        };
        if first == target {
            return Ok(false);
        }
        let directory = first.parent().unwrap_or(Path::new(""));
        let link = || {
            let directory = self.root.directory(directory)?;
            let first = first.file_name().unwrap_or_default();
            self.clear(parent, name)?;
            rustix::fs::linkat(&directory, first, parent, name, AtFlags::empty())
        };
        match link() {
            Ok(()) => Ok(true),
            // Something else has come in its place.
            Err(Errno::NOENT | Errno::MLINK) => Ok(false),
            Err(errno) => Err(self.error(target, errno)),
        }
    }

    /// A new empty file in place of whatever was there.
    fn create(
        &self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        shown: &Path,
    ) -> Result<OwnedFd, StepProblem> {
        if let Ok(Some(stat)) = stat_at(parent, name)
            && kind(&stat) == FileType::Directory
        {
            return Err(StepProblem::Invalid(format!(
                "a file cannot be copied over the directory {}",
                shown.display()
            )));
        }
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.clear(parent, name)
            .and_then(|()| rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600)))
            .map_err(|errno| self.error(shown, errno))
    }

    fn clear(&self, parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
        match stat_at(parent, name)? {
            Some(stat) if kind(&stat) == FileType::Directory => Err(Errno::ISDIR),
            Some(_) => remove(parent, name),
            None => Ok(()),
        }
    }

    fn owner_of(&self, tree: &Tree<'_>, stat: &Stat) -> (u32, u32) {
        let own = if tree.owned { (stat.st_uid, stat.st_gid) } else { (0, 0) };
        self.owner.unwrap_or(own)
    }

    fn attributes(&self, tree: &Tree<'_>, fd: BorrowedFd<'_>, stat: &Stat) -> Result<(), Errno> {
        let (uid, gid) = self.owner_of(tree, stat);
        set_owner(fd, uid, gid)?;
        let (own, directory) = (stat.st_mode & 0o7777, kind(stat) == FileType::Directory);
        let mode = self.mode.map_or(own, |mode| mode.apply(own, directory));
        rustix::fs::fchmod(fd, Mode::from_raw_mode(mode))?;
        rustix::fs::futimens(fd, &times(mtime(stat)))
    }

    /// Unpacks the source if it is an archive; returns whether it is one.
    fn archive(
        &self,
        tree: &Tree<'_>,
        source: &Source,
        entry: &Entry,
        path: &Path,
    ) -> Result<bool, StepProblem> {
        let shown = tree.shown(source, entry);
        let io_error = |error| StepProblem::Io(at(&shown, error));
        let open = || -> Result<_, StepProblem> {
            Ok(io::BufReader::with_capacity(128 * 1024, tree.open(source, entry)?))
        };
        let mut first = Vec::new();
        // A file that only begins like a compressed one is a file.
        let readable =
            decompress(open()?).and_then(|reader| reader.take(512).read_to_end(&mut first)).is_ok();
        if !readable || !is_tar(&first) {
            return Ok(false);
        }
        drop(self.make_directory(path)?);
        let options = Unpack {
            place: &Path::new("/").join(path),
            prefix: path,
            whiteouts: false,
            owner: self.owner,
            ids: None,
            limits: self.limits,
            cancelled: self.cancelled,
        };
        let failed = |source| match source {
            UnpackError::Cancelled => StepProblem::Store(StoreError::Cancelled),
            source => StepProblem::Unpack { path: shown.display().to_string(), source },
        };
        unpack(decompress(open()?).map_err(io_error)?, self.root, &options).map_err(failed)?;
        Ok(true)
    }
}

/// Whether a first block is a tar header: its checksum is right.
fn is_tar(block: &[u8]) -> bool {
    let Ok(block) = <&[u8; 512]>::try_from(block) else { return false };
    let header = tar::Header::from_byte_slice(block);
    let outside = block[..148].iter().chain(&block[156..]);
    let sum: u32 = outside.map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
    block.iter().any(|byte| *byte != 0) && header.cksum().is_ok_and(|cksum| cksum == sum)
}

fn mtime(stat: &Stat) -> (i64, u32) {
    (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or_default())
}

fn set_owner(fd: BorrowedFd<'_>, uid: u32, gid: u32) -> Result<(), Errno> {
    rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}

fn set_owner_by_name(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    uid: u32,
    gid: u32,
) -> Result<(), Errno> {
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(parent, name, uid, gid, flags)
}

fn set_time_by_name(parent: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> Result<(), Errno> {
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(parent, name, &times(mtime(stat)), flags)
}

/// Makes sure a directory is there, without taking anything over; for `WORKDIR`.
pub(super) fn make_workdir(root: &Root, path: &Path, owner: (u32, u32)) -> Result<(), StepProblem> {
    let copier = Copier {
        root,
        destination: "/",
        owner: Some(owner),
        mode: None,
        extract: false,
        limits: UnpackLimits::default(),
        cancelled: &|| false,
        links: Links::default(),
    };
    drop(copier.make_directory(path)?);
    Ok(())
}
