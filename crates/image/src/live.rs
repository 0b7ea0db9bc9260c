//! The files of a running program, from outside: as an archive, and out of one.

use std::ffi::OsStr;
use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use crate::digest::Digest;
use crate::error::{StoreError, UnpackError};
use crate::ids::Ids;
use crate::layer::{Archive, Kind, Source};
use crate::options::UnpackLimits;
use crate::root::{Root, kind};
use crate::store::ImageStore;
use crate::unpack::{Unpack, unpack};

/// A program's root directory, held open.
#[derive(Debug)]
pub struct LiveTree {
    root: Root,
    ids: Ids,
}

/// What is at a path, links not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStat {
    /// Its size in bytes.
    pub size: u64,
    /// Its kind and permissions, as `st_mode` has them.
    pub mode: u32,
    /// When it was changed, in seconds since 1970.
    pub modified: i64,
    /// Where it points, if it is a link.
    pub link: Option<PathBuf>,
}

/// An archive on its way out.
#[derive(Debug)]
pub struct Archived {
    /// Its bytes, from the beginning. No name leads to the file: it is gone when this is dropped.
    pub file: std::fs::File,
    /// Digest of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl LiveTree {
    /// The tree below `root`, where a program sees users by `ids`.
    #[must_use]
    pub fn new(root: OwnedFd, ids: Ids) -> Self {
        Self { root: Root::of_program(root), ids }
    }

    /// What is at `path`; `None` when nothing is.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn stat(&self, path: &Path) -> io::Result<Option<PathStat>> {
        let path = path.strip_prefix("/").unwrap_or(path);
        let fd = match self.root.open_at(path, OFlags::PATH | OFlags::NOFOLLOW) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            result => result?,
        };
        let stat = rustix::fs::fstat(&fd)?;
        let link = match kind(&stat) {
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&fd, "", Vec::new())?;
                Some(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
            }
            _ => None,
        };
        Ok(Some(PathStat {
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            mode: stat.st_mode,
            modified: stat.st_mtime,
            link,
        }))
    }

    /// Unpacks a tar archive into the directory `path`, which is made if it is missing. What the
    /// program does meanwhile leads nowhere outside its tree, nor into what is mounted there.
    ///
    /// # Errors
    /// The archive is damaged or wants out, or the file system refuses.
    pub fn unpack(
        &self,
        archive: impl Read,
        path: &Path,
        limits: UnpackLimits,
    ) -> Result<(), UnpackError> {
        let prefix = path.strip_prefix("/").unwrap_or(path);
        let options = Unpack {
            place: Path::new("/"),
            prefix,
            whiteouts: false,
            owner: None,
            ids: Some(&self.ids),
            limits,
            cancelled: &|| false,
        };
        unpack(BufReader::with_capacity(256 * 1024, archive), &self.root, &options)
    }
}

impl ImageStore {
    /// Archives what is at `path` as Docker does: a directory under its own name, or what it has
    /// when the path ends in `/.`. `None` when nothing is there.
    ///
    /// # Errors
    /// Files together have more than `limit` bytes, or cannot be read or stored.
    pub fn archive(
        &self,
        tree: &LiveTree,
        path: &str,
        limit: u64,
    ) -> Result<Option<Archived>, StoreError> {
        let (path, contents) = match path.strip_suffix("/.") {
            Some(path) => (path, true),
            None => (path, false),
        };
        let path = PathBuf::from(path.trim_matches('/'));
        let shown = Path::new("/").join(&path);
        let failed = |errno: Errno| StoreError::at(&shown, errno.into());
        let fd = match tree.root.open_at(&path, OFlags::PATH) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            result => result.map_err(failed)?,
        };
        let is_directory = kind(&rustix::fs::fstat(&fd).map_err(failed)?) == FileType::Directory;
        if contents && !is_directory {
            return Ok(None);
        }
        let writer = io::BufWriter::with_capacity(256 * 1024, self.layout().blob_writer()?);
        let kind = Kind::Live { ids: &tree.ids };
        let source = Source { shown: &shown, kind, limit: Some(limit), cancelled: &|| false };
        let mut archive = Archive::new(writer, source);
        if contents {
            let root = Root::of_program(tree.root.directory(&path).map_err(failed)?);
            archive.root(&root)?;
            archive.directory(root.as_fd(), Path::new(""))?;
        } else {
            let name = path.file_name().unwrap_or(OsStr::from_bytes(b".")).to_owned();
            let parent = path.parent().unwrap_or(Path::new(""));
            let parent = tree.root.directory(parent).map_err(failed)?;
            archive.one(parent.as_fd(), &name)?;
        }
        let (file, digest, size) =
            archive.finish()?.into_file().map_err(|error| StoreError::at(&shown, error))?;
        Ok(Some(Archived { file, digest, size }))
    }
}
