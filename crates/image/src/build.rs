//! Builds images from Dockerfiles: parse, plan the stages that are needed, run their steps or take
//! them from the cache, write config and manifest.
//!
//! What is not supported is refused with its line before or when it is reached, never skipped.

mod archive;
mod builder;
mod checks;
mod chmod;
mod config;
mod contexts;
mod copy;
mod copy_step;
mod dockerfile;
mod finished;
mod git;
mod glob;
mod ignore;
mod inline_cache;
mod mount_step;
mod pattern;
mod plan;
mod redact;
mod registry_cache;
mod remote;
mod run_step;
mod ssh;
mod state;
mod tree;
mod users;
mod words;

use std::path::Path;

use crate::digest::Digest;
use crate::error::{BuildError, StoreError};
use crate::image::Image;
use crate::layout::Layout;
use crate::options::BuildRequest;
use crate::progress::Progress;
use crate::run_step::RunStep;
use crate::store::ImageStore;
use builder::Inputs;
use checks::Checks;
use contexts::Contexts;
use ignore::Ignore;
use inline_cache::Imported;
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
    let text = match &request.dockerfile_text {
        Some(text) => text.clone(),
        None => fs_err::read_to_string(&request.dockerfile)
            .map_err(|source| BuildError::Read { what: "Dockerfile", source })?,
    };
    let file = dockerfile::parse(&request.dockerfile, &text)?;
    let plan = Plan::new(&file, request)?;
    let checks = Checks::new(file.check.as_deref());
    for warning in checks::findings(&file, &text, &plan) {
        checks.tell(&file.path, &warning, progress);
    }
    let contexts = Contexts::open(request)?;
    let warned = || BuildError::Warnings { file: file.path.clone() };
    if checks.fail() {
        return Err(warned());
    }
    let cancelled = || progress.cancelled();
    let _lock = layout.lock_content(&cancelled).map_err(finished_early)?;
    let imported = Imported::pull(layout, request, progress);
    let (plan, contexts, checks) = (&plan, &contexts, &checks);
    let inputs = Inputs { file: &file, plan, contexts, checks, imported: &imported };
    let stages = builder::build(layout, request, inputs, runner, progress)?;
    if checks.fail() {
        return Err(warned());
    }
    let target = stages.last().expect("the target is among the stages that were built");
    let image = finish(layout, request, State::clone(target), progress).map_err(finished_early)?;
    registry_cache::export(layout, request, &stages, progress)?;
    Ok(image)
}

/// Everything a build makes of a Dockerfile's and of an ignore file's text before it runs a step; see
/// [`crate::fuzz`].
pub(crate) fn fuzz(text: &str) {
    if let Ok(file) = dockerfile::parse(Path::new("Dockerfile"), text)
        && let Ok(plan) = Plan::new(&file, &BuildRequest::new("Dockerfile", "."))
    {
        let _ = checks::findings(&file, text, &plan);
    }
    let _ = chmod::Chmod::parse(text);
    let _ = remote::Remote::parse(text);
    let lookup = |name: &str| (name.len() == 1).then(|| "a b".to_owned());
    let _ = words::expand(text, '\\', &lookup);
    let _ = words::expand_document(text, &lookup);
    let _ = words::split(text, '`');
    let _ = words::pairs(text, '\\');
    if let Ok(ignore) = Ignore::parse(text) {
        let _ = ignore.is_ignored(Path::new("a/b.c"));
    }
}

/// Writes the image, and gives it its names.
fn finish(
    layout: &Layout,
    request: &BuildRequest,
    mut state: State,
    progress: &dyn Progress,
) -> Result<Image, StoreError> {
    state.config().labels.extend(request.labels.clone());
    if request.inline_cache {
        inline_cache::write(&mut state);
    }
    let digest = write_image(layout, state)?;
    let image = layout.assemble(&digest, request.pull.limits, progress)?;
    for tag in &request.tags {
        layout.record(tag, &digest)?;
    }
    Ok(image)
}

/// Writes config and manifest.
fn write_image(layout: &Layout, state: State) -> Result<Digest, StoreError> {
    let (document, layers) = state.into_document();
    layout.write_image(&document, layers)
}

impl ImageStore {
    /// The digest of an image's config, which older programs call its id.
    ///
    /// # Errors
    /// The image is not here.
    pub fn config_digest(&self, image: &Digest) -> Result<Digest, StoreError> {
        self.layout().manifest(image).map(|manifest| manifest.config.digest)
    }
}

/// A cancelled build is not a store that failed.
fn finished_early(error: StoreError) -> BuildError {
    if error.is_cancelled() { BuildError::Cancelled } else { BuildError::Store(error) }
}
