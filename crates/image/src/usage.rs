//! How much disk everything takes, and how much of it could be had back.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::digest::Digest;
use crate::error::StoreError;
use crate::gc::Needed;
use crate::layout::Layout;
use crate::snapshots::is_snapshot;
use crate::store::{ImageRecord, ImageStore};

/// What one kind of content takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageRow {
    /// How many there are.
    pub total: usize,
    /// How many are in use.
    pub active: usize,
    /// Bytes on disk that no row above has.
    pub size: u64,
    /// Bytes that removing what is not in use would free.
    pub reclaimable: u64,
}

/// What everything takes. What several have is counted with the first of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Images; active are those that instances run on, or processes have a lease of.
    pub images: UsageRow,
    /// Layers of images, unpacked; part of what images take.
    pub layers: UsageRow,
    /// Snapshots of containers and directories.
    pub snapshots: UsageRow,
    /// Layers that the build cache has and no image.
    pub build_cache: UsageRow,
    /// What the registry's repositories have and no image, snapshot or build; the registry prunes it.
    pub registry: UsageRow,
    /// Content that nothing leads to, and downloads that were not finished.
    pub unused: UsageRow,
}

impl ImageStore {
    /// What everything takes; `roots` are the manifests of images that instances run on.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn usage(&self, roots: &[Digest]) -> Result<Usage, StoreError> {
        let layout = self.layout();
        let mut used: HashSet<Digest> = layout.leased()?;
        used.extend(roots.iter().cloned());
        let (snapshots, images): (Vec<_>, Vec<_>) =
            layout.records()?.into_iter().partition(|record| is_snapshot(&record.reference));
        let digests = |records: Vec<ImageRecord>| {
            records.into_iter().map(|record| record.digest).collect::<HashSet<_>>()
        };
        let (snapshots, mut images) = (digests(snapshots), digests(images));
        images.extend(layout.dangling(&layout.named()?)?);
        let of_images = layout.marked(&images);
        let of_snapshots = layout.marked(&snapshots);
        let of_used = layout.marked(&used);
        let mut of_cache = Needed::default();
        for layer in layout.cached_layers()?.of_steps {
            of_cache.blobs.insert(layer.blob.digest.hex().to_owned());
            of_cache.snapshots.insert(layer.diff_id.hex().to_owned());
        }
        let active = |digests: &HashSet<Digest>| digests.intersection(&used).count();
        let bytes = |needed: &Needed| layout.bytes(needed);
        let idle = of_images.without(&[&of_used, &of_snapshots]);
        let own_snapshots = of_snapshots.without(&[&of_images]);
        let own_cache = of_cache.without(&[&of_images, &of_snapshots]);
        let of_registry = layout.in_repositories()?;
        let own_registry = of_registry.without(&[&of_images, &of_snapshots, &of_cache]);
        let unpacked = |needed: &Needed| {
            let snapshots = needed.snapshots.clone();
            layout.bytes(&Needed { snapshots, ..Needed::default() })
        };
        Ok(Usage {
            images: UsageRow {
                total: images.len(),
                active: active(&images),
                size: bytes(&of_images)?,
                reclaimable: bytes(&idle)?,
            },
            layers: UsageRow {
                total: of_images.snapshots.len(),
                active: of_images.snapshots.len() - idle.snapshots.len(),
                size: unpacked(&of_images)?,
                reclaimable: unpacked(&idle)?,
            },
            snapshots: UsageRow {
                total: snapshots.len(),
                active: active(&snapshots),
                size: bytes(&own_snapshots)?,
                reclaimable: bytes(&own_snapshots.without(&[&of_used]))?,
            },
            build_cache: UsageRow {
                total: of_cache.blobs.len(),
                active: of_cache.blobs.len() - own_cache.blobs.len(),
                size: bytes(&own_cache)?,
                reclaimable: bytes(&own_cache)?,
            },
            registry: UsageRow {
                total: of_registry.blobs.len(),
                active: of_registry.blobs.len(),
                size: bytes(&own_registry)?,
                reclaimable: 0,
            },
            unused: layout.unused(&[&of_images, &of_snapshots, &of_cache])?,
        })
    }
}

impl Layout {
    /// Everything that these images have.
    fn marked(&self, images: &HashSet<Digest>) -> Needed {
        let mut needed = Needed::default();
        images.iter().for_each(|digest| self.mark(digest, &mut needed));
        needed
    }

    fn bytes(&self, what: &Needed) -> Result<u64, StoreError> {
        let size = |name: &String| {
            fs_err::metadata(self.blobs().join(name)).map_or(0, |metadata| metadata.len())
        };
        let mut bytes = what.blobs.iter().map(size).sum();
        for name in &what.snapshots {
            bytes += self.unpacked_size(name)?;
        }
        Ok(bytes)
    }

    /// What neither these nor repositories have, and downloads that were not finished.
    fn unused(&self, others: &[&Needed]) -> Result<UsageRow, StoreError> {
        let names = |folder| -> Result<HashSet<String>, StoreError> {
            let mut names = HashSet::new();
            for entry in fs_err::read_dir(folder)? {
                names.insert(entry?.file_name().to_string_lossy().into_owned());
            }
            Ok(names)
        };
        let all = Needed { blobs: names(self.blobs())?, snapshots: names(self.snapshots())? };
        let rest = all.without(&[others, &[&self.named()?]].concat());
        let mut row =
            UsageRow { total: rest.blobs.len() + rest.snapshots.len(), ..UsageRow::default() };
        row.size = self.bytes(&rest)?;
        for entry in fs_err::read_dir(self.ingests())? {
            row.total += 1;
            row.size += entry?.metadata().map_or(0, |metadata| metadata.len());
        }
        row.reclaimable = row.size;
        Ok(row)
    }

    /// Bytes that the files of an unpacked layer have; counted once. Zero where it is not unpacked.
    pub(crate) fn unpacked_size(&self, name: &str) -> Result<u64, StoreError> {
        let noted = self.dir().join("sizes").join(name);
        let known = fs_err::read_to_string(&noted).ok().and_then(|text| text.trim().parse().ok());
        if let Some(bytes) = known {
            return Ok(bytes);
        }
        let layer = self.snapshots().join(name);
        if !layer.exists() {
            return Ok(0);
        }
        let bytes = files_beneath(&layer, &mut HashSet::new())?;
        self.replace_derived(&noted, bytes.to_string().as_bytes())?;
        Ok(bytes)
    }

    /// Forgets a layer's size and returns it.
    pub(crate) fn forget_size(&self, name: &str) -> u64 {
        let noted = self.dir().join("sizes").join(name);
        let known = fs_err::read_to_string(&noted).ok().and_then(|text| text.trim().parse().ok());
        // What is left over is a number in a file, and right when the layer comes back.
        let _ = fs_err::remove_file(noted);
        known.unwrap_or(0)
    }
}

/// Bytes of all files; one with several names once.
fn files_beneath(folder: &Path, links: &mut HashSet<(u64, u64)>) -> Result<u64, StoreError> {
    let mut bytes = 0;
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            bytes += files_beneath(&entry.path(), links)?;
        } else if metadata.is_file()
            && (metadata.nlink() == 1 || links.insert((metadata.dev(), metadata.ino())))
        {
            bytes += metadata.len();
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_two_names_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir(dir.path().join("d")).unwrap();
        fs_err::write(dir.path().join("d/a"), "12345").unwrap();
        fs_err::hard_link(dir.path().join("d/a"), dir.path().join("b")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("c")).unwrap();
        assert_eq!(files_beneath(dir.path(), &mut HashSet::new()).unwrap(), 5);
    }
}
