//! Where `COPY` and `ADD` read from: the build context, or the files of a stage or an image.
//!
//! Nothing outside the tree can be read, whatever symlinks it has.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, OFlags, Stat};
use rustix::io::Errno;

use super::glob::Glob;
use super::ignore::Ignore;
use crate::digest::{Digest, Hasher};
use crate::error::{StepProblem, StoreError, at};
use crate::layer::{xattr, xattr_names};
use crate::root::{Root, kind, names};
use crate::unpack::is_kept;

/// A tree to copy from.
pub(super) struct Tree<'a> {
    pub(super) root: Root,
    /// Where its root is, for messages.
    pub(super) place: String,
    /// The context's rules.
    pub(super) ignore: Option<&'a Ignore>,
    /// Whether owners and extended attributes are part of the content: those of a stage are, those
    /// of the context are whoever checked it out.
    pub(super) owned: bool,
}

/// Which of a tree's files are meant, beside the pattern.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Whether sources keep the directories they are in.
    pub(super) parents: bool,
    /// What is left out, by paths within each source.
    pub(super) exclude: Ignore,
}

/// One thing in a source.
#[derive(Debug)]
pub(super) struct Entry {
    /// Path from the source; empty for the source itself.
    pub(super) path: PathBuf,
    pub(super) stat: Stat,
}

impl PartialEq for Entry {
    /// The same file, not written to between the two looks.
    fn eq(&self, other: &Self) -> bool {
        let key = |stat: &Stat| {
            let changed = (stat.st_ctime, stat.st_ctime_nsec);
            (stat.st_dev, stat.st_ino, stat.st_mode, stat.st_size, changed)
        };
        self.path == other.path && key(&self.stat) == key(&other.stat)
    }
}

/// A source with everything in it, parents first.
#[derive(Debug, PartialEq)]
pub(super) struct Source {
    /// Path from the tree's root; the last component is no symlink.
    pub(super) path: PathBuf,
    /// The name it has where it is copied into a directory.
    pub(super) name: PathBuf,
    /// Directories that are kept above it, with its own name if it is one.
    pub(super) below: PathBuf,
    pub(super) entries: Vec<Entry>,
}

impl Source {
    /// An entry's path from the tree's root.
    fn full(&self, entry: &Entry) -> PathBuf {
        // Joining an empty path would add a slash, which says "directory".
        if entry.path.as_os_str().is_empty() {
            self.path.clone()
        } else {
            self.path.join(&entry.path)
        }
    }

    /// Bytes of its files.
    pub(super) fn bytes(&self) -> u64 {
        let files = self.entries.iter().filter(|e| kind(&e.stat) == FileType::RegularFile);
        files.map(|entry| u64::try_from(entry.stat.st_size).unwrap_or_default()).sum()
    }

    /// Notes the directories between `pivot` and the source.
    fn keep_parents(&mut self, pivot: &Path) {
        let path = self.path.strip_prefix(pivot).unwrap_or(&self.path);
        let below = if self.is_directory() { Some(path) } else { path.parent() };
        self.below = below.map(PathBuf::from).unwrap_or_default();
    }

    pub(super) fn is_directory(&self) -> bool {
        self.entries.first().is_some_and(|entry| kind(&entry.stat) == FileType::Directory)
    }
}

/// A path within a root: no leading slash, no `.`, and no `..` that would lead out.
pub(super) fn within_root(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean
}

/// The part of a pattern before `/./`, above which no directories are kept.
fn pivot(pattern: &str) -> PathBuf {
    // A leading "./" says nothing.
    let pattern = pattern.trim_start_matches("./");
    within_root(Path::new(pattern.split_once("/./").map_or("", |(before, _)| before)))
}

impl Tree<'_> {
    /// The sources that a source of `COPY` means: one, or what its pattern matches.
    pub(super) fn select(
        &self,
        pattern: &str,
        selection: &Selection,
    ) -> Result<Vec<Source>, StepProblem> {
        let mut sources = self.matching(pattern, selection.parents)?;
        if selection.parents {
            let pivot = pivot(pattern);
            sources.iter_mut().for_each(|source| source.keep_parents(&pivot));
        }
        for source in &mut sources {
            let name = source.name.clone();
            source.entries.retain(|entry| {
                let own = entry.path.as_os_str().is_empty();
                let file = kind(&entry.stat) != FileType::Directory;
                let path = if own { &name } else { &entry.path };
                own && !file || !selection.exclude.is_ignored(path)
            });
        }
        sources.retain(|source| !source.entries.is_empty());
        Ok(sources)
    }

    /// Every source that a pattern matches; there must be one.
    fn matching(&self, pattern: &str, deep: bool) -> Result<Vec<Source>, StepProblem> {
        let clean = within_root(Path::new(pattern));
        let missing = |note: &str| StepProblem::SourceMissing {
            source_path: pattern.to_owned(),
            place: format!("{}{note}", self.place),
        };
        let text = clean.to_string_lossy();
        if !Glob::is_pattern(&text) {
            return match self.source(&clean) {
                Ok(Some(source)) => Ok(vec![source]),
                Ok(None) if self.exists(&clean) => Err(missing(" (.dockerignore excludes it)")),
                Ok(None) => Err(missing("")),
                Err(error) => Err(error),
            };
        }
        let mut found = vec![PathBuf::new()];
        for component in clean.components() {
            let component = component.as_os_str().to_string_lossy();
            if deep && component == "**" {
                found = self.with_directories_below(found)?;
            } else {
                found = self.expand(&found, &component)?;
            }
        }
        let mut sources = Vec::new();
        for path in found {
            sources.extend(self.source(&path)?);
        }
        if sources.is_empty() { Err(missing("")) } else { Ok(sources) }
    }

    /// Directories, and all that are in them.
    fn with_directories_below(&self, mut open: Vec<PathBuf>) -> Result<Vec<PathBuf>, StepProblem> {
        let mut found = Vec::new();
        while let Some(path) = open.pop() {
            let directory = match self.root.directory(&path) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                result => result.map_err(|errno| self.error(&path, errno))?,
            };
            for name in names(directory.as_fd()).map_err(|errno| self.error(&path, errno))? {
                let name = OsStr::from_bytes(&name);
                let stat = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW);
                if stat.is_ok_and(|stat| kind(&stat) == FileType::Directory) {
                    open.push(path.join(name));
                }
            }
            found.push(path);
        }
        found.sort();
        Ok(found)
    }

    /// The paths one component further: those below `parents` that match.
    fn expand(&self, parents: &[PathBuf], pattern: &str) -> Result<Vec<PathBuf>, StepProblem> {
        let mut found = Vec::new();
        if !Glob::is_pattern(pattern) {
            found.extend(parents.iter().map(|parent| parent.join(pattern)));
            found.retain(|path| self.exists(path));
            return Ok(found);
        }
        let glob = Glob::new(pattern, false).map_err(StepProblem::Invalid)?;
        for parent in parents {
            let children = match self.root.directory(parent) {
                Ok(fd) => names(fd.as_fd()).map_err(|errno| self.error(parent, errno))?,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(errno) => return Err(self.error(parent, errno)),
            };
            let matching = children.iter().filter(|name| glob.matches(name));
            found.extend(matching.map(|name| parent.join(OsStr::from_bytes(name))));
        }
        Ok(found)
    }

    fn exists(&self, path: &Path) -> bool {
        matches!(self.root.stat(path), Ok(Some(_)))
    }

    fn error(&self, path: &Path, errno: Errno) -> StepProblem {
        StepProblem::Io(at(&Path::new(&self.place).join(path), errno.into()))
    }

    fn is_ignored(&self, path: &Path) -> bool {
        self.ignore.is_some_and(|ignore| ignore.is_ignored(path))
    }

    /// The source at `path` with what is in it, or nothing when it is not there or ignored. The
    /// source itself may be a symlink (it is followed); those in it stay symlinks.
    fn source(&self, path: &Path) -> Result<Option<Source>, StepProblem> {
        let Some(stat) = self.root.stat(path).map_err(|errno| self.error(path, errno))? else {
            return Ok(None);
        };
        let name = path.file_name().map(PathBuf::from).unwrap_or_default();
        let mut entries = Vec::new();
        if kind(&stat) == FileType::Directory {
            self.list(path, Path::new(""), stat, &mut entries)?;
            let top_only = entries.len() == 1 && !path.as_os_str().is_empty();
            if top_only && self.is_ignored(path) {
                return Ok(None);
            }
        } else if !self.is_ignored(path) {
            entries.push(Entry { path: PathBuf::new(), stat });
        } else {
            return Ok(None);
        }
        Ok(Some(Source { path: path.to_owned(), name, below: PathBuf::new(), entries }))
    }

    /// Lists the directory `below` the source at `top`, itself first.
    fn list(
        &self,
        top: &Path,
        below: &Path,
        stat: Stat,
        entries: &mut Vec<Entry>,
    ) -> Result<(), StepProblem> {
        entries.push(Entry { path: below.to_owned(), stat });
        let path = top.join(below);
        let error = |errno| self.error(&path, errno);
        let directory = self.root.directory(&path).map_err(error)?;
        for name in names(directory.as_fd()).map_err(error)? {
            let name = OsStr::from_bytes(&name);
            let child = below.join(name);
            let ignored = self.is_ignored(&top.join(&child));
            if ignored && !self.ignore.is_some_and(Ignore::may_include_below) {
                continue;
            }
            let stat = match rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // An editor's or a build's temporary file that has just gone.
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(self.error(&path.join(name), errno)),
            };
            match kind(&stat) {
                FileType::Directory => {
                    let before = entries.len();
                    self.list(top, &child, stat, entries)?;
                    if ignored && entries.len() == before + 1 {
                        entries.truncate(before);
                    }
                }
                FileType::RegularFile | FileType::Symlink if !ignored => {
                    entries.push(Entry { path: child, stat });
                }
                // Sockets, FIFOs and devices are no content.
                _ => {}
            }
        }
        Ok(())
    }

    /// Opens a regular file of a source.
    pub(super) fn open(
        &self,
        source: &Source,
        entry: &Entry,
    ) -> Result<std::fs::File, StepProblem> {
        let path = source.full(entry);
        // The source itself may be reached through a symlink, what is in it may not.
        let follow = entry.path.as_os_str().is_empty();
        let flags = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        let fd = self
            .root
            .open_at(&path, flags | OFlags::RDONLY | OFlags::NONBLOCK)
            .map_err(|errno| self.error(&path, errno))?;
        Ok(std::fs::File::from(fd))
    }

    /// Where a symlink of a source points to.
    pub(super) fn read_link(&self, source: &Source, entry: &Entry) -> Result<PathBuf, StepProblem> {
        let path = source.full(entry);
        let fd = self
            .root
            .open_at(&path, OFlags::PATH | OFlags::NOFOLLOW)
            .map_err(|errno| self.error(&path, errno))?;
        let target = rustix::fs::readlinkat(&fd, "", Vec::new())
            .map_err(|errno| self.error(&path, errno))?;
        Ok(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
    }

    /// Extended attributes that are part of a file's content.
    pub(super) fn xattrs(&self, file: &std::fs::File) -> io::Result<Vec<(String, Vec<u8>)>> {
        if !self.owned {
            return Ok(Vec::new());
        }
        let mut kept: Vec<String> = xattr_names(file.as_fd())?;
        kept.retain(|name| is_kept(name));
        kept.sort();
        kept.into_iter().map(|name| Ok((name.clone(), xattr(file.as_fd(), &name)?))).collect()
    }

    /// The digest of all that copying the source would copy: names, kinds, modes, bytes. Times do
    /// not count: a checkout gives every file another one.
    pub(super) fn digest(
        &self,
        source: &Source,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Digest, StepProblem> {
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; 128 * 1024];
        for entry in &source.entries {
            if cancelled() {
                return Err(StepProblem::Store(StoreError::Cancelled));
            }
            // The context itself is some directory of the host's: its mode says nothing.
            if !self.owned && source.full(entry).as_os_str().is_empty() {
                continue;
            }
            hasher.field(entry.path.as_os_str().as_bytes());
            hasher.field(&entry.stat.st_mode.to_le_bytes());
            if self.owned {
                hasher.field(&entry.stat.st_uid.to_le_bytes());
                hasher.field(&entry.stat.st_gid.to_le_bytes());
            }
            match kind(&entry.stat) {
                FileType::RegularFile => {
                    let file = self.open(source, entry)?;
                    let error = |source_error| {
                        StepProblem::Io(at(&self.shown(source, entry), source_error))
                    };
                    for (name, value) in self.xattrs(&file).map_err(error)? {
                        hasher.field(name.as_bytes());
                        hasher.field(&value);
                    }
                    hasher
                        .field(file_digest(file, &mut buffer).map_err(error)?.as_str().as_bytes());
                }
                FileType::Symlink => {
                    hasher.field(self.read_link(source, entry)?.as_os_str().as_bytes());
                }
                _ => hasher.field(b""),
            }
        }
        Ok(hasher.finish())
    }

    /// An entry's path for messages.
    pub(super) fn shown(&self, source: &Source, entry: &Entry) -> PathBuf {
        Path::new(&self.place).join(source.full(entry))
    }
}

fn file_digest(mut file: std::fs::File, buffer: &mut [u8]) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
