//! The build cache: what a step makes, by the digest of everything it depends on.
//!
//! An entry that cannot be read is no entry: the step runs again.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::Descriptor;
use crate::error::StoreError;
use crate::layout::Layout;

/// Prefix of entries that remember the digest of a tree in a stage.
const TREE: &str = "tree-";
/// Prefix of entries that remember what a layer is when it is compressed.
const GZIP: &str = "gzip-";

/// A layer that a step made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CachedLayer {
    /// Its blob.
    pub(crate) blob: Descriptor,
    /// Digest of the uncompressed archive; the name of its snapshot.
    pub(crate) diff_id: Digest,
    /// When it was made, in seconds since 1970.
    pub(crate) created: i64,
}

/// See [`Layout::cached_layers`].
#[derive(Debug, Default)]
pub(crate) struct CachedLayers {
    pub(crate) of_steps: Vec<CachedLayer>,
    pub(crate) compressed: Vec<(String, Digest)>,
}

impl Layout {
    fn cache_path(&self, prefix: &str, key: &Digest) -> PathBuf {
        self.cache().join(format!("{prefix}{}", key.hex()))
    }

    /// The layer a step with this key made, if it is still here.
    pub(crate) fn cached_layer(&self, key: &Digest) -> Option<CachedLayer> {
        self.use_cached_layer(&self.cache_path("", key))
    }

    /// A layer compressed, if it was before.
    pub(crate) fn compressed_layer(&self, layer: &Digest) -> Option<Descriptor> {
        self.use_cached_layer(&self.cache_path(GZIP, layer)).map(|compressed| compressed.blob)
    }

    pub(crate) fn cache_compressed(
        &self,
        layer: &Digest,
        compressed: &CachedLayer,
    ) -> Result<(), StoreError> {
        self.write_cached_layer(&self.cache_path(GZIP, layer), compressed)
    }

    fn use_cached_layer(&self, path: &Path) -> Option<CachedLayer> {
        let layer = self.cached_layer_at(path)?;
        // When it was used last decides what is pruned; that it cannot be noted is no reason to do
        // the work again.
        let file = std::fs::File::options().write(true).open(path);
        let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
        Some(layer)
    }

    pub(crate) fn cache_layer(&self, key: &Digest, layer: &CachedLayer) -> Result<(), StoreError> {
        self.write_cached_layer(&self.cache_path("", key), layer)
    }

    fn write_cached_layer(&self, path: &Path, layer: &CachedLayer) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(layer).expect("an entry has only strings and numbers");
        self.replace_derived(path, &bytes)
    }

    /// The digest of a tree in immutable layers, if it was computed before.
    pub(crate) fn cached_tree(&self, key: &Digest) -> Option<Digest> {
        fs_err::read_to_string(self.cache_path(TREE, key)).ok()?.parse().ok()
    }

    pub(crate) fn cache_tree(&self, key: &Digest, tree: &Digest) -> Result<(), StoreError> {
        self.replace_derived(&self.cache_path(TREE, key), tree.as_str().as_bytes())
    }

    /// Every layer that the cache leads to; and the digests' hex digits of layers that were
    /// compressed, with what they became, which is kept for as long as they are.
    pub(crate) fn cached_layers(&self) -> Result<CachedLayers, StoreError> {
        let mut layers = CachedLayers::default();
        for entry in fs_err::read_dir(self.cache())? {
            let entry = entry?;
            let Some(layer) = self.cached_layer_at(&entry.path()) else { continue };
            match entry.file_name().to_string_lossy().strip_prefix(GZIP) {
                Some(plain) => layers.compressed.push((plain.to_owned(), layer.blob.digest)),
                None => layers.of_steps.push(layer),
            }
        }
        Ok(layers)
    }

    /// The layer of the entry at `path`, if it is here.
    pub(crate) fn cached_layer_at(&self, path: &Path) -> Option<CachedLayer> {
        let layer: CachedLayer = serde_json::from_slice(&fs_err::read(path).ok()?).ok()?;
        let here = self.has_blob(&layer.blob.digest) && self.snapshot(&layer.diff_id).exists();
        here.then_some(layer)
    }
}
