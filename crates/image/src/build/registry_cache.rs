//! `--cache-to type=registry`: an image that nobody runs. It has the layers that steps made, and tells
//! of the steps as an image with an inline cache does, so it is imported like one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::state::{State, StepKey};
use super::{inline_cache, write_image};
use crate::cache::CachedLayer;
use crate::digest::Digest;
use crate::error::{BuildError, StoreError};
use crate::layout::Layout;
use crate::options::{BuildRequest, CacheExport, PullOptions, PushOptions};
use crate::progress::Progress;

/// What the image's history says of each layer.
const STEP: &str = "a step of a build";

/// Pushes the cache of a build to wherever it is wanted. `stages` are all that were built, the target
/// last.
pub(super) fn export(
    layout: &Layout,
    request: &BuildRequest,
    stages: &[Arc<State>],
    progress: &dyn Progress,
) -> Result<(), BuildError> {
    for CacheExport { reference, all_stages } in &request.cache_to {
        let wanted = if *all_stages { stages } else { &stages[stages.len().saturating_sub(1)..] };
        let cache = write(layout, wanted, &request.pull).map_err(BuildError::Store)?;
        let sent = crate::push::send(layout, reference, &cache, &options(&request.pull), progress);
        sent.map_err(|error| match error {
            error if error.is_cancelled() => BuildError::Cancelled,
            error => BuildError::CacheExport(Box::new(error)),
        })?;
    }
    Ok(())
}

/// The same registries, certificates and passwords as for the base images.
fn options(pull: &PullOptions) -> PushOptions {
    PushOptions {
        insecure: pull.insecure.clone(),
        credentials: pull.credentials.clone(),
        docker_config: pull.docker_config.clone(),
        ..PushOptions::default()
    }
}

/// The image of the cache, in the store.
fn write(layout: &Layout, stages: &[Arc<State>], pull: &PullOptions) -> Result<Digest, StoreError> {
    write_image(layout, collected(stages, pull))
}

/// The layers that the stages' steps made, each once.
fn collected(stages: &[Arc<State>], pull: &PullOptions) -> State {
    let mut cache = State::scratch(pull.platform);
    let mut known = BTreeSet::new();
    for stage in stages {
        for step in stage.keys.iter().filter(|step| known.insert(step.key.clone())) {
            let made = &stage.layers[step.layer];
            let there = cache.layers.iter().position(|layer| layer.diff_id == made.diff_id);
            let layer = there.unwrap_or_else(|| {
                let (blob, diff_id) = (made.blob.clone(), made.diff_id.clone());
                cache.push(STEP, &CachedLayer { blob, diff_id, created: 0 });
                cache.layers.len() - 1
            });
            cache.keys.push(StepKey { key: step.key.clone(), layer });
        }
    }
    inline_cache::write(&mut cache);
    cache
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Descriptor, OCI_LAYER};

    fn stage(steps: &[(&[u8], &[u8])]) -> Arc<State> {
        let mut state = State::scratch(PullOptions::default().platform);
        for (layer, (key, content)) in steps.iter().enumerate() {
            let (media_type, digest) = (OCI_LAYER.to_owned(), Digest::of(content));
            let blob = Descriptor { media_type, digest: digest.clone(), size: 1, platform: None };
            state.push("RUN", &CachedLayer { blob, diff_id: digest, created: 7 });
            state.keys.push(StepKey { key: Digest::of(key), layer });
        }
        Arc::new(state)
    }

    #[test]
    fn steps_of_several_stages_share_their_layers() {
        let first = stage(&[(b"copy", b"a"), (b"run", b"b")]);
        let second = stage(&[(b"copy", b"a"), (b"other", b"b"), (b"last", b"c")]);
        let cache = collected(&[first, second], &PullOptions::default());
        let layers: Vec<Digest> = cache.layers.into_iter().map(|layer| layer.diff_id).collect();
        assert_eq!(layers, [Digest::of(b"a"), Digest::of(b"b"), Digest::of(b"c")]);
        let keys = [(&b"copy"[..], 0), (b"run", 1), (b"other", 1), (b"last", 2)];
        let keys = keys.map(|(key, layer)| StepKey { key: Digest::of(key), layer });
        assert_eq!(cache.keys, keys);
    }
}
