//! Pruning of the build cache, by age and by size: what was not used for longest goes first.
//!
//! A step's entry goes, its layer stays until the next [`ImageStore::prune`]: an image may have it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::StoreError;
use crate::layout::Layout;
use crate::store::ImageStore;

/// What [`ImageStore::prune_build_cache`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PrunedCache {
    /// Results of steps.
    pub steps: usize,
    /// Directories of `RUN --mount=type=cache`.
    pub mounts: usize,
    /// Bytes of the directories, and of the layers that may go now.
    pub bytes: u64,
}

/// Something that can be removed.
#[derive(Debug)]
struct Item {
    path: PathBuf,
    /// The lock of a directory, which whoever uses it holds.
    lock: Option<String>,
    used: SystemTime,
    bytes: u64,
}

impl ImageStore {
    /// Removes what of the build cache was not used for `older_than`, and then what was not used for
    /// longest until `keep_bytes` are left. What a build uses stays.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn prune_build_cache(
        &self,
        keep_bytes: Option<u64>,
        older_than: Option<Duration>,
    ) -> Result<PrunedCache, StoreError> {
        let layout = self.layout();
        let mut items = layout.cached_steps()?;
        items.extend(layout.cached_mounts()?);
        let now = SystemTime::now();
        let mut pruned = PrunedCache::default();
        for item in chosen(items, now, keep_bytes, older_than) {
            match &item.lock {
                None => {
                    ignore_missing(fs_err::remove_file(&item.path))?;
                    pruned.steps += 1;
                }
                Some(name) => {
                    let Ok(_lock) = layout.lock(name, &|| true) else { continue };
                    // Renamed first: a half-removed directory must never be found again.
                    let work = layout.temporary_dir()?;
                    ignore_missing(fs_err::rename(&item.path, work.path().join("mount")))?;
                    pruned.mounts += 1;
                }
            }
            pruned.bytes += item.bytes;
        }
        Ok(pruned)
    }
}

/// What is to go, the one that was not used for longest first.
fn chosen(
    mut items: Vec<Item>,
    now: SystemTime,
    keep_bytes: Option<u64>,
    older_than: Option<Duration>,
) -> Vec<Item> {
    items.sort_by(|a, b| a.used.cmp(&b.used).then_with(|| a.path.cmp(&b.path)));
    let mut left: u64 = items.iter().map(|item| item.bytes).sum();
    items.retain(|item| {
        let age = now.duration_since(item.used).unwrap_or_default();
        let old = older_than.is_some_and(|limit| age >= limit);
        let much = keep_bytes.is_some_and(|keep| left > keep);
        let goes = old || much;
        left -= if goes { item.bytes } else { 0 };
        goes
    });
    items
}

impl Layout {
    fn cached_steps(&self) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        for entry in fs_err::read_dir(self.cache())? {
            let path = entry?.path();
            let Ok(metadata) = fs_err::metadata(&path) else { continue };
            let bytes = self.cached_layer_at(&path).map_or(0, |layer| layer.blob.size);
            items.push(Item { path, lock: None, used: modified(&metadata), bytes });
        }
        Ok(items)
    }

    fn cached_mounts(&self) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        for id in children(&self.cache_mounts())? {
            for path in children(&id)? {
                let Ok(metadata) = fs_err::metadata(path.join("id")) else { continue };
                let name = |path: &Path| {
                    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
                };
                let lock = Some(format!("mount-{}-{}", name(&id), name(&path)));
                let bytes = size(&path)?;
                items.push(Item { path, lock, used: modified(&metadata), bytes });
            }
        }
        Ok(items)
    }
}

fn modified(metadata: &std::fs::Metadata) -> SystemTime {
    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn children(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match fs_err::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Bytes of the files below a directory that others may be changing.
fn size(path: &Path) -> Result<u64, StoreError> {
    let mut bytes = 0;
    for child in children(path)? {
        match fs_err::symlink_metadata(&child) {
            Ok(metadata) if metadata.is_dir() => bytes += size(&child)?,
            Ok(metadata) => bytes += metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

fn ignore_missing(result: io::Result<()>) -> Result<(), StoreError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_only_as_many_as_must() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let items = || -> Vec<Item> {
            [("a", 10, 5), ("b", 900, 7), ("c", 500, 11)]
                .map(|(path, used, bytes)| Item {
                    path: path.into(),
                    lock: None,
                    used: SystemTime::UNIX_EPOCH + Duration::from_secs(used),
                    bytes,
                })
                .into()
        };
        let paths = |keep, older: Option<u64>| -> Vec<String> {
            let chosen = chosen(items(), now, keep, older.map(Duration::from_secs));
            chosen.iter().map(|item| item.path.display().to_string()).collect()
        };
        assert_eq!(paths(None, None), Vec::<String>::new());
        assert_eq!(paths(Some(23), None), Vec::<String>::new());
        assert_eq!(paths(Some(22), None), ["a"]);
        assert_eq!(paths(Some(7), None), ["a", "c"]);
        assert_eq!(paths(Some(0), None), ["a", "c", "b"]);
        assert_eq!(paths(None, Some(400)), ["a", "c"]);
        assert_eq!(paths(Some(7), Some(990)), ["a", "c"]);
    }
}
