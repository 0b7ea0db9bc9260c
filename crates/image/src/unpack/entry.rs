//! One entry of an archive becomes one thing in the root.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Seek as _, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use tar::EntryType;

use super::Unpack;
use super::attributes::{Attributes, known};
use crate::error::{UnpackError, is_disk_full};
use crate::ids::Ids;
use crate::overlay_notes::notes;
use crate::root::{Root, is_whiteout, kind, remove, stat_at};

/// Prefix of a whiteout's name.
pub(crate) const WHITEOUT: &[u8] = b".wh.";
/// Name of the file that hides everything its directory has in lower layers.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";
/// Deepest directory an entry may be in. Deeper trees could not be removed again: each level takes
/// a file descriptor.
const DEPTH: usize = 256;

const ROOT_IS_A_DIRECTORY: &str = "only a directory can be the root";

/// Makes entries, one after the other.
pub(super) struct Unpacker<'a> {
    root: &'a Root,
    options: &'a Unpack<'a>,
    /// The directory used last, open: entries mostly come directory by directory.
    parent: Option<(PathBuf, Rc<OwnedFd>)>,
    /// Directories get their times when nothing more is made in them.
    directories: Vec<(PathBuf, Attributes)>,
    buffer: Vec<u8>,
}

/// Where an entry goes.
struct Target {
    parent: Rc<OwnedFd>,
    name: OsString,
    /// For messages.
    shown: String,
    path: PathBuf,
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(root: &'a Root, options: &'a Unpack<'a>) -> Self {
        let buffer = vec![0; 128 * 1024];
        Self { root, options, parent: None, directories: Vec::new(), buffer }
    }

    pub(super) fn entry<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
    ) -> Result<(), UnpackError> {
        let bytes = entry.path_bytes().into_owned();
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let mut entry_type = entry.header().entry_type();
        if entry_type == EntryType::XGlobalHeader {
            return Ok(());
        }
        // Archives older than POSIX mark directories by a slash alone.
        if entry_type == EntryType::Regular && bytes.ends_with(b"/") {
            entry_type = EntryType::Directory;
        }
        let path = checked_path(&bytes, &shown)?;
        let owner = self.options.owner;
        let attributes = Attributes::of(entry, &shown, owner, self.options.ids)?;
        let full = self.options.prefix.join(&path);
        let (Some(parent), Some(name)) = (full.parent(), full.file_name()) else {
            return self.root_entry(entry_type, attributes, shown);
        };
        if path.as_os_str().is_empty() {
            return self.prefix_entry(entry_type, &full, shown);
        }
        let parent = self.write(&shown, |unpacker| unpacker.parent_at(parent))?;
        let target = Target { parent, name: name.to_owned(), shown, path: full.clone() };
        if self.options.whiteouts && target.name.as_bytes().starts_with(WHITEOUT) {
            return self.whiteout(&target);
        }
        match entry_type {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(entry, &target, &attributes)
            }
            EntryType::Directory => self.directory(&target, attributes),
            EntryType::Symlink => self.symlink(entry, &target, &attributes),
            EntryType::Link => self.hard_link(entry, &target),
            EntryType::Fifo => self.fifo(&target, &attributes),
            EntryType::Char | EntryType::Block => Err(device(entry, target.shown)),
            other => Err(UnpackError::Unsupported {
                path: target.shown,
                kind: format!("type '{}'", char::from(other.as_byte())),
            }),
        }
    }

    /// Sets the times of directories.
    pub(super) fn finish(mut self) -> Result<(), UnpackError> {
        for (path, attributes) in std::mem::take(&mut self.directories) {
            // Something else may have taken the directory's place since.
            if let Ok(fd) = self.root.directory(&path) {
                let shown = path.display().to_string();
                self.write(&shown, |_| attributes.set_time(fd.as_fd()))?;
            }
        }
        Ok(())
    }

    /// Runs an operation on the file system and names entry and place in its error.
    fn write<T>(
        &mut self,
        shown: &str,
        operation: impl FnOnce(&mut Self) -> Result<T, Errno>,
    ) -> Result<T, UnpackError> {
        operation(self).map_err(|errno| self.error(shown, errno.into()))
    }

    fn error(&self, shown: &str, source: io::Error) -> UnpackError {
        let (entry, path) = (shown.to_owned(), self.options.place.to_owned());
        if is_disk_full(&source) {
            UnpackError::DiskFull { entry, path }
        } else {
            UnpackError::Write { entry, path, source }
        }
    }

    /// The open directory at `path`, made if it is missing.
    fn parent_at(&mut self, path: &Path) -> Result<Rc<OwnedFd>, Errno> {
        if let Some((last, fd)) = &self.parent
            && last == path
        {
            return Ok(Rc::clone(fd));
        }
        let root = |ids: &Ids| ids.outside(0, 0);
        let owner = self.options.owner.or_else(|| self.options.ids.and_then(root));
        let fd = self.root.make_directory(path, &mut |fd, _| match owner {
            Some((uid, gid)) => rustix::fs::fchown(
                fd,
                Some(rustix::fs::Uid::from_raw(uid)),
                Some(rustix::fs::Gid::from_raw(gid)),
            ),
            None => Ok(()),
        })?;
        let fd = Rc::new(fd);
        self.parent = Some((path.to_owned(), Rc::clone(&fd)));
        Ok(fd)
    }

    /// Makes room at the target; returns whether a whiteout was there.
    fn clear(&mut self, target: &Target) -> Result<bool, Errno> {
        let parent = target.parent.as_fd();
        let Some(stat) = stat_at(parent, &target.name)? else { return Ok(false) };
        remove(parent, &target.name)?;
        self.parent = None;
        Ok(is_whiteout(&stat))
    }

    /// The archive's own root where it is unpacked below the root: the destination keeps what it
    /// has.
    fn prefix_entry(
        &mut self,
        entry_type: EntryType,
        prefix: &Path,
        shown: String,
    ) -> Result<(), UnpackError> {
        if entry_type != EntryType::Directory {
            return Err(UnpackError::Path { path: shown, reason: ROOT_IS_A_DIRECTORY });
        }
        self.write(&shown, |unpacker| unpacker.parent_at(prefix)).map(drop)
    }

    fn root_entry(
        &mut self,
        entry_type: EntryType,
        attributes: Attributes,
        shown: String,
    ) -> Result<(), UnpackError> {
        if entry_type != EntryType::Directory {
            return Err(UnpackError::Path { path: shown, reason: ROOT_IS_A_DIRECTORY });
        }
        let root = self.root;
        self.write(&shown, |_| attributes.apply(root.as_fd()))?;
        self.directories.push((PathBuf::new(), attributes));
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        target: &Target,
        attributes: &Attributes,
    ) -> Result<(), UnpackError> {
        // A sparse file's holes are not in the archive, so the reader's bound does not see them.
        if entry.size() > self.options.limits.bytes {
            return Err(UnpackError::TooLarge { limit: self.options.limits.bytes, unit: "bytes" });
        }
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open =
            || rustix::fs::openat(&target.parent, &target.name, flags, Mode::from_raw_mode(0o600));
        let fd = self.write(&target.shown, |unpacker| match open() {
            Err(Errno::EXIST) => {
                unpacker.clear(target)?;
                open()
            }
            result => result,
        })?;
        let mut file = std::fs::File::from(fd);
        let sparse = entry.header().entry_type() == EntryType::GNUSparse;
        loop {
            let count = match entry.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(UnpackError::Archive { source }),
            };
            let piece = &self.buffer[..count];
            let written =
                if sparse { write_or_skip(&mut file, piece) } else { file.write_all(piece) };
            written.map_err(|source| self.error(&target.shown, source))?;
        }
        self.write(&target.shown, |_| {
            attributes.apply(file.as_fd())?;
            attributes.set_time(file.as_fd())
        })
    }

    fn directory(&mut self, target: &Target, attributes: Attributes) -> Result<(), UnpackError> {
        let fd = self.write(&target.shown, |unpacker| {
            let parent = target.parent.as_fd();
            let existing = stat_at(parent, &target.name)?;
            // Archives for ADD may name a directory that the image has as a symlink to one.
            if let Some(stat) = &existing
                && kind(stat) == FileType::Symlink
                && !unpacker.options.whiteouts
                && let Ok(fd) = unpacker.root.directory(&target.path)
            {
                return Ok(fd);
            }
            let mut hides = false;
            let is_directory = existing.is_some_and(|stat| kind(&stat) == FileType::Directory);
            if !is_directory {
                hides = unpacker.clear(target)?;
                rustix::fs::mkdirat(parent, &target.name, Mode::RWXU)?;
            }
            let fd = crate::root::open_child(parent, &target.name)?;
            if hides {
                set_opaque(fd.as_fd())?;
            }
            attributes.apply(fd.as_fd())?;
            Ok(fd)
        })?;
        drop(fd);
        self.directories.push((target.path.clone(), attributes));
        Ok(())
    }

    fn symlink<R: Read>(
        &mut self,
        entry: &tar::Entry<'_, R>,
        target: &Target,
        attributes: &Attributes,
    ) -> Result<(), UnpackError> {
        let link = link_target(entry, &target.shown)?;
        self.write(&target.shown, |unpacker| {
            unpacker.clear(target)?;
            rustix::fs::symlinkat(OsStr::from_bytes(&link), &target.parent, &target.name)?;
            set_by_name(target, attributes)
        })
    }

    fn fifo(&mut self, target: &Target, attributes: &Attributes) -> Result<(), UnpackError> {
        self.write(&target.shown, |unpacker| {
            unpacker.clear(target)?;
            let mode = Mode::from_raw_mode(attributes.mode);
            rustix::fs::mknodat(&target.parent, &target.name, FileType::Fifo, mode, 0)?;
            rustix::fs::chmodat(&target.parent, &target.name, mode, AtFlags::empty())?;
            set_by_name(target, attributes)
        })
    }

    fn hard_link<R: Read>(
        &mut self,
        entry: &tar::Entry<'_, R>,
        target: &Target,
    ) -> Result<(), UnpackError> {
        let link = link_target(entry, &target.shown)?;
        let shown_link = String::from_utf8_lossy(&link).into_owned();
        let refused =
            || UnpackError::HardLink { path: target.shown.clone(), target: shown_link.clone() };
        let source = self.options.prefix.join(checked_path(&link, &target.shown)?);
        let (Some(parent), Some(name)) = (source.parent(), source.file_name()) else {
            return Err(refused());
        };
        let parent = match self.root.directory(parent) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Err(refused()),
            Err(errno) => return Err(self.error(&target.shown, errno.into())),
        };
        let existing = self.write(&target.shown, |_| stat_at(parent.as_fd(), name))?;
        match existing {
            Some(stat) if is_whiteout(&stat) => return Err(refused()),
            Some(stat) if kind(&stat) != FileType::Directory => {
                let here =
                    self.write(&target.shown, |_| stat_at(target.parent.as_fd(), &target.name))?;
                // A link to itself, or one that is there already, must not remove its target.
                if here.is_some_and(|here| same_file(&here, &stat)) {
                    return Ok(());
                }
            }
            _ => return Err(refused()),
        }
        self.write(&target.shown, |unpacker| {
            unpacker.clear(target)?;
            rustix::fs::linkat(&parent, name, &target.parent, &target.name, AtFlags::empty())
        })
    }

    fn whiteout(&mut self, target: &Target) -> Result<(), UnpackError> {
        let name = target.name.as_bytes();
        if name == OPAQUE {
            return self.write(&target.shown, |_| set_opaque(target.parent.as_fd()));
        }
        let hidden = &name[WHITEOUT.len()..];
        // Other names of this form are aufs's own notes.
        if hidden.starts_with(WHITEOUT) {
            return Ok(());
        }
        if matches!(hidden, b"" | b"." | b"..") {
            let reason = "it is a whiteout of no file";
            return Err(UnpackError::Path { path: target.shown.clone(), reason });
        }
        let hidden = OsStr::from_bytes(hidden);
        self.write(&target.shown, |_| {
            let parent = target.parent.as_fd();
            // A whiteout concerns lower layers, not what this layer itself has at that name.
            match stat_at(parent, hidden)? {
                Some(stat) if kind(&stat) == FileType::Directory => {
                    set_opaque(crate::root::open_child(parent, hidden)?.as_fd())
                }
                Some(_) => Ok(()),
                None => make_whiteout(parent, hidden),
            }
        })
    }
}

/// Zeros become a hole.
fn write_or_skip(file: &mut std::fs::File, piece: &[u8]) -> io::Result<()> {
    if piece.iter().any(|byte| *byte != 0) {
        return file.write_all(piece);
    }
    let end = file.seek(io::SeekFrom::Current(i64::try_from(piece.len()).unwrap_or(i64::MAX)))?;
    file.set_len(end)
}

/// Marks a directory as hiding everything it has in lower layers.
pub(crate) fn set_opaque(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::fs::fsetxattr(fd, notes().opaque, b"y", XattrFlags::empty())
}

/// Marks a name as removed from lower layers.
fn make_whiteout(parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    rustix::fs::mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0)
}

fn same_file(a: &rustix::fs::Stat, b: &rustix::fs::Stat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}

/// Owner and time of what cannot be opened: symlinks and FIFOs.
fn set_by_name(target: &Target, attributes: &Attributes) -> Result<(), Errno> {
    let (uid, gid) = attributes.owner();
    let (parent, name) = (&target.parent, &target.name);
    known(rustix::fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW))?;
    rustix::fs::utimensat(parent, name, &attributes.times(), AtFlags::SYMLINK_NOFOLLOW)
}

fn device<R: Read>(entry: &tar::Entry<'_, R>, path: String) -> UnpackError {
    let header = entry.header();
    let number = |n: io::Result<Option<u32>>| n.ok().flatten().unwrap_or(0);
    UnpackError::Device {
        path,
        kind: if header.entry_type() == EntryType::Block { "block" } else { "character" },
        major: number(header.device_major()),
        minor: number(header.device_minor()),
    }
}

fn link_target<R: Read>(entry: &tar::Entry<'_, R>, path: &str) -> Result<Vec<u8>, UnpackError> {
    let refused = |reason| UnpackError::Path { path: path.to_owned(), reason };
    let link = entry.link_name_bytes().ok_or_else(|| refused("it is a link without a target"))?;
    if link.is_empty() {
        return Err(refused("it is a link without a target"));
    }
    if link.contains(&0) {
        return Err(refused("its target has a NUL byte"));
    }
    Ok(link.into_owned())
}

/// An entry's path without `.` and leading slashes. A leading slash means the root, as in every
/// container engine; `..` is never needed and never good.
pub(crate) fn checked_path(bytes: &[u8], shown: &str) -> Result<PathBuf, UnpackError> {
    let refused = |reason| UnpackError::Path { path: shown.to_owned(), reason };
    if bytes.contains(&0) {
        return Err(refused("it has a NUL byte"));
    }
    let path = PathBuf::from(OsString::from_vec(bytes.to_vec()));
    let mut checked = PathBuf::new();
    let mut depth = 0;
    for component in path.components() {
        match component {
            Component::Normal(name) => checked.push(name),
            Component::RootDir | Component::CurDir => continue,
            Component::ParentDir => return Err(refused("it has a \"..\" component")),
            Component::Prefix(_) => return Err(refused("it has a prefix")),
        }
        depth += 1;
    }
    if depth > DEPTH {
        return Err(refused("it is more than 256 directories deep"));
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_taken_from_the_root_and_never_go_up() {
        let path = |text: &str| checked_path(text.as_bytes(), text);
        assert_eq!(path("./a//b/./c/").unwrap(), Path::new("a/b/c"));
        assert_eq!(path("/etc/passwd").unwrap(), Path::new("etc/passwd"));
        assert_eq!(path("./").unwrap(), Path::new(""));
        for bad in ["..", "a/../b", "/../x", "a/..", "nul\0"] {
            assert!(path(bad).is_err(), "{bad}");
        }
        assert!(path(&"d/".repeat(300)).is_err());
    }

    proptest! {
        #[test]
        fn a_checked_path_has_only_plain_names(bytes in any::<Vec<u8>>()) {
            if let Ok(path) = checked_path(&bytes, "") {
                prop_assert!(path.components().all(|c| matches!(c, Component::Normal(_))));
            }
        }
    }
}
