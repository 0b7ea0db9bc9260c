//! Names of images, and what no name needs any more.

use std::collections::HashSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::digest::Digest;
use crate::error::StoreError;
use crate::layout::Layout;
use crate::reference::Reference;
use crate::store::{ImageRecord, Pruned};

impl Layout {
    fn record_path(&self, reference: &Reference) -> PathBuf {
        let name = Digest::of(reference.to_string().as_bytes());
        self.images().join(format!("{}.json", name.hex()))
    }

    /// The manifest a reference leads to. A digest that is here needs no name.
    pub(crate) fn find(&self, reference: &Reference) -> Result<Option<Digest>, StoreError> {
        if let Some(record) = read_record(&self.record_path(reference))? {
            return Ok(Some(record.digest));
        }
        Ok(reference.digest().filter(|digest| self.manifest(digest).is_ok()).cloned())
    }

    /// Gives a manifest a name.
    pub(crate) fn record(&self, reference: &Reference, digest: &Digest) -> Result<(), StoreError> {
        let updated = jiff::Timestamp::now().as_second();
        let record = ImageRecord { reference: reference.clone(), digest: digest.clone(), updated };
        let bytes = serde_json::to_vec(&record).expect("a record has only strings and numbers");
        // A name on disk leads to content on disk.
        self.sync_folder(&self.dir().join("content/sha256"))?;
        self.replace_file(&self.record_path(reference), &bytes)?;
        self.sync_folder(&self.images())
    }

    /// Begins a name's time anew. Nothing is written that a power cut could tear.
    pub(crate) fn touch(&self, reference: &Reference) -> Result<(), StoreError> {
        let file = fs_err::File::options().write(true).open(self.record_path(reference))?;
        Ok(file.set_modified(SystemTime::now())?)
    }

    /// A name's record.
    pub(crate) fn record_of(
        &self,
        reference: &Reference,
    ) -> Result<Option<ImageRecord>, StoreError> {
        read_record(&self.record_path(reference))
    }

    pub(crate) fn unrecord(&self, reference: &Reference) -> Result<bool, StoreError> {
        match fs_err::remove_file(self.record_path(reference)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// All names, sorted.
    pub(crate) fn records(&self) -> Result<Vec<ImageRecord>, StoreError> {
        let mut records = Vec::new();
        for entry in fs_err::read_dir(self.images())? {
            records.extend(read_record(&entry?.path())?);
        }
        records.sort_by(|a, b| a.reference.cmp(&b.reference));
        Ok(records)
    }

    /// Removes what is reachable neither from a name nor from `roots`.
    pub(crate) fn prune(&self, roots: &[Digest]) -> Result<Pruned, StoreError> {
        let _lock = self.lock_content_for_pruning()?;
        let mut needed = Needed::default();
        let named = self.records()?.into_iter().map(|record| record.digest);
        for digest in named.chain(roots.iter().cloned()) {
            self.mark(&digest, &mut needed);
        }
        let mut pruned = Pruned::default();
        for (path, name) in children(&self.dir().join("content/sha256"))? {
            if !needed.blobs.contains(&name) {
                pruned.bytes += fs_err::metadata(&path)?.len();
                pruned.blobs += 1;
                fs_err::remove_file(&path)?;
            }
        }
        for (path, name) in children(&self.dir().join("snapshots/sha256"))? {
            if !needed.snapshots.contains(&name) {
                // Renamed first: a half-removed layer must never be found under its name.
                let work = self.temporary_dir()?;
                fs_err::rename(&path, work.path().join("layer"))?;
                pruned.snapshots += 1;
            }
        }
        for (path, _) in children(&self.cache())? {
            if !self.cached_layer_is_here(&path) {
                pruned.cached += 1;
                fs_err::remove_file(&path)?;
            }
        }
        // Nobody holds these: whoever does holds the content too.
        for (path, name) in children(&self.dir().join("locks"))? {
            if name.starts_with("blob-") || name.starts_with("snapshot-") {
                fs_err::remove_file(&path)?;
            }
        }
        Ok(pruned)
    }

    /// Removes what of one image is reachable neither from a name nor from `roots`.
    pub(crate) fn reclaim(&self, image: &Digest, roots: &[Digest]) -> Result<Pruned, StoreError> {
        let _lock = self.lock_content_for_pruning()?;
        let (mut needed, mut had) = (Needed::default(), Needed::default());
        let named = self.records()?.into_iter().map(|record| record.digest);
        for digest in named.chain(roots.iter().cloned()) {
            self.mark(&digest, &mut needed);
        }
        self.mark(image, &mut had);
        let mut pruned = Pruned::default();
        // Its parts first: half-removed, it can still be told what it had.
        for name in had.snapshots.difference(&needed.snapshots) {
            let path = self.dir().join("snapshots/sha256").join(name);
            let work = self.temporary_dir()?;
            pruned.snapshots += usize::from(gone(fs_err::rename(path, work.path().join("layer")))?);
        }
        let top = image.hex();
        let parts = had.blobs.difference(&needed.blobs).filter(|name| *name != top);
        let last = had.blobs.get(top).filter(|name| !needed.blobs.contains(*name));
        for name in parts.chain(last) {
            let path = self.dir().join("content/sha256").join(name);
            pruned.bytes += fs_err::metadata(&path).map_or(0, |metadata| metadata.len());
            pruned.blobs += usize::from(gone(fs_err::remove_file(path))?);
        }
        Ok(pruned)
    }

    /// Notes everything an image consists of. An image that is damaged keeps what can be told.
    fn mark(&self, digest: &Digest, needed: &mut Needed) {
        if !needed.blobs.insert(digest.hex().to_owned()) {
            return;
        }
        let Ok(manifest) = self.manifest(digest) else { return };
        needed.blobs.insert(manifest.config.digest.hex().to_owned());
        needed.blobs.extend(manifest.layers.iter().map(|layer| layer.digest.hex().to_owned()));
        if let Ok(config) = self.config(&manifest) {
            let ids = config.rootfs.diff_ids.iter();
            needed.snapshots.extend(ids.map(|diff_id| diff_id.hex().to_owned()));
        }
    }
}

/// Hex digits of what stays.
#[derive(Default)]
struct Needed {
    blobs: HashSet<String>,
    snapshots: HashSet<String>,
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

/// A record, or nothing when it is not there (any more) or not a record.
fn read_record(path: &Path) -> Result<Option<ImageRecord>, StoreError> {
    let mut file = match fs_err::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let touched = seconds(file.metadata()?.modified()?);
    let record = serde_json::from_slice::<ImageRecord>(&bytes).ok();
    Ok(record.map(|record| ImageRecord { updated: record.updated.max(touched), ..record }))
}

/// In seconds since 1970.
fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
