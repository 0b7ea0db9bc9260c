//! Steps that an image tells of: `--cache-to type=inline` writes them into its config, and a later
//! build `--cache-from` it, on whatever machine, finds its layers by them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::state::{State, StepKey};
use crate::cache::CachedLayer;
use crate::digest::Digest;
use crate::error::StoreError;
use crate::layout::Layout;
use crate::options::BuildRequest;
use crate::progress::Progress;
use crate::reference::Reference;

/// Where an image's config has its steps.
const KEY: &str = "dev.berth.build.cache.v1";

/// The layers of other builds, by their step's key.
#[derive(Debug, Default)]
pub(super) struct Imported {
    layers: BTreeMap<Digest, CachedLayer>,
}

impl Imported {
    /// Pulls the images of `--cache-from`. One that cannot be had is no reason not to build.
    pub(super) fn pull(layout: &Layout, request: &BuildRequest, progress: &dyn Progress) -> Self {
        let mut imported = Self::default();
        for reference in &request.cache_from {
            if let Err(reason) = imported.add(layout, reference, request, progress) {
                progress.log(&format!("no cache is taken from {reference}: {reason}"));
            }
        }
        imported
    }

    fn add(
        &mut self,
        layout: &Layout,
        reference: &Reference,
        request: &BuildRequest,
        progress: &dyn Progress,
    ) -> Result<(), String> {
        let image = crate::pull::pull(layout, reference, &request.pull, progress)
            .map_err(|error| error.to_string())?;
        let layers = read(layout, &image.digest).map_err(|error| error.to_string())?;
        if layers.is_empty() {
            return Err("it was not built with an inline cache".to_owned());
        }
        self.layers.extend(layers);
        Ok(())
    }

    /// The layer of a step, which from now on is in this store's own cache.
    pub(super) fn layer(&self, layout: &Layout, key: &Digest) -> Option<CachedLayer> {
        let layer = self.layers.get(key)?;
        layout.cache_layer(key, layer).ok()?;
        layout.cached_layer(key)
    }
}

fn read(layout: &Layout, digest: &Digest) -> Result<Vec<(Digest, CachedLayer)>, StoreError> {
    let manifest = layout.manifest(digest)?;
    let document = layout.config(&manifest)?;
    let steps = document.rest.get(KEY).cloned().unwrap_or(Value::Array(Vec::new()));
    let steps: Vec<StepKey> = serde_json::from_value(steps).unwrap_or_default();
    let layer = |step: StepKey| {
        let blob = manifest.layers.get(step.layer)?.clone();
        let diff_id = document.rootfs.diff_ids.get(step.layer)?.clone();
        Some((step.key, CachedLayer { blob, diff_id, created: 0 }))
    };
    Ok(steps.into_iter().filter_map(layer).collect())
}

/// Writes the steps into the config.
pub(super) fn write(state: &mut State) {
    let steps = serde_json::to_value(&state.keys).expect("digests and numbers are JSON");
    state.document.rest.insert(KEY.to_owned(), steps);
}
