//! Builds images from Dockerfiles: parse, plan the stages that are needed, run their steps or take
//! them from the cache, write config and manifest.
//!
//! What is not supported is refused with its line before or when it is reached, never skipped.

mod builder;
mod config;
mod copy;
mod copy_step;
mod dockerfile;
mod glob;
mod ignore;
mod plan;
mod run_step;
mod state;
mod tree;
mod users;
mod words;

use std::io;
use std::path::Path;

use crate::document::{Descriptor, Manifest, OCI_CONFIG, OCI_MANIFEST};
use crate::error::{BuildError, StoreError};
use crate::image::Image;
use crate::layout::Layout;
use crate::options::BuildRequest;
use crate::progress::Progress;
use crate::root::Root;
use crate::run_step::RunStep;
use builder::{Builder, Inputs};
use ignore::Ignore;
use plan::Plan;
use state::State;

/// See [`crate::ImageStore::build`].
pub(crate) fn build(
    layout: &Layout,
    request: &BuildRequest,
    runner: &dyn RunStep,
    progress: &dyn Progress,
) -> Result<Image, BuildError> {
    if !rustix::process::geteuid().is_root() {
        return Err(BuildError::NotRoot);
    }
    let text = fs_err::read_to_string(&request.dockerfile)
        .map_err(|source| BuildError::Read { what: "Dockerfile", source })?;
    let file = dockerfile::parse(&request.dockerfile, &text)?;
    let plan = Plan::new(&file, request)?;
    Root::open(&request.context)
        .map_err(|source| BuildError::Read { what: "build context", source })?;
    let ignore = Ignore::load(&request.dockerfile, &request.context)?;
    let cancelled = || progress.cancelled();
    let _lock = layout.lock_content(&cancelled).map_err(finished_early)?;
    let inputs = Inputs { file: &file, plan: &plan, ignore: &ignore };
    let state = Builder::new(layout, request, inputs, runner, progress).build()?;
    finish(layout, request, state, progress).map_err(finished_early)
}

/// Everything a build makes of a Dockerfile's and of an ignore file's text before it runs a step; see
/// [`crate::fuzz`].
pub(crate) fn fuzz(text: &str) {
    let _ = dockerfile::parse(Path::new("Dockerfile"), text);
    let lookup = |name: &str| (name.len() == 1).then(|| "a b".to_owned());
    let _ = words::expand(text, '\\', &lookup);
    let _ = words::expand_document(text, &lookup);
    let _ = words::split(text, '`');
    let _ = words::pairs(text, '\\');
    if let Ok(ignore) = Ignore::parse(text) {
        let _ = ignore.is_ignored(Path::new("a/b.c"));
    }
}

/// Writes config and manifest, and gives the image its name.
fn finish(
    layout: &Layout,
    request: &BuildRequest,
    state: State,
    progress: &dyn Progress,
) -> Result<Image, StoreError> {
    let (document, layers) = state.into_document(request.pull.platform);
    let config = serde_json::to_vec(&document).map_err(io::Error::from)?;
    let digest = layout.write_blob(&config)?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        config: Descriptor {
            media_type: OCI_CONFIG.to_owned(),
            digest,
            size: config.len() as u64,
            platform: None,
        },
        layers,
    };
    let digest = layout.write_blob(&serde_json::to_vec(&manifest).map_err(io::Error::from)?)?;
    let image = layout.assemble(&digest, request.pull.limits, progress)?;
    if let Some(tag) = &request.tag {
        layout.record(tag, &digest)?;
    }
    Ok(image)
}

/// A cancelled build is not a store that failed.
fn finished_early(error: StoreError) -> BuildError {
    if error.is_cancelled() { BuildError::Cancelled } else { BuildError::Store(error) }
}
