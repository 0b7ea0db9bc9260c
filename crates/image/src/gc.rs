//! Garbage: content that nothing leads to any more.
//!
//! What leads to content: names, snapshots (which are names), repositories, the build cache, leases
//! of processes, and the images that instances run on, which the caller knows. While something comes
//! in, nothing is collected; what came in and has no manifest yet gets a grace period.
//!
//! Nothing is deleted under the lock, which starts of instances need too: content is renamed away,
//! and deleted afterwards.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::digest::Digest;
use crate::document::{Manifest, Top};
use crate::error::StoreError;
use crate::layout::Layout;
use crate::progress::Progress;
use crate::store::ImageStore;

/// What a prune goes by.
#[derive(Debug, Clone, Default)]
pub struct PruneRequest {
    /// Manifests of images that stay although they have no name: those of running instances.
    pub roots: Vec<Digest>,
    /// How old content must be that belongs to no image: somebody may just be pushing it, or may go
    /// on with a download.
    pub grace: Duration,
}

/// What a prune removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Blobs removed.
    pub blobs: usize,
    /// Unpacked layers removed.
    pub snapshots: usize,
    /// Downloads removed that nobody went on with.
    pub ingests: usize,
    /// Bytes of the removed blobs and downloads; unpacked layers come on top.
    pub bytes: u64,
    /// Bytes of the files in removed layers, as far as they are known.
    pub unpacked: u64,
}

impl ImageStore {
    /// Removes content that nothing leads to. Waits for pulls and builds in progress.
    ///
    /// # Errors
    /// The store cannot be read or written, or the caller asked to stop.
    pub fn prune(
        &self,
        request: &PruneRequest,
        progress: &dyn Progress,
    ) -> Result<Pruned, StoreError> {
        self.layout().prune(request, progress)
    }

    /// Removes what these images have and nothing else leads to, neither a name nor one of `roots`.
    /// Their names are not looked at: they have been taken away before.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn reclaim(&self, images: &[Digest], roots: &[Digest]) -> Result<Pruned, StoreError> {
        self.layout().reclaim(images, roots)
    }
}

/// Hex digits of what stays, or goes.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    pub(crate) blobs: HashSet<String>,
    pub(crate) snapshots: HashSet<String>,
}

impl Needed {
    /// What none of these has.
    pub(crate) fn without(&self, others: &[&Self]) -> Self {
        let blobs = |name: &&String| !others.iter().any(|other| other.blobs.contains(*name));
        let snapshots = |name: &&String| !others.iter().any(|o| o.snapshots.contains(*name));
        Self {
            blobs: self.blobs.iter().filter(blobs).cloned().collect(),
            snapshots: self.snapshots.iter().filter(snapshots).cloned().collect(),
        }
    }
}

impl Layout {
    /// Everything that a name leads to, here or in a repository.
    pub(crate) fn named(&self) -> Result<Needed, StoreError> {
        let mut needed = self.in_repositories()?;
        self.records()?.iter().for_each(|record| self.mark(&record.digest, &mut needed));
        Ok(needed)
    }

    /// Everything that a repository leads to.
    pub(crate) fn in_repositories(&self) -> Result<Needed, StoreError> {
        let mut needed = Needed::default();
        let (manifests, blobs) = self.linked_by_repositories()?;
        manifests.iter().for_each(|digest| self.mark(digest, &mut needed));
        needed.blobs.extend(blobs.iter().map(|blob| blob.hex().to_owned()));
        Ok(needed)
    }

    /// Everything that something leads to.
    fn needed(&self, roots: &[Digest]) -> Result<Needed, StoreError> {
        let mut needed = self.named()?;
        for digest in self.leased()?.iter().chain(roots) {
            self.mark(digest, &mut needed);
        }
        let cached = self.cached_layers()?;
        for layer in cached.of_steps {
            needed.blobs.insert(layer.blob.digest.hex().to_owned());
            needed.snapshots.insert(layer.diff_id.hex().to_owned());
        }
        for (plain, compressed) in cached.compressed {
            if needed.blobs.contains(&plain) {
                needed.blobs.insert(compressed.hex().to_owned());
            }
        }
        Ok(needed)
    }

    fn prune(&self, request: &PruneRequest, progress: &dyn Progress) -> Result<Pruned, StoreError> {
        let lock = self.lock_content_for_pruning(&|| progress.cancelled())?;
        let mut sweep = Sweep::new(self)?;
        let needed = self.needed(&request.roots)?;
        // An image goes as a whole. What belongs to none may be an image's in a moment.
        let mut whole = Needed::default();
        for digest in self.dangling(&needed)? {
            self.mark(&digest, &mut whole);
        }
        let now = SystemTime::now();
        for (path, name) in children(&self.blobs())? {
            let young = || is_younger(&path, now, request.grace) && !whole.blobs.contains(&name);
            if !needed.blobs.contains(&name) && !young() {
                sweep.blob(&name)?;
            }
        }
        for (_, name) in children(&self.snapshots())? {
            if !needed.snapshots.contains(&name) {
                sweep.snapshot(&name)?;
            }
        }
        for (path, name) in children(&self.ingests())? {
            if !is_younger(&path, now, request.grace) {
                sweep.ingest(&path, &name)?;
            }
        }
        // Nobody holds these: whoever does holds the content too.
        for (path, name) in children(&self.dir().join("locks"))? {
            if name.starts_with("blob-") || name.starts_with("snapshot-") {
                gone(fs_err::remove_file(&path))?;
            }
        }
        drop(lock);
        sweep.finish()
    }

    /// Removes what these images (or single blobs) have and nothing else leads to.
    pub(crate) fn reclaim(
        &self,
        images: &[Digest],
        roots: &[Digest],
    ) -> Result<Pruned, StoreError> {
        let lock = self.lock_content_for_pruning(&|| false)?;
        let mut sweep = Sweep::new(self)?;
        let (needed, mut had) = (self.needed(roots)?, Needed::default());
        let images = self.with_other_manifests(images, &needed)?;
        images.iter().for_each(|image| self.mark(image, &mut had));
        // Parts first: half-removed, an image can still be told what it had.
        for name in had.snapshots.difference(&needed.snapshots) {
            sweep.snapshot(name)?;
        }
        let tops: HashSet<&str> = images.iter().map(Digest::hex).collect();
        let (last, parts): (Vec<_>, Vec<_>) =
            had.blobs.difference(&needed.blobs).partition(|name| tops.contains(name.as_str()));
        for name in parts.into_iter().chain(last) {
            sweep.blob(name)?;
        }
        drop(lock);
        sweep.finish()
    }

    /// With the manifests that the images have beside these and that nothing leads to: one that was
    /// pushed compressed has two.
    fn with_other_manifests(
        &self,
        images: &[Digest],
        needed: &Needed,
    ) -> Result<Vec<Digest>, StoreError> {
        let config = |image: &Digest| Some(self.manifest(image).ok()?.config.digest);
        let configs: HashSet<Digest> = images.iter().filter_map(config).collect();
        let mut others = self.dangling(needed)?;
        others.retain(|other| {
            !images.contains(other) && config(other).is_some_and(|own| configs.contains(&own))
        });
        Ok([images, &others].concat())
    }

    /// Notes everything an image consists of. An image that is damaged keeps what can be told.
    pub(crate) fn mark(&self, digest: &Digest, needed: &mut Needed) {
        if !needed.blobs.insert(digest.hex().to_owned()) {
            return;
        }
        let top = self.read_document(digest).ok().and_then(|bytes| Top::parse(&bytes).ok());
        match top {
            Some(Top::Manifest(manifest)) => self.mark_manifest(&manifest, needed),
            Some(Top::Index(index)) => {
                index.manifests.iter().for_each(|entry| self.mark(&entry.digest, needed));
            }
            None => {}
        }
    }

    fn mark_manifest(&self, manifest: &Manifest, needed: &mut Needed) {
        needed.blobs.insert(manifest.config.digest.hex().to_owned());
        needed.blobs.extend(manifest.layers.iter().map(|layer| layer.digest.hex().to_owned()));
        if let Ok(config) = self.config(manifest) {
            let ids = config.rootfs.diff_ids.iter();
            needed.snapshots.extend(ids.map(|diff_id| diff_id.hex().to_owned()));
        }
    }
}

/// Content on its way out.
struct Sweep<'a> {
    layout: &'a Layout,
    /// Deleted when all is renamed into it.
    folder: tempfile::TempDir,
    pruned: Pruned,
}

impl<'a> Sweep<'a> {
    fn new(layout: &'a Layout) -> Result<Self, StoreError> {
        Ok(Self { layout, folder: layout.temporary_dir()?, pruned: Pruned::default() })
    }

    fn away(&self, path: &Path, name: &str) -> Result<bool, StoreError> {
        gone(fs_err::rename(path, self.folder.path().join(name)))
    }

    fn blob(&mut self, name: &str) -> Result<(), StoreError> {
        let path = self.layout.blobs().join(name);
        let bytes = fs_err::metadata(&path).map_or(0, |metadata| metadata.len());
        if self.away(&path, &format!("blob-{name}"))? {
            self.pruned.blobs += 1;
            self.pruned.bytes += bytes;
        }
        Ok(())
    }

    /// Renamed as a whole: a half-removed layer must never be found under its name.
    fn snapshot(&mut self, name: &str) -> Result<(), StoreError> {
        let path = self.layout.snapshots().join(name);
        if self.away(&path, &format!("snapshot-{name}"))? {
            self.pruned.snapshots += 1;
            self.pruned.unpacked += self.layout.forget_size(name);
            self.layout.unmark_unsynced(name);
        }
        Ok(())
    }

    fn ingest(&mut self, path: &Path, name: &str) -> Result<(), StoreError> {
        let bytes = fs_err::metadata(path).map_or(0, |metadata| metadata.len());
        if self.away(path, &format!("ingest-{name}"))? {
            self.pruned.ingests += 1;
            self.pruned.bytes += bytes;
        }
        Ok(())
    }

    fn finish(self) -> Result<Pruned, StoreError> {
        let place = self.folder.path().to_owned();
        self.folder.close().map_err(|source| StoreError::at(&place, source))?;
        Ok(self.pruned)
    }
}

/// Whether it was written less than `grace` before `now`. A time to come is the clock's fault.
fn is_younger(path: &Path, now: SystemTime, grace: Duration) -> bool {
    let written = fs_err::metadata(path).and_then(|metadata| metadata.modified());
    written.is_ok_and(|written| now.duration_since(written).unwrap_or_default() < grace)
}

fn children(folder: &Path) -> Result<Vec<(PathBuf, String)>, StoreError> {
    let mut children = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        children.push((entry.path(), entry.file_name().to_string_lossy().into_owned()));
    }
    Ok(children)
}

/// Whether something went that was there.
fn gone(result: io::Result<()>) -> Result<bool, StoreError> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    #[test]
    fn what_belongs_to_no_image_stays_for_the_grace_period() {
        let dir = tempfile::tempdir().unwrap();
        let store = ImageStore::open(dir.path()).unwrap();
        let layout = store.layout();
        let blob = layout.write_blob(b"a layer whose manifest is to come").unwrap();
        let half = Digest::of(b"half");
        layout.ingest(&half).unwrap().write(b"ha").unwrap();
        let hour = Duration::from_secs(3600);
        let young = PruneRequest { grace: hour, ..PruneRequest::default() };
        assert_eq!(store.prune(&young, &Silent).unwrap(), Pruned::default());
        let old = SystemTime::now() - hour * 2;
        for path in [layout.blob(&blob), layout.ingests().join(half.hex())] {
            fs_err::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
        }
        let pruned = store.prune(&young, &Silent).unwrap();
        assert_eq!((pruned.blobs, pruned.ingests, pruned.bytes), (1, 1, 35));
        assert!(!layout.has_blob(&blob));
    }

    #[test]
    fn a_prune_waits_for_who_needs_content_and_can_be_cancelled() {
        struct Cancelled;
        impl Progress for Cancelled {
            fn cancelled(&self) -> bool {
                true
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let store = ImageStore::open(dir.path()).unwrap();
        let _pull = store.layout().lock_content(&|| false).unwrap();
        let error = store.prune(&PruneRequest::default(), &Cancelled).unwrap_err();
        assert!(error.is_cancelled());
    }
}
