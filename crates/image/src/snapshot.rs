//! Unpacked layers. A snapshot is there whole or not at all, and is never changed.
//!
//! Its name is the digest of the uncompressed archive: one layer is unpacked once, whatever images
//! have it and however it is compressed. Whiteouts are kept, so that a layer means the same over
//! any other.

use std::cell::Cell;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use crate::content::Expected;
use crate::digest::{Digest, DigestReader};
use crate::document::Descriptor;
use crate::error::{StoreError, UnpackError};
use crate::layout::Layout;
use crate::options::UnpackLimits;
use crate::progress::{Counted, Outcome, Progress, Task, TaskId, TaskKind, next_task};
use crate::root::Root;
use crate::unpack::{Unpack, decompress, unpack};

impl Layout {
    /// Unpacks a layer's blob unless that was done before; returns the directory.
    pub(crate) fn ensure_snapshot(
        &self,
        layer: &Descriptor,
        diff_id: &Digest,
        limits: UnpackLimits,
        progress: &dyn Progress,
    ) -> Result<PathBuf, StoreError> {
        let path = self.snapshot(diff_id);
        let here = || path.exists() && self.is_intact(diff_id);
        if here() {
            return Ok(path);
        }
        let cancelled = || progress.cancelled();
        let _lock = self.lock(&format!("snapshot-{}", diff_id.hex()), &cancelled)?;
        if here() {
            return Ok(path);
        }
        let task = next_task();
        let label = format!("layer {}", layer.digest.short());
        progress.begin(&Task { id: task, kind: TaskKind::Unpack, label, total: Some(layer.size) });
        let result = self.unpack_layer(layer, diff_id, limits, task, progress);
        let outcome = if result.is_ok() { Outcome::Done } else { Outcome::Failed };
        progress.finish(task, outcome);
        result.map(|()| path)
    }

    fn unpack_layer(
        &self,
        layer: &Descriptor,
        diff_id: &Digest,
        limits: UnpackLimits,
        task: TaskId,
        progress: &dyn Progress,
    ) -> Result<(), StoreError> {
        let failed = |source| StoreError::Unpack { digest: layer.digest.clone(), source };
        if !rustix::process::geteuid().is_root() {
            return Err(failed(UnpackError::NotRoot));
        }
        let work = self.temporary_dir()?;
        let target = work.path().join("layer");
        make_root(&target)?;
        let root = Root::open(&target)?;
        let counted = Counted::new(self.open_blob(&layer.digest)?, task, progress);
        let blob = BufReader::with_capacity(256 * 1024, counted);
        let damaged = |source| failed(UnpackError::Archive { source });
        let mut content = DigestReader::new(decompress(blob).map_err(damaged)?);
        let polled = Polled::new(progress);
        let options = Unpack {
            place: &self.snapshot(diff_id),
            prefix: Path::new(""),
            whiteouts: true,
            owner: None,
            ids: None,
            limits,
            cancelled: &|| polled.cancelled(),
        };
        unpack(&mut content, &root, &options).map_err(failed)?;
        let (actual, _) = content.finish();
        if actual != *diff_id {
            return Err(failed(UnpackError::DiffId { expected: diff_id.clone(), actual }));
        }
        self.place_snapshot(&target, diff_id)
    }

    /// Makes a finished directory (in this store's temporary folder) the snapshot of that name. If
    /// there is one already, it is the same and stays.
    pub(crate) fn place_snapshot(&self, from: &Path, diff_id: &Digest) -> Result<(), StoreError> {
        let to = self.snapshot(diff_id);
        if to.exists() {
            if self.is_intact(diff_id) {
                return Ok(());
            }
            // Renamed first: a half-removed layer must never be found under its name.
            let work = self.temporary_dir()?;
            fs_err::rename(&to, work.path().join("layer"))?;
        }
        self.mark_unsynced(diff_id)?;
        match fs_err::rename(from, &to) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) =>
            {
                Ok(())
            }
            result => Ok(result?),
        }
    }

    /// What a layer's blob must be.
    pub(crate) fn expected(layer: &Descriptor) -> Expected<'_> {
        Expected { digest: &layer.digest, size: layer.size }
    }
}

/// Makes the directory that becomes `/`, with the mode it has unless a layer says otherwise.
pub(crate) fn make_root(path: &Path) -> Result<(), StoreError> {
    fs_err::create_dir(path)?;
    let mode = rustix::fs::Mode::from_raw_mode(0o755);
    rustix::fs::chmod(path, mode).map_err(|errno| StoreError::at(path, errno.into()))
}

/// Asks for cancellation now and then only: it may take a lock, and reads are many.
struct Polled<'a> {
    progress: &'a dyn Progress,
    calls: Cell<u32>,
}

impl<'a> Polled<'a> {
    fn new(progress: &'a dyn Progress) -> Self {
        Self { progress, calls: Cell::new(0) }
    }

    fn cancelled(&self) -> bool {
        let calls = self.calls.get();
        self.calls.set(calls.wrapping_add(1));
        calls.is_multiple_of(64) && self.progress.cancelled()
    }
}
