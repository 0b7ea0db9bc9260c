//! Where things lie in the store's directory, who works on them, and how half-made things go away.
//!
//! Everything that becomes visible is made in this process's own folder under `tmp/` and renamed
//! into place. A folder whose process is gone is removed by the next [`Layout::open`].

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Mode;

use crate::digest::Digest;
use crate::error::StoreError;

/// How often a wait for another thread's or process's lock looks again.
const LOCK_POLL: Duration = Duration::from_millis(10);

/// The directory's paths, and this process's own temporary folder in it.
#[derive(Debug)]
pub(crate) struct Layout {
    dir: PathBuf,
    session: tempfile::TempDir,
    /// Held as long as the folder is ours.
    _session_lock: File,
}

/// Held while something is worked on; released when dropped, also by the end of the process.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Layout {
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        for folder in ["content/sha256", "images", "cache", "locks", "ingest", "sizes", "unsynced"]
        {
            fs_err::create_dir_all(dir.join(folder))?;
        }
        // Unpacked layers hold setuid programs: no other user of the host may reach them by path.
        for folder in ["snapshots/sha256", "tmp"] {
            let path = dir.join(folder);
            fs_err::create_dir_all(&path)?;
            private(&path)?;
        }
        let dir = std::path::absolute(dir).map_err(|source| StoreError::at(dir, source))?;
        let tmp = dir.join("tmp");
        let door = open_lock(&dir.join("locks/tmp"))?;
        door.lock().map_err(|source| StoreError::at(&tmp, source))?;
        remove_leftovers(&tmp)?;
        let session = tempfile::Builder::new()
            .prefix("session-")
            .tempdir_in(&tmp)
            .map_err(|source| StoreError::at(&tmp, source))?;
        let session_lock = open_lock(&session.path().join("lock"))?;
        session_lock.lock().map_err(|source| StoreError::at(session.path(), source))?;
        let layout = Self { dir, session, _session_lock: session_lock };
        layout.sync_in_background();
        Ok(layout)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where all blobs are.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.dir.join("content/sha256")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    /// Where all unpacked layers are.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.dir.join("snapshots/sha256")
    }

    pub(crate) fn snapshot(&self, diff_id: &Digest) -> PathBuf {
        self.snapshots().join(diff_id.hex())
    }

    /// Blobs that are coming in.
    pub(crate) fn ingests(&self) -> PathBuf {
        self.dir.join("ingest")
    }

    /// Where what processes work on is, a folder for each.
    pub(crate) fn sessions(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// What this process works on.
    pub(crate) fn session(&self) -> &Path {
        self.session.path()
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.dir.join("images")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.dir.join("cache")
    }

    /// An empty directory: the lower layer of an image that has none.
    pub(crate) fn empty(&self) -> Result<PathBuf, StoreError> {
        let path = self.dir.join("snapshots/empty");
        match fs_err::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
            _ => Ok(path),
        }
    }

    /// A new empty directory, removed when dropped unless it was renamed away.
    pub(crate) fn temporary_dir(&self) -> Result<tempfile::TempDir, StoreError> {
        tempfile::Builder::new()
            .prefix("work-")
            .tempdir_in(self.session.path())
            .map_err(|source| StoreError::at(self.session.path(), source))
    }

    /// A new empty file, removed when dropped unless it was persisted.
    pub(crate) fn temporary_file(&self) -> Result<tempfile::NamedTempFile, StoreError> {
        tempfile::Builder::new()
            .prefix("file-")
            .tempfile_in(self.session.path())
            .map_err(|source| StoreError::at(self.session.path(), source))
    }

    /// Writes a small file as a whole: readers see the old content or the new, also after a power
    /// cut.
    pub(crate) fn replace_file(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let file = self.temporary_file()?;
        fs_err::write(file.path(), bytes)?;
        file.as_file().sync_data().map_err(|error| StoreError::at(file.path(), error))?;
        file.persist(path).map_err(|error| StoreError::at(path, error.error))?;
        Ok(())
    }

    /// As [`Self::replace_file`], for what can be made again: a power cut may leave it empty.
    pub(crate) fn replace_derived(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let file = self.temporary_file()?;
        fs_err::write(file.path(), bytes)?;
        file.persist(path).map_err(|error| StoreError::at(path, error.error))?;
        Ok(())
    }

    /// Waits until the names in a folder are on disk.
    pub(crate) fn sync_folder(&self, folder: &Path) -> Result<(), StoreError> {
        let file = File::open(folder).map_err(|source| StoreError::at(folder, source))?;
        file.sync_all().map_err(|source| StoreError::at(folder, source))
    }

    /// Waits until nobody else, in this process or another, works on `name`.
    pub(crate) fn lock(
        &self,
        name: &str,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Lock, StoreError> {
        let path = self.dir.join("locks").join(name);
        wait(&path, cancelled, File::try_lock)
    }

    /// The same for those who can work on it together.
    pub(crate) fn lock_shared(
        &self,
        name: &str,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Lock, StoreError> {
        let path = self.dir.join("locks").join(name);
        wait(&path, cancelled, File::try_lock_shared)
    }

    /// Keeps the content from being pruned until dropped.
    pub(crate) fn lock_content(&self, cancelled: &dyn Fn() -> bool) -> Result<Lock, StoreError> {
        wait(&self.dir.join("locks/content"), cancelled, File::try_lock_shared)
    }

    /// Waits until nobody needs content that no image refers to yet.
    pub(crate) fn lock_content_for_pruning(
        &self,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Lock, StoreError> {
        wait(&self.dir.join("locks/content"), cancelled, File::try_lock)
    }
}

fn wait(
    path: &Path,
    cancelled: &dyn Fn() -> bool,
    attempt: fn(&File) -> Result<(), std::fs::TryLockError>,
) -> Result<Lock, StoreError> {
    let file = open_lock(path)?;
    loop {
        match attempt(&file) {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(std::fs::TryLockError::Error(source)) => return Err(StoreError::at(path, source)),
            Err(std::fs::TryLockError::WouldBlock) if cancelled() => {
                return Err(StoreError::Cancelled);
            }
            Err(std::fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_POLL),
        }
    }
}

/// Only the owner may list it or go through it.
pub(crate) fn private(path: &Path) -> Result<(), StoreError> {
    rustix::fs::chmod(path, Mode::RWXU).map_err(|errno| StoreError::at(path, errno.into()))
}

fn open_lock(path: &Path) -> Result<File, StoreError> {
    let file = fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    Ok(file.into_parts().0)
}

/// Whether the process that works in this folder still holds its lock.
pub(crate) fn is_alive(session: &Path) -> bool {
    File::open(session.join("lock"))
        .is_ok_and(|file| matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock)))
}

/// Removes folders of processes that are gone: nobody holds their lock.
fn remove_leftovers(tmp: &Path) -> Result<(), StoreError> {
    for entry in fs_err::read_dir(tmp)? {
        let path = entry?.path();
        if !is_alive(&path) {
            // Someone else may be removing a folder that has just been closed.
            match fs_err::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
impl Layout {
    /// One in a folder of its own, which is there as long as its handle.
    pub(crate) fn of_tests() -> (tempfile::TempDir, Self) {
        let dir = tempfile::tempdir().expect("make a folder");
        let layout = Self::open(dir.path()).expect("an empty folder");
        (dir, layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_a_live_one_uses_stays() {
        let dir = tempfile::tempdir().unwrap();
        let live = Layout::open(dir.path()).unwrap();
        let leftover = dir.path().join("tmp/session-gone/work-1/deep");
        fs_err::create_dir_all(&leftover).unwrap();
        let _second = Layout::open(dir.path()).unwrap();
        assert!(!leftover.exists());
        assert!(live.temporary_dir().is_ok());
    }

    #[test]
    fn one_name_is_locked_by_one_thread_at_a_time_and_a_wait_can_be_cancelled() {
        let (_dir, layout) = Layout::of_tests();
        let held = layout.lock("x", &|| false).unwrap();
        assert!(matches!(layout.lock("x", &|| true), Err(StoreError::Cancelled)));
        drop(held);
        layout.lock("x", &|| true).unwrap();
    }

    #[test]
    fn closing_the_store_removes_its_temporary_folder() {
        let dir = tempfile::tempdir().unwrap();
        drop(Layout::open(dir.path()).unwrap());
        assert_eq!(fs_err::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
    }
}
