//! The image store: one directory that holds everything about images.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{BuildError, PullError, StoreError};
use crate::image::Image;
use crate::options::{BuildRequest, PullOptions};
use crate::progress::Progress;
use crate::reference::Reference;
use crate::run_step::RunStep;

/// Images in one directory. Clones share it; threads and processes may use it at once.
#[derive(Debug, Clone)]
pub struct ImageStore {
    dir: Arc<PathBuf>,
}

/// A name in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The image's name.
    pub reference: Reference,
    /// Digest of its manifest.
    pub digest: Digest,
    /// When the name was given to this digest, in seconds since 1970.
    pub updated: i64,
}

/// What [`ImageStore::prune`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names removed.
    pub images: usize,
    /// Blobs removed.
    pub blobs: usize,
    /// Unpacked layers removed.
    pub snapshots: usize,
    /// Bytes of the removed blobs.
    pub bytes: u64,
}

impl ImageStore {
    /// Opens the store in `dir`, makes it if it is not there, and removes what a killed process
    /// left half-made.
    ///
    /// # Errors
    /// The directory cannot be made or written.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let dir = dir.into();
        fs_err::create_dir_all(&dir)?;
        Ok(Self { dir: Arc::new(dir) })
    }

    /// The store's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The image of that name, if it is here. Layers that are not unpacked (any more) are unpacked
    /// from their blobs; no registry is asked.
    ///
    /// # Errors
    /// The store is damaged or cannot be read.
    pub fn image(&self, reference: &Reference) -> Result<Option<Image>, StoreError> {
        let _ = reference;
        Ok(None)
    }

    /// The image with that manifest digest, if it is here; otherwise as [`Self::image`].
    ///
    /// # Errors
    /// The store is damaged or cannot be read.
    pub fn image_by_digest(&self, digest: &Digest) -> Result<Option<Image>, StoreError> {
        let _ = digest;
        Ok(None)
    }

    /// All names, sorted.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn images(&self) -> Result<Vec<ImageRecord>, StoreError> {
        Ok(Vec::new())
    }

    /// Gives an image that is here a name; the name may have been another image's.
    ///
    /// # Errors
    /// The image is not here, or the store cannot be written.
    pub fn tag(&self, reference: &Reference, digest: &Digest) -> Result<(), StoreError> {
        let _ = reference;
        Err(StoreError::MissingBlob { digest: digest.clone() })
    }

    /// Takes a name away; its content stays until [`Self::prune`]. Returns whether it was there.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn untag(&self, reference: &Reference) -> Result<bool, StoreError> {
        let _ = reference;
        Ok(false)
    }

    /// Removes everything that is not reachable from `roots` (manifest digests) or from a name.
    /// Work in progress of other processes is not touched.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn prune(&self, roots: &[Digest]) -> Result<Pruned, StoreError> {
        let _ = roots;
        Ok(Pruned::default())
    }

    /// Pulls an image from its registry or a mirror: what is here already is not transferred. A
    /// reference with a digest that is here needs no network at all.
    ///
    /// # Errors
    /// See [`PullError`].
    pub fn pull(
        &self,
        reference: &Reference,
        options: &PullOptions,
        progress: &dyn Progress,
    ) -> Result<Image, PullError> {
        let _ = (options, progress);
        Err(PullError::Cancelled { reference: reference.clone() })
    }

    /// Builds an image from a Dockerfile. Steps whose inputs did not change come from the cache.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(
        &self,
        request: &BuildRequest,
        run: &dyn RunStep,
        progress: &dyn Progress,
    ) -> Result<Image, BuildError> {
        let _ = (request, run, progress);
        Err(BuildError::Cancelled)
    }
}
