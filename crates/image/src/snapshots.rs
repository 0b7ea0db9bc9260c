//! Snapshots of containers and of directories, which one project keeps.
//!
//! A snapshot is an image: that of a container has its image's layers and one more, that of a
//! directory has one layer alone. Its name says whose it is, the image's labels say where it comes
//! from, and naming it anew is how its time begins anew. So there is no list beside the store's
//! own, and nothing that could disagree with it.

mod origin;

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cache::CachedLayer;
use crate::copy_tree::{Files, TreeCopy};
use crate::digest::Digest;
use crate::document::{ConfigDocument, Descriptor, History, OCI_LAYER};
use crate::error::StoreError;
use crate::gc::Pruned;
use crate::image::Image;
use crate::layout::Layout;
use crate::options::{Platform, UnpackLimits};
use crate::reference::Reference;
use crate::root::Root;
use crate::snapshot::make_root;
use crate::store::{ImageRecord, ImageStore};
use crate::unpack::{Unpack, unpack};
use crate::upload::Upload;

pub use origin::Origin;

/// The registry in a snapshot's name: none that could be asked.
const REGISTRY: &str = "snapshots.berth.invalid";

/// What a snapshot is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SnapshotKind {
    /// Everything a container has written, above its image.
    Container,
    /// One directory.
    Directory,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What it is of.
    pub kind: SnapshotKind,
    /// Its id: a UUID.
    pub id: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Bytes of the layer that it added.
    pub own_size: u64,
    /// Bytes of all its layers, its image's among them.
    pub size: u64,
    /// When it was last restored, or made, in seconds since 1970.
    pub used: i64,
    /// Where it comes from.
    pub origin: Origin,
}

/// A container's writes, copied and not yet kept. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct Captured {
    work: tempfile::TempDir,
}

/// The snapshots of one project.
#[derive(Debug, Clone)]
pub struct Snapshots {
    store: ImageStore,
    project: String,
}

impl SnapshotKind {
    /// Its word in names and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Directory => "directory",
        }
    }
}

/// Whether a name is a snapshot's, not an image's.
pub(crate) fn is_snapshot(reference: &Reference) -> bool {
    reference.registry() == REGISTRY
}

impl Snapshots {
    /// Those in `store` of the project with that key: lower-case letters and digits.
    #[must_use]
    pub fn new(store: ImageStore, project: impl Into<String>) -> Self {
        Self { store, project: project.into() }
    }

    /// Where they lie.
    #[must_use]
    pub fn store(&self) -> &ImageStore {
        &self.store
    }

    /// All of them, newest first. One that cannot be read is left out.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(&self) -> Result<Vec<Snapshot>, StoreError> {
        let records = self.store.layout().records()?;
        let mut all: Vec<Snapshot> =
            records.iter().filter_map(|record| self.read(record)).collect();
        all.sort_by(|a, b| b.origin.created.cmp(&a.origin.created).then(a.id.cmp(&b.id)));
        Ok(all)
    }

    /// The one with that id.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find(&self, kind: SnapshotKind, id: &str) -> Result<Option<Snapshot>, StoreError> {
        let Some(reference) = self.reference(kind, id) else { return Ok(None) };
        let record = self.store.layout().record_of(&reference)?;
        Ok(record.and_then(|record| self.read(&record)))
    }

    /// Its layers, ready to be mounted, and its time begins anew.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn restore(&self, snapshot: &Snapshot) -> Result<Option<Image>, StoreError> {
        let Some(reference) = self.reference(snapshot.kind, &snapshot.id) else { return Ok(None) };
        let Some(image) = self.store.image_by_digest(&snapshot.digest)? else { return Ok(None) };
        self.store.layout().touch(&reference)?;
        Ok(Some(image))
    }

    /// Copies a container's writes, but for those below `excluded`. The container stands still
    /// meanwhile, so nothing else is done here.
    ///
    /// # Errors
    /// Something cannot be part of a snapshot, or the disk is full.
    pub fn capture(
        &self,
        upper: BorrowedFd<'_>,
        excluded: &[PathBuf],
    ) -> Result<Captured, StoreError> {
        let work = self.store.layout().temporary_dir()?;
        let layer = work.path().join("layer");
        make_root(&layer)?;
        let target = Root::open(&layer)?;
        TreeCopy::new(target.as_fd(), Files::Copied, excluded)
            .run(upper)
            .map_err(|source| StoreError::at(Path::new("/"), source))?;
        Ok(Captured { work })
    }

    /// Keeps a container's writes as a snapshot above the image with that manifest.
    ///
    /// # Errors
    /// The image is not in the store, or the store cannot be written.
    pub fn keep_container(
        &self,
        id: &str,
        captured: Captured,
        image: &Digest,
        origin: &Origin,
    ) -> Result<Snapshot, StoreError> {
        let layout = self.store.layout();
        let _lock = layout.lock_content(&|| false)?;
        let manifest = layout.manifest(image)?;
        let mut document = layout.config(&manifest)?;
        let layer = captured.work.path().join("layer");
        let layer = layout.seal(&layer, None, origin.created, &|| false)?;
        document.created = Some(origin.created_at());
        document.config.labels.extend(origin.labels());
        let layers = manifest.layers.into_iter().map(Descriptor::into_oci).collect();
        self.keep(SnapshotKind::Container, id, document, layers, layer)
    }

    /// Keeps an archive of a directory as a snapshot.
    ///
    /// # Errors
    /// The archive is damaged or wants out, or the store cannot be written.
    pub fn keep_directory(
        &self,
        id: &str,
        archive: Upload,
        limits: UnpackLimits,
        origin: &Origin,
    ) -> Result<Snapshot, StoreError> {
        let layout = self.store.layout();
        let _lock = layout.lock_content(&|| false)?;
        let (digest, size) = archive.commit()?;
        if !layout.snapshot(&digest).exists() {
            unpack_directory(layout, &digest, limits)?;
        }
        let blob = Descriptor {
            media_type: OCI_LAYER.to_owned(),
            digest: digest.clone(),
            size,
            platform: None,
        };
        let layer = CachedLayer { blob, diff_id: digest, created: origin.created };
        let platform = Platform::host();
        let mut document = ConfigDocument::empty(platform.architecture());
        document.created = Some(origin.created_at());
        document.config.labels = origin.labels();
        self.keep(SnapshotKind::Directory, id, document, Vec::new(), layer)
    }

    fn keep(
        &self,
        kind: SnapshotKind,
        id: &str,
        mut document: ConfigDocument,
        mut layers: Vec<Descriptor>,
        layer: CachedLayer,
    ) -> Result<Snapshot, StoreError> {
        let layout = self.store.layout();
        let reference = self.reference(kind, id).ok_or_else(|| {
            StoreError::from(std::io::Error::other(format!("\"{id}\" is no snapshot's id")))
        })?;
        document.rootfs.diff_ids.push(layer.diff_id);
        document.history.push(History {
            created: document.created.clone(),
            created_by: Some(format!("snapshot {id}")),
            ..History::default()
        });
        layers.push(layer.blob);
        let digest = layout.write_image(&document, layers)?;
        layout.record(&reference, &digest)?;
        let record = layout.record_of(&reference)?;
        record.and_then(|record| self.read(&record)).ok_or(StoreError::MissingBlob { digest })
    }

    /// Forgets a snapshot, and removes what nothing needs any more: `running` are the manifests of
    /// images that instances run on. Returns what was removed; `None` when there is no such one.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn remove(
        &self,
        kind: SnapshotKind,
        id: &str,
        running: &[Digest],
    ) -> Result<Option<Pruned>, StoreError> {
        let Some(snapshot) = self.find(kind, id)? else { return Ok(None) };
        let Some(reference) = self.reference(kind, id) else { return Ok(None) };
        self.store.layout().unrecord(&reference)?;
        self.store.layout().reclaim(std::slice::from_ref(&snapshot.digest), running).map(Some)
    }

    /// Removes those that nobody has used for `ttl`, as of `now` in seconds since 1970; returns them.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn expire(
        &self,
        now: i64,
        ttl: Duration,
        running: &[Digest],
    ) -> Result<Vec<Snapshot>, StoreError> {
        let expired = |snapshot: &Snapshot| snapshot.expires(ttl) <= now;
        let mut removed = Vec::new();
        for snapshot in self.list()?.into_iter().filter(expired) {
            self.remove(snapshot.kind, &snapshot.id, running)?;
            removed.push(snapshot);
        }
        Ok(removed)
    }

    fn reference(&self, kind: SnapshotKind, id: &str) -> Option<Reference> {
        let harmless = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if id.is_empty() || !id.chars().all(harmless) {
            return None;
        }
        format!("{REGISTRY}/{}/{}:{id}", self.project, kind.as_str()).parse().ok()
    }

    /// The snapshot of a name, if it is one's of this project.
    fn read(&self, record: &ImageRecord) -> Option<Snapshot> {
        if !is_snapshot(&record.reference) {
            return None;
        }
        let (project, kind) = record.reference.repository().rsplit_once('/')?;
        let kind = match kind {
            "container" => SnapshotKind::Container,
            "directory" => SnapshotKind::Directory,
            _ => return None,
        };
        if project != self.project {
            return None;
        }
        let layout = self.store.layout();
        let manifest = layout.manifest(&record.digest).ok()?;
        let document = layout.config(&manifest).ok()?;
        Some(Snapshot {
            kind,
            id: record.reference.tag()?.to_owned(),
            digest: record.digest.clone(),
            own_size: manifest.layers.last()?.size,
            size: manifest.layers.iter().map(|layer| layer.size).sum(),
            used: record.updated,
            origin: Origin::of_labels(&document.config.labels),
        })
    }
}

impl Snapshot {
    /// When it is gone unless somebody restores it, in seconds since 1970.
    #[must_use]
    pub fn expires(&self, ttl: Duration) -> i64 {
        self.used.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX))
    }
}

/// A directory's archive has plain names only: what looks like a whiteout is a file.
fn unpack_directory(
    layout: &Layout,
    digest: &Digest,
    limits: UnpackLimits,
) -> Result<(), StoreError> {
    let failed = |source| StoreError::Unpack { digest: digest.clone(), source };
    let work = layout.temporary_dir()?;
    let target = work.path().join("layer");
    make_root(&target)?;
    let options = Unpack {
        place: &layout.snapshot(digest),
        prefix: Path::new(""),
        whiteouts: false,
        owner: None,
        ids: None,
        limits,
        cancelled: &|| false,
    };
    let archive = std::io::BufReader::with_capacity(256 * 1024, layout.open_blob(digest)?);
    unpack(archive, &Root::open(&target)?, &options).map_err(failed)?;
    layout.place_snapshot(&target, digest)
}

#[cfg(test)]
mod tests;
