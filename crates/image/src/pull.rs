//! Pulls images by the OCI distribution API: manifest, config, then layers, several at once.

mod blob;
pub(crate) mod mirror;
mod source;

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::digest::Digest;
use crate::document::{ConfigDocument, Descriptor, Manifest, Top};
use crate::error::{PullError, StoreError};
use crate::image::Image;
use crate::layout::Layout;
use crate::options::PullOptions;
use crate::progress::{Outcome, Progress, Task, TaskKind, next_task};
use crate::reference::Reference;
use crate::workers::{each, pop};
use source::Source;

/// See [`crate::ImageStore::pull`].
pub(crate) fn pull(
    layout: &Layout,
    reference: &Reference,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Image, PullError> {
    let pull = Pull { layout, reference, options, progress };
    let _lock = layout.lock_content(&|| progress.cancelled()).map_err(|e| pull.failed(e))?;
    // What was pushed to this machine's own registry is here already.
    let own = layout.find_in_repositories(reference, options.platform);
    if let Some(digest) = own.map_err(|e| pull.failed(e))? {
        return layout.assemble(&digest, options.limits, progress).map_err(|e| pull.failed(e));
    }
    if reference.digest().is_some()
        && let Some(digest) = layout.find(reference).map_err(|e| pull.failed(e))?
        && let Ok(image) = layout.assemble(&digest, options.limits, progress)
    {
        return Ok(image);
    }
    let source = Source::new(reference, options)?;
    let (digest, manifest) = pull.resolve(&source)?;
    pull.config(&source, &manifest)?;
    let document = layout.config(&manifest).map_err(|e| pull.failed(e))?;
    pull.check_platform(&document)?;
    pull.layers(&source, &manifest, &document.rootfs.diff_ids)?;
    let image = layout.assemble(&digest, options.limits, progress).map_err(|e| pull.failed(e))?;
    layout.record(reference, &digest).map_err(|e| pull.failed(e))?;
    Ok(image)
}

/// See [`crate::ImageStore::remote_manifest`].
pub(crate) fn remote_manifest(
    reference: &Reference,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Vec<u8>, PullError> {
    Source::new(reference, options)?.manifest(reference.version(), progress)
}

struct Pull<'a> {
    layout: &'a Layout,
    reference: &'a Reference,
    options: &'a PullOptions,
    progress: &'a dyn Progress,
}

impl Pull<'_> {
    fn failed(&self, source: StoreError) -> PullError {
        let reference = Box::new(self.reference.clone());
        if source.is_cancelled() {
            PullError::Cancelled { reference }
        } else {
            PullError::Store { reference, source }
        }
    }

    fn unsupported(&self, reason: impl Into<String>) -> PullError {
        PullError::Unsupported {
            reference: Box::new(self.reference.clone()),
            reason: reason.into(),
        }
    }

    /// Asks for the manifest; goes through an index to the one for this platform.
    fn resolve(&self, source: &Source<'_>) -> Result<(Digest, Manifest), PullError> {
        let id = next_task();
        let label = self.reference.to_string();
        self.progress.begin(&Task { id, kind: TaskKind::Resolve, label, total: None });
        let result = self.resolve_manifest(source);
        let outcome = if result.is_ok() { Outcome::Done } else { Outcome::Failed };
        self.progress.finish(id, outcome);
        result
    }

    fn resolve_manifest(&self, source: &Source<'_>) -> Result<(Digest, Manifest), PullError> {
        let bytes = source.manifest(self.reference.version(), self.progress)?;
        let top = self.parse(&bytes)?;
        let (bytes, manifest) = match top {
            Top::Manifest(manifest) => (bytes, manifest),
            Top::Index(index) => {
                let chosen =
                    index.choose(self.options.platform).ok_or_else(|| PullError::Platform {
                        reference: Box::new(self.reference.clone()),
                        wanted: self.options.platform.to_string(),
                        available: index.platforms(),
                    })?;
                let bytes = source.manifest(chosen.digest.as_str(), self.progress)?;
                match self.parse(&bytes)? {
                    Top::Manifest(manifest) => (bytes, manifest),
                    Top::Index(_) => return Err(self.unsupported("its index leads to an index")),
                }
            }
        };
        if let Some(reason) = manifest.unusable(self.options.limits) {
            return Err(self.unsupported(reason));
        }
        let digest = self.layout.write_blob(&bytes).map_err(|e| self.failed(e))?;
        Ok((digest, manifest))
    }

    fn parse(&self, bytes: &[u8]) -> Result<Top, PullError> {
        Top::parse(bytes).map_err(|error| {
            let old = serde_json::from_slice::<serde_json::Value>(bytes)
                .is_ok_and(|value| value["schemaVersion"] == 1);
            if old {
                self.unsupported("its manifest has Docker's schema 1, which is obsolete")
            } else {
                self.unsupported(format!("its manifest cannot be read: {error}"))
            }
        })
    }

    fn check_platform(&self, document: &ConfigDocument) -> Result<(), PullError> {
        match document.foreign(self.options.platform) {
            None => Ok(()),
            Some(platform) => Err(PullError::Platform {
                reference: Box::new(self.reference.clone()),
                wanted: self.options.platform.to_string(),
                available: vec![platform],
            }),
        }
    }

    fn config(&self, source: &Source<'_>, manifest: &Manifest) -> Result<(), PullError> {
        source.blob(self.layout, &manifest.config, "config", self.progress)
    }

    /// Downloads and unpacks what is missing. The first failure stops the others.
    fn layers(
        &self,
        source: &Source<'_>,
        manifest: &Manifest,
        diff_ids: &[Digest],
    ) -> Result<(), PullError> {
        let layers: VecDeque<_> = manifest.layers.iter().zip(diff_ids).collect();
        let workers = self.options.parallel.clamp(1, layers.len().max(1));
        let queue = Mutex::new(layers);
        each(workers, self.progress, |progress| {
            while let Some((layer, diff_id)) = pop(&queue) {
                self.layer(source, layer, diff_id, progress)?;
            }
            Ok(())
        })
    }

    fn layer(
        &self,
        source: &Source<'_>,
        layer: &Descriptor,
        diff_id: &Digest,
        progress: &dyn Progress,
    ) -> Result<(), PullError> {
        source.blob(self.layout, layer, "layer", progress)?;
        self.layout
            .ensure_snapshot(layer, diff_id, self.options.limits, progress)
            .map(drop)
            .map_err(|error| self.failed(error))
    }
}
