//! A tree becomes another: by links where both are only read, by clones or copies otherwise.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, XattrFlags};
use rustix::io::Errno;

use crate::error::at;
use crate::layer::{xattr, xattr_names};
use crate::overlay_notes::notes;
use crate::root::{is_whiteout, kind, names, open_child};
use crate::sparse::pieces;
use crate::unpack::{is_kept, times};

/// overlayfs's marks that mean something without the mount that made them, or that
/// [`seal`](crate::layout::Layout::seal) must see to refuse them.
const MARKS: [&str; 3] = ["opaque", "redirect", "metacopy"];

/// What becomes of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Files {
    /// One more name for the same file: nobody may ever write to either.
    Linked,
    /// A file of its own, whose blocks are shared where the file system can.
    Copied,
}

/// A copy under way.
pub(crate) struct TreeCopy<'a> {
    /// Where it is copied to: links are made from here.
    to: BorrowedFd<'a>,
    files: Files,
    /// Paths that are left out, with everything below.
    excluded: &'a [PathBuf],
    /// Device and inode of files with several names → the first name.
    links: HashMap<(u64, u64), PathBuf>,
}

impl<'a> TreeCopy<'a> {
    pub(crate) fn new(to: BorrowedFd<'a>, files: Files, excluded: &'a [PathBuf]) -> Self {
        Self { to, files, excluded, links: HashMap::new() }
    }

    /// Copies what the directory `from` has, and then what it is.
    pub(crate) fn run(mut self, from: BorrowedFd<'_>) -> io::Result<()> {
        let to = self.to;
        self.directory(from, to, Path::new(""))
    }

    fn directory(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        path: &Path,
    ) -> io::Result<()> {
        for name in names(from)? {
            let name = OsStr::from_bytes(&name);
            let child = path.join(name);
            if !self.excluded.contains(&child) {
                self.child(from, to, name, &child).map_err(|error| at(&child, error))?;
            }
        }
        let stat = rustix::fs::fstat(from)?;
        attributes(from, to, &stat)
    }

    fn child(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
    ) -> io::Result<()> {
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if kind(&stat) == FileType::Directory {
            rustix::fs::mkdirat(to, name, Mode::RWXU)?;
            let (from, to) = (open_child(from, name)?, open_child(to, name)?);
            return self.directory(from.as_fd(), to.as_fd(), path);
        }
        // A socket means nothing without its process.
        if kind(&stat) == FileType::Socket || self.link(from, to, name, path, &stat)? {
            return Ok(());
        }
        match kind(&stat) {
            FileType::RegularFile => file(from, to, name, &stat),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(target.as_c_str(), to, name)?;
                by_name(to, name, &stat)
            }
            FileType::Fifo => {
                let mode = Mode::from_raw_mode(stat.st_mode);
                rustix::fs::mknodat(to, name, FileType::Fifo, mode, 0)?;
                by_name(to, name, &stat)?;
                Ok(rustix::fs::chmodat(to, name, mode, AtFlags::empty())?)
            }
            _ if is_whiteout(&stat) => {
                let mode = Mode::empty();
                Ok(rustix::fs::mknodat(to, name, FileType::CharacterDevice, mode, 0)?)
            }
            _ => Err(io::Error::other("a device node cannot be part of a snapshot")),
        }
    }

    /// Makes one more name of a file, if that is how it is to be had.
    fn link(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        stat: &Stat,
    ) -> io::Result<bool> {
        if self.files == Files::Linked {
            match rustix::fs::linkat(from, name, to, name, AtFlags::empty()) {
                Ok(()) => return Ok(true),
                // Another file system, or a file that has as many names as one can have.
                Err(Errno::XDEV | Errno::MLINK | Errno::PERM) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        if stat.st_nlink < 2 {
            return Ok(false);
        }
        let key = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.links.get(&key) {
            rustix::fs::linkat(self.to, first, to, name, AtFlags::empty())?;
            return Ok(true);
        }
        self.links.insert(key, path.to_owned());
        Ok(false)
    }
}

fn file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let source = File::from(rustix::fs::openat(from, name, flags, Mode::empty())?);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = File::from(rustix::fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR)?);
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        content(&source, &target, u64::try_from(stat.st_size).unwrap_or_default())?;
    }
    attributes(source.as_fd(), target.as_fd(), stat)
}

/// Copies the data and leaves holes.
fn content(source: &File, target: &File, size: u64) -> io::Result<()> {
    for (offset, length) in pieces(source, size)? {
        let (mut input, mut output) = (offset, offset);
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let copied = rustix::fs::copy_file_range(
                source,
                Some(&mut input),
                target,
                Some(&mut output),
                most,
            );
            match copied {
                Ok(0) => break,
                Ok(count) => left -= count as u64,
                Err(Errno::INTR) => {}
                Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => {
                    (&*source).seek(io::SeekFrom::Start(input))?;
                    (&*target).seek(io::SeekFrom::Start(output))?;
                    io::copy(&mut source.take(left), &mut &*target)?;
                    break;
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    target.set_len(size)
}

fn is_mark(name: &str) -> bool {
    name.strip_prefix(notes().prefix).is_some_and(|name| MARKS.contains(&name))
}

/// Owner, mode, extended attributes and time of one open file for another.
fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, stat: &Stat) -> io::Result<()> {
    let mut xattrs = Vec::new();
    for name in xattr_names(from)? {
        if is_kept(&name) || is_mark(&name) {
            let value = xattr(from, &name)?;
            xattrs.push((name, value));
        }
    }
    apply(to, stat, &xattrs)
}

/// Gives an open file owner, mode, extended attributes and time.
pub(crate) fn apply(
    to: BorrowedFd<'_>,
    stat: &Stat,
    xattrs: &[(String, Vec<u8>)],
) -> io::Result<()> {
    let (uid, gid) = owner(stat);
    rustix::fs::fchown(to, uid, gid)?;
    // After the owner: a change of owner clears setuid and capabilities.
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    for (name, value) in xattrs {
        rustix::fs::fsetxattr(to, name.as_str(), value, XattrFlags::empty())?;
    }
    Ok(rustix::fs::futimens(to, &times(mtime(stat)))?)
}

/// Owner and time of what cannot be opened.
fn by_name(to: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> io::Result<()> {
    let (uid, gid) = owner(stat);
    rustix::fs::chownat(to, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    let times = times(mtime(stat));
    Ok(rustix::fs::utimensat(to, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn owner(stat: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
}

fn mtime(stat: &Stat) -> (i64, u32) {
    (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or_default())
}
