//! The image store: one directory that holds everything about images.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::{ConfigDocument, Manifest, Top};
use crate::error::{BuildError, PullError, PushError, StoreError};
use crate::image::Image;
use crate::layout::{Layout, Lock};
use crate::options::{BuildRequest, PullOptions, PushOptions, UnpackLimits};
use crate::progress::{Progress, Silent};
use crate::reference::Reference;
use crate::repositories::Version;
use crate::run_step::RunStep;

/// Images in one directory. Clones share it; threads and processes may use it at once.
#[derive(Debug, Clone)]
pub struct ImageStore {
    layout: Arc<Layout>,
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

/// Nothing is collected while this lives.
#[derive(Debug)]
pub struct KeptContent {
    _lock: Lock,
}

impl ImageStore {
    /// Opens the store in `dir`, makes it if it is not there, and removes what a killed process
    /// left half-made.
    ///
    /// # Errors
    /// The directory cannot be made or written.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Ok(Self { layout: Arc::new(Layout::open(&dir.into())?) })
    }

    /// Keeps everything that is here from being collected, by any process, for as long as what is
    /// returned lives. Waits for a collection that runs.
    ///
    /// # Errors
    /// The store cannot be locked.
    pub fn keep_all(&self) -> Result<KeptContent, StoreError> {
        Ok(KeptContent { _lock: self.layout.lock_content(&|| false)? })
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn shared_layout(&self) -> Arc<Layout> {
        Arc::clone(&self.layout)
    }

    /// The store's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.layout.dir()
    }

    /// The image of that name, if it is here. Layers that are not unpacked (any more) are unpacked
    /// from their blobs; no registry is asked. A reference with a digest needs no name.
    ///
    /// # Errors
    /// The store is damaged or cannot be read.
    pub fn image(&self, reference: &Reference) -> Result<Option<Image>, StoreError> {
        match self.layout.find(reference)? {
            Some(digest) => self.image_by_digest(&digest),
            None => Ok(None),
        }
    }

    /// The image with that manifest digest, if it is here; otherwise as [`Self::image`].
    ///
    /// # Errors
    /// The store is damaged or cannot be read.
    pub fn image_by_digest(&self, digest: &Digest) -> Result<Option<Image>, StoreError> {
        let _lock = self.layout.lock_content(&|| false)?;
        if !self.layout.has_blob(digest) {
            return Ok(None);
        }
        self.layout.assemble(digest, UnpackLimits::default(), &Silent).map(Some)
    }

    /// All names, sorted.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn images(&self) -> Result<Vec<ImageRecord>, StoreError> {
        self.layout.records()
    }

    /// Gives an image that is here a name; the name may have been another image's.
    ///
    /// # Errors
    /// The image is not here, or the store cannot be written.
    pub fn tag(&self, reference: &Reference, digest: &Digest) -> Result<(), StoreError> {
        let _lock = self.layout.lock_content(&|| false)?;
        self.layout.manifest(digest)?;
        self.layout.record(reference, digest)
    }

    /// Takes a name away, also from our own registry if it is one of its names; its content stays
    /// until [`Self::prune`]. Returns whether it was there.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn untag(&self, reference: &Reference) -> Result<bool, StoreError> {
        let pushed = match self.layout.own_tag(reference)? {
            Some((name, tag)) => self.repositories()?.remove_manifest(&name, &Version::Tag(tag))?,
            None => false,
        };
        Ok(self.layout.unrecord(reference)? || pushed)
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
        crate::pull::pull(&self.layout, reference, options, progress)
    }

    /// The manifest or index that a registry has under a name, byte for byte. Nothing is kept of it.
    ///
    /// # Errors
    /// See [`PullError`].
    pub fn remote_manifest(
        reference: &Reference,
        options: &PullOptions,
        progress: &dyn Progress,
    ) -> Result<Vec<u8>, PullError> {
        crate::pull::remote_manifest(reference, options, progress)
    }

    /// The manifest of the image with that digest, byte for byte.
    ///
    /// # Errors
    /// It is not here or damaged.
    pub fn manifest(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        self.layout.read_document(digest)
    }

    /// Pushes the image of that name to its registry: what the registry has, or has in another
    /// repository, is not transferred. Layers that were pulled arrive byte for byte as they are here,
    /// those that were built compressed ([`PushOptions::compress`]). Returns the digest that the
    /// manifest has in the registry, which the name leads to from then on.
    ///
    /// # Errors
    /// See [`PushError`].
    pub fn push(
        &self,
        reference: &Reference,
        options: &PushOptions,
        progress: &dyn Progress,
    ) -> Result<Digest, PushError> {
        crate::push::push(&self.layout, reference, options, progress)
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
        crate::build::build(&self.layout, request, run, progress)
    }
}

impl Layout {
    /// An image's manifest.
    pub(crate) fn manifest(&self, digest: &Digest) -> Result<Manifest, StoreError> {
        let bytes = self.read_document(digest)?;
        let document =
            |source| StoreError::Document { what: "manifest", digest: digest.clone(), source };
        match Top::parse(&bytes).map_err(document)? {
            Top::Manifest(manifest) => Ok(manifest),
            Top::Index(_) => Err(StoreError::Invalid {
                what: "manifest",
                digest: digest.clone(),
                reason: "it is an index of several images".to_owned(),
            }),
        }
    }

    /// An image's config, checked against its manifest.
    pub(crate) fn config(&self, manifest: &Manifest) -> Result<ConfigDocument, StoreError> {
        let digest = &manifest.config.digest;
        let bytes = self.read_document(digest)?;
        let document: ConfigDocument = serde_json::from_slice(&bytes).map_err(|source| {
            StoreError::Document { what: "config", digest: digest.clone(), source }
        })?;
        let (diffs, layers) = (document.rootfs.diff_ids.len(), manifest.layers.len());
        if diffs != layers {
            return Err(StoreError::Invalid {
                what: "config",
                digest: digest.clone(),
                reason: format!("it has {diffs} diff_ids, the manifest has {layers} layers"),
            });
        }
        Ok(document)
    }

    /// The image of a manifest whose blobs are here, every layer unpacked.
    pub(crate) fn assemble(
        &self,
        digest: &Digest,
        limits: UnpackLimits,
        progress: &dyn Progress,
    ) -> Result<Image, StoreError> {
        let manifest = self.manifest(digest)?;
        let document = self.config(&manifest)?;
        let mut layers = Vec::with_capacity(manifest.layers.len());
        let pairs = manifest.layers.iter().zip(&document.rootfs.diff_ids);
        for (layer, diff_id) in pairs.rev() {
            let directory = self.ensure_snapshot(layer, diff_id, limits, progress)?;
            // overlayfs refuses a directory twice, and twice is the same as once on top.
            if !layers.contains(&directory) {
                layers.push(directory);
            }
        }
        if layers.is_empty() {
            layers.push(self.empty()?);
        }
        let blobs = manifest.layers.iter().map(|layer| layer.size).sum::<u64>();
        Ok(Image {
            digest: digest.clone(),
            config: document.config.to_config(),
            layers,
            size: blobs + manifest.config.size,
        })
    }
}
