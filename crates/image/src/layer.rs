//! A directory that overlayfs filled becomes a layer: a tar archive in the store and a snapshot.
//!
//! The archive's order depends on names alone, so equal content gives an equal digest.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use tar::{EntryType, Header};

use crate::cache::CachedLayer;
use crate::content::BlobWriter;
use crate::document::{Descriptor, OCI_LAYER};
use crate::error::{StoreError, at};
use crate::ids::Ids;
use crate::layout::Layout;
use crate::overlay_notes::notes;
use crate::root::{Root, is_whiteout, kind, names, open_child};
use crate::sparse;
use crate::unpack::{OPAQUE, PAX_XATTR, WHITEOUT, is_kept, times};

impl Layout {
    /// Archives what is in `upper` (in this store's temporary folder), stores the archive, and makes
    /// the directory its snapshot. Times later than `latest` are set to it.
    pub(crate) fn seal(
        &self,
        upper: &Path,
        latest: Option<i64>,
        created: i64,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<CachedLayer, StoreError> {
        let root = Root::open(upper)?;
        let writer = io::BufWriter::with_capacity(256 * 1024, self.blob_writer()?);
        let source = Source { shown: upper, kind: Kind::Upper { latest }, limit: None, cancelled };
        let mut archive = Archive::new(writer, source);
        archive.root(&root)?;
        archive.directory(root.as_fd(), Path::new(""))?;
        let (digest, size) = archive.finish()?.commit(None)?;
        self.place_snapshot(upper, &digest)?;
        let media_type = OCI_LAYER.to_owned();
        let blob = Descriptor { media_type, digest: digest.clone(), size, platform: None };
        Ok(CachedLayer { blob, diff_id: digest, created })
    }
}

/// What is archived.
pub(crate) struct Source<'a> {
    /// Where it lies, for messages.
    pub(crate) shown: &'a Path,
    pub(crate) kind: Kind<'a>,
    /// Most bytes that files may have together.
    pub(crate) limit: Option<u64>,
    pub(crate) cancelled: &'a dyn Fn() -> bool,
}

/// How it is to be understood.
#[derive(Clone, Copy)]
pub(crate) enum Kind<'a> {
    /// What overlayfs filled, and nobody else sees: it becomes a layer, with its whiteouts. Times
    /// are not later than `latest`, in the archive and on disk.
    Upper { latest: Option<i64> },
    /// A tree as a program sees it, which is only read. What is mounted in it is left out, and who
    /// owns what is said in the program's own ids.
    Live { ids: &'a Ids },
}

/// An archive in the making.
pub(crate) struct Archive<'a, 'w> {
    builder: tar::Builder<io::BufWriter<BlobWriter<'w>>>,
    source: Source<'a>,
    /// Device and inode of files with several names → the first name.
    links: HashMap<(u64, u64), PathBuf>,
    /// Bytes of files so far.
    bytes: u64,
}

impl<'a, 'w> Archive<'a, 'w> {
    pub(crate) fn new(writer: io::BufWriter<BlobWriter<'w>>, source: Source<'a>) -> Self {
        Self { builder: tar::Builder::new(writer), source, links: HashMap::new(), bytes: 0 }
    }

    /// Ends the archive.
    pub(crate) fn finish(self) -> Result<BlobWriter<'w>, StoreError> {
        let shown = self.source.shown;
        let failed = |source| StoreError::at(shown, source);
        let writer = self.builder.into_inner().map_err(failed)?;
        writer.into_inner().map_err(|error| failed(error.into_error()))
    }

    fn error(&self, path: &Path, source: io::Error) -> StoreError {
        StoreError::at(&self.source.shown.join(path), source)
    }

    fn is_live(&self) -> bool {
        matches!(self.source.kind, Kind::Live { .. })
    }

    /// The root has an entry only if it is not as every root is.
    pub(crate) fn root(&mut self, root: &Root) -> Result<(), StoreError> {
        let top = Path::new("./");
        let stat = rustix::fs::fstat(root).map_err(|e| self.error(top, e.into()))?;
        let xattrs = self.attributes(root.as_fd()).map_err(|e| self.error(top, e))?;
        let usual = (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid) == (0o755, 0, 0);
        if !usual || !xattrs.kept.is_empty() || self.is_live() {
            let mtime = self.clamped(&stat);
            self.append(top, &stat, mtime, EntryType::Directory, &xattrs.kept, io::empty())?;
        }
        self.set_time(root.as_fd(), &stat).map_err(|e| self.error(top, e.into()))
    }

    /// One thing under its own name.
    pub(crate) fn one(&mut self, parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), StoreError> {
        let path = Path::new(name);
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| self.error(path, errno.into()))?;
        self.child(parent, name, path, &stat)
    }

    /// What a directory has.
    pub(crate) fn directory(&mut self, fd: BorrowedFd<'_>, path: &Path) -> Result<(), StoreError> {
        let children = names(fd).map_err(|errno| self.error(path, errno.into()))?;
        for name in children {
            if (self.source.cancelled)() {
                return Err(StoreError::Cancelled);
            }
            let name = OsStr::from_bytes(&name);
            let child = path.join(name);
            let stat = match rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                // Programs go on while their files are read.
                Err(Errno::NOENT) if self.is_live() => continue,
                result => result.map_err(|errno| self.error(&child, errno.into()))?,
            };
            self.child(fd, name, &child, &stat)?;
        }
        Ok(())
    }

    fn child(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        stat: &Stat,
    ) -> Result<(), StoreError> {
        let mounted = self.is_live() && is_mount(parent, name);
        if mounted && kind(stat) != FileType::Directory {
            return Ok(());
        }
        if is_whiteout(stat) && !self.is_live() {
            let hidden = [WHITEOUT, name.as_bytes()].concat();
            return self.whiteout(&path.with_file_name(OsStr::from_bytes(&hidden)));
        }
        if kind(stat) != FileType::Directory && stat.st_nlink > 1 {
            let key = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&key).cloned() {
                return self.link(path, stat, EntryType::Link, &first);
            }
            self.links.insert(key, path.to_owned());
        }
        match kind(stat) {
            FileType::Directory if mounted => {
                let mtime = self.clamped(stat);
                self.append(path, stat, mtime, EntryType::Directory, &[], io::empty())
            }
            FileType::Directory => self.child_directory(parent, name, path, stat),
            FileType::RegularFile => self.file(parent, name, path, stat),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new())
                    .map_err(|errno| self.error(path, errno.into()))?;
                let target = PathBuf::from(OsStr::from_bytes(target.as_bytes()));
                self.link(path, stat, EntryType::Symlink, &target)?;
                self.set_time_by_name(parent, name, path, stat)
            }
            FileType::Fifo => {
                let mtime = self.clamped(stat);
                self.append(path, stat, mtime, EntryType::Fifo, &[], io::empty())?;
                self.set_time_by_name(parent, name, path, stat)
            }
            // A socket means nothing without its process.
            FileType::Socket => Ok(()),
            _ if self.is_live() => Ok(()),
            _ => {
                Err(self.error(path, io::Error::other("a device node cannot be part of an image")))
            }
        }
    }

    fn child_directory(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        stat: &Stat,
    ) -> Result<(), StoreError> {
        let fd = open_child(parent, name).map_err(|e| self.error(path, e.into()))?;
        let xattrs = self.attributes(fd.as_fd()).map_err(|e| self.error(path, e))?;
        let mtime = self.clamped(stat);
        self.append(path, stat, mtime, EntryType::Directory, &xattrs.kept, io::empty())?;
        if xattrs.opaque {
            self.whiteout(&path.join(OsStr::from_bytes(OPAQUE)))?;
        }
        self.directory(fd.as_fd(), path)?;
        self.set_time(fd.as_fd(), stat).map_err(|e| self.error(path, e.into()))
    }

    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        stat: &Stat,
    ) -> Result<(), StoreError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
            Err(Errno::NOENT) if self.is_live() => return Ok(()),
            result => result.map_err(|errno| self.error(path, errno.into()))?,
        };
        let xattrs = self.attributes(fd.as_fd()).map_err(|error| self.error(path, error))?;
        let file = std::fs::File::from(fd);
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let data = sparse::data(&file, stat).map_err(|error| self.error(path, error))?;
        self.bytes += data.as_ref().map_or(size, |data| data.bytes());
        if let Some(limit) = self.source.limit.filter(|limit| self.bytes > *limit) {
            return Err(StoreError::TooLarge { limit });
        }
        let mtime = self.clamped(stat);
        match data {
            Some(data) => {
                let mut header = self.header(stat, mtime, EntryType::GNUSparse);
                let extended = data.describe(&mut header);
                self.pax(&xattrs.kept)
                    .and_then(|()| {
                        let content = extended.as_slice().chain(data.reader(&file));
                        self.builder.append_data(&mut header, path, content)
                    })
                    .map_err(|error| self.error(path, error))?;
            }
            None => {
                // A file that shrinks meanwhile is filled up: the archive has announced its size.
                let content = (&file).take(size).chain(io::repeat(0)).take(size);
                self.append(path, stat, mtime, EntryType::Regular, &xattrs.kept, content)?;
            }
        }
        self.set_time(file.as_fd(), stat).map_err(|errno| self.error(path, errno.into()))
    }

    fn link(
        &mut self,
        path: &Path,
        stat: &Stat,
        entry_type: EntryType,
        target: &Path,
    ) -> Result<(), StoreError> {
        let mut header = self.header(stat, self.clamped(stat), entry_type);
        self.builder.append_link(&mut header, path, target).map_err(|error| self.error(path, error))
    }

    fn whiteout(&mut self, path: &Path) -> Result<(), StoreError> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(0);
        header.set_mode(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        self.builder
            .append_data(&mut header, path, io::empty())
            .map_err(|error| self.error(path, error))
    }

    fn header(&self, stat: &Stat, mtime: (i64, u32), entry_type: EntryType) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(entry_type);
        header.set_mode(stat.st_mode & 0o7777);
        let (uid, gid) = match self.source.kind {
            Kind::Live { ids } => ids.inside(stat.st_uid, stat.st_gid),
            Kind::Upper { .. } => (stat.st_uid, stat.st_gid),
        };
        header.set_uid(uid.into());
        header.set_gid(gid.into());
        header.set_mtime(u64::try_from(mtime.0).unwrap_or_default());
        let size = if entry_type == EntryType::Regular { stat.st_size } else { 0 };
        header.set_size(u64::try_from(size).unwrap_or_default());
        header
    }

    fn append(
        &mut self,
        path: &Path,
        stat: &Stat,
        mtime: (i64, u32),
        entry_type: EntryType,
        xattrs: &[(String, Vec<u8>)],
        content: impl Read,
    ) -> Result<(), StoreError> {
        let mut header = self.header(stat, mtime, entry_type);
        self.pax(xattrs)
            .and_then(|()| self.builder.append_data(&mut header, path, content))
            .map_err(|error| self.error(path, error))
    }

    fn pax(&mut self, xattrs: &[(String, Vec<u8>)]) -> io::Result<()> {
        if xattrs.is_empty() {
            return Ok(());
        }
        let records = xattrs.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        self.builder.append_pax_extensions(records)
    }

    /// A file's time, not later than allowed.
    fn clamped(&self, stat: &Stat) -> (i64, u32) {
        match self.source.kind {
            Kind::Upper { latest: Some(latest) } if stat.st_mtime >= latest => (latest, 0),
            _ => (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or_default()),
        }
    }

    /// The snapshot gets the times of the archive.
    fn set_time(&self, fd: BorrowedFd<'_>, stat: &Stat) -> Result<(), Errno> {
        if self.is_live() {
            return Ok(());
        }
        rustix::fs::futimens(fd, &times(self.clamped(stat)))
    }

    fn set_time_by_name(
        &self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        stat: &Stat,
    ) -> Result<(), StoreError> {
        if self.is_live() {
            return Ok(());
        }
        let times = times(self.clamped(stat));
        rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| self.error(path, errno.into()))
    }

    /// A file's extended attributes; takes overlayfs's notes off it.
    fn attributes(&self, fd: BorrowedFd<'_>) -> io::Result<Attributes> {
        let (mut attributes, notes) = (Attributes::default(), notes());
        for name in xattr_names(fd)? {
            if name == notes.opaque && !self.is_live() {
                // "x" means something else: that the directory has whiteouts in xattr form.
                attributes.opaque = xattr(fd, &name)? == b"y";
            } else if let Some(note) = name.strip_prefix(notes.prefix).filter(|_| !self.is_live()) {
                if matches!(note, "redirect" | "metacopy") {
                    let text = "it was made by an overlay mount with redirect_dir or metacopy on";
                    return Err(io::Error::other(text));
                }
                rustix::fs::fremovexattr(fd, name.as_str())?;
            } else if is_kept(&name) {
                let value = xattr(fd, &name)?;
                attributes.kept.push((format!("{PAX_XATTR}{name}"), value));
            }
        }
        attributes.kept.sort();
        Ok(attributes)
    }
}

/// Whether something else is mounted at `name`.
fn is_mount(parent: BorrowedFd<'_>, name: &OsStr) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    rustix::fs::statx(parent, name, flags, rustix::fs::StatxFlags::BASIC_STATS)
        .is_ok_and(|stat| stat.stx_attributes.contains(rustix::fs::StatxAttributes::MOUNT_ROOT))
}

#[derive(Default)]
struct Attributes {
    opaque: bool,
    /// Names as in PAX headers.
    kept: Vec<(String, Vec<u8>)>,
}

/// Names of a file's extended attributes; none where they are not supported.
pub(crate) fn xattr_names(fd: BorrowedFd<'_>) -> io::Result<Vec<String>> {
    let mut buffer = vec![0; 1024];
    let count = loop {
        match rustix::fs::flistxattr(fd, buffer.as_mut_slice()) {
            Ok(count) => break count,
            Err(Errno::RANGE) => buffer.resize(buffer.len() * 4, 0),
            Err(Errno::OPNOTSUPP) => break 0,
            Err(errno) => return Err(at(Path::new("extended attributes"), errno.into())),
        }
    };
    let names = buffer[..count].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

/// An extended attribute's value.
pub(crate) fn xattr(fd: BorrowedFd<'_>, name: &str) -> io::Result<Vec<u8>> {
    // The kernel's own limit.
    let mut buffer = vec![0; 65536];
    let count = rustix::fs::fgetxattr(fd, name, buffer.as_mut_slice())?;
    buffer.truncate(count);
    Ok(buffer)
}
