//! Pulls images by the OCI distribution API: manifest, config, then layers, several at once.

mod auth;
mod blob;
mod client;
mod credentials;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::digest::Digest;
use crate::document::{Compression, Descriptor, Manifest, Top, is_image_config};
use crate::error::{PullError, StoreError};
use crate::image::Image;
use crate::layout::Layout;
use crate::options::PullOptions;
use crate::progress::{Outcome, Progress, Stream, Task, TaskId, TaskKind, next_task};
use crate::reference::Reference;
use client::Client;

/// See [`crate::ImageStore::pull`].
pub(crate) fn pull(
    layout: &Layout,
    reference: &Reference,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Image, PullError> {
    let pull = Pull { layout, reference, options, progress };
    let _lock = layout.lock_content(&|| progress.cancelled()).map_err(|e| pull.failed(e))?;
    if reference.digest().is_some()
        && let Some(digest) = layout.find(reference).map_err(|e| pull.failed(e))?
        && let Ok(image) = layout.assemble(&digest, options.limits, progress)
    {
        return Ok(image);
    }
    let client = Client::new(reference, options)?;
    let (digest, manifest) = pull.resolve(&client)?;
    pull.config(&client, &manifest)?;
    let document = layout.config(&manifest).map_err(|e| pull.failed(e))?;
    pull.check_platform(&document.architecture, &document.os)?;
    pull.layers(&client, &manifest, &document.rootfs.diff_ids)?;
    let image = layout.assemble(&digest, options.limits, progress).map_err(|e| pull.failed(e))?;
    layout.record(reference, &digest).map_err(|e| pull.failed(e))?;
    Ok(image)
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
    fn resolve(&self, client: &Client) -> Result<(Digest, Manifest), PullError> {
        let id = next_task();
        let label = self.reference.to_string();
        self.progress.begin(&Task { id, kind: TaskKind::Resolve, label, total: None });
        let result = self.resolve_manifest(client);
        let outcome = if result.is_ok() { Outcome::Done } else { Outcome::Failed };
        self.progress.finish(id, outcome);
        result
    }

    fn resolve_manifest(&self, client: &Client) -> Result<(Digest, Manifest), PullError> {
        let bytes = client.manifest(self.reference.version(), self.progress)?;
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
                let bytes = client.manifest(chosen.digest.as_str(), self.progress)?;
                match self.parse(&bytes)? {
                    Top::Manifest(manifest) => (bytes, manifest),
                    Top::Index(_) => return Err(self.unsupported("its index leads to an index")),
                }
            }
        };
        self.check(&manifest)?;
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

    /// What can be refused before anything large is transferred.
    fn check(&self, manifest: &Manifest) -> Result<(), PullError> {
        if !is_image_config(&manifest.config.media_type) {
            let media_type = &manifest.config.media_type;
            return Err(self.unsupported(format!("it is no container image but {media_type}")));
        }
        for layer in &manifest.layers {
            if !Compression::is_layer(&layer.media_type) {
                let media_type = &layer.media_type;
                return Err(self.unsupported(format!("a layer of type {media_type}")));
            }
            if layer.size > self.options.limits.bytes {
                let (digest, size) = (&layer.digest, layer.size);
                return Err(self.unsupported(format!("layer {digest} is too large: {size} bytes")));
            }
        }
        Ok(())
    }

    fn check_platform(&self, architecture: &str, os: &str) -> Result<(), PullError> {
        let wanted = self.options.platform;
        let fits = (architecture.is_empty() || architecture == wanted.architecture())
            && matches!(os, "" | "linux");
        if fits {
            return Ok(());
        }
        Err(PullError::Platform {
            reference: Box::new(self.reference.clone()),
            wanted: wanted.to_string(),
            available: vec![format!("{os}/{architecture}")],
        })
    }

    fn config(&self, client: &Client, manifest: &Manifest) -> Result<(), PullError> {
        if manifest.config.size > crate::content::DOCUMENT_BYTES {
            return Err(self.unsupported("its config is larger than 4 MiB"));
        }
        client.blob(self.layout, &manifest.config, "config", self.progress)
    }

    /// Downloads and unpacks what is missing. The first failure stops the others.
    fn layers(
        &self,
        client: &Client,
        manifest: &Manifest,
        diff_ids: &[Digest],
    ) -> Result<(), PullError> {
        let layers: VecDeque<_> = manifest.layers.iter().zip(diff_ids).collect();
        let workers = self.options.parallel.clamp(1, layers.len().max(1));
        let queue = Mutex::new(layers);
        let shared = Stoppable { inner: self.progress, stop: AtomicBool::new(false) };
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some((layer, diff_id)) = pop(&queue) {
                        if let Err(error) = self.layer(client, layer, diff_id, &shared) {
                            // Others then fail with "cancelled", which is not the reason.
                            if !shared.stop.swap(true, Ordering::Relaxed) {
                                *failure.lock().unwrap_or_else(PoisonError::into_inner) =
                                    Some(error);
                            }
                            break;
                        }
                    }
                });
            }
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn layer(
        &self,
        client: &Client,
        layer: &Descriptor,
        diff_id: &Digest,
        progress: &dyn Progress,
    ) -> Result<(), PullError> {
        client.blob(self.layout, layer, "layer", progress)?;
        self.layout
            .ensure_snapshot(layer, diff_id, self.options.limits, progress)
            .map(drop)
            .map_err(|error| self.failed(error))
    }
}

fn pop<T>(queue: &Mutex<VecDeque<T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// The caller's progress, and a way for one worker to stop the others.
struct Stoppable<'a> {
    inner: &'a dyn Progress,
    stop: AtomicBool,
}

impl Progress for Stoppable<'_> {
    fn begin(&self, task: &Task) {
        self.inner.begin(task);
    }

    fn advance(&self, task: TaskId, done: u64) {
        self.inner.advance(task, done);
    }

    fn finish(&self, task: TaskId, outcome: Outcome) {
        self.inner.finish(task, outcome);
    }

    fn output(&self, task: TaskId, stream: Stream, bytes: &[u8]) {
        self.inner.output(task, stream, bytes);
    }

    fn log(&self, line: &str) {
        self.inner.log(line);
    }

    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.inner.cancelled()
    }
}
