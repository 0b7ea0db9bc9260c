//! Pushes images by the OCI distribution API: layers and config, several at once, then the manifest.
//!
//! What was pulled is sent as it is stored, so it arrives with the digest it came with. Layers that
//! are stored as plain archives are compressed first, unless the caller wants their digests kept.

mod blob;
mod compress;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;

use ureq::http::{Method, header};

use crate::digest::Digest;
use crate::distribution::{Client, Failure, Payload, Request};
use crate::document::{Descriptor, Manifest, OCI_MANIFEST};
use crate::error::{PushError, StoreError};
use crate::layout::Layout;
use crate::options::PushOptions;
use crate::progress::{Outcome, Progress, Task, TaskKind, next_task};
use crate::reference::Reference;
use crate::workers::{each, pop};
use compress::Sent;

/// Where a registry may say what it stored.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// See [`crate::ImageStore::push`].
pub(crate) fn push(
    layout: &Layout,
    reference: &Reference,
    options: &PushOptions,
    progress: &dyn Progress,
) -> Result<Digest, PushError> {
    let found = layout
        .find(reference)
        .map_err(|source| PushError::Store { reference: Box::new(reference.clone()), source })?;
    let here =
        found.ok_or_else(|| PushError::NotHere { reference: Box::new(reference.clone()) })?;
    send(layout, reference, &here, options, progress)
}

/// Pushes the image with that digest under a name, which here leads then to what it does there.
pub(crate) fn send(
    layout: &Layout,
    reference: &Reference,
    digest: &Digest,
    options: &PushOptions,
    progress: &dyn Progress,
) -> Result<Digest, PushError> {
    let client = Client::new(reference, &options.access())
        .map_err(|reason| PushError::Settings { reference: Box::new(reference.clone()), reason })?;
    let push = Push { layout, reference, options, client };
    let _lock = layout.lock_content(&|| progress.cancelled()).map_err(|e| push.store_error(e))?;
    let bytes = layout.read_document(digest).map_err(|e| push.store_error(e))?;
    let manifest = layout.manifest(digest).map_err(|e| push.store_error(e))?;
    let mut sent = Sent { manifest, bytes, digest: digest.clone() };
    if options.compress {
        sent = push.compressed(sent, progress)?;
    }
    push.blobs(&sent.manifest, progress)?;
    push.manifest(&sent, progress)?;
    if reference.digest().is_none() {
        layout.record(reference, &sent.digest).map_err(|error| push.store_error(error))?;
    }
    Ok(sent.digest)
}

struct Push<'a> {
    layout: &'a Layout,
    reference: &'a Reference,
    options: &'a PushOptions,
    client: Client,
}

impl Push<'_> {
    fn store_error(&self, source: StoreError) -> PushError {
        let reference = Box::new(self.reference.clone());
        if source.is_cancelled() {
            PushError::Cancelled { reference }
        } else {
            PushError::Store { reference, source }
        }
    }

    fn error(&self, what: &str, failure: Failure) -> PushError {
        match failure {
            Failure::Store(source) => self.store_error(source),
            Failure::Endpoint(attempt) => {
                let reference = Box::new(self.reference.clone());
                PushError::Refused { reference, what: what.to_owned(), attempt }
            }
        }
    }

    /// Uploads what the registry does not have. The first failure stops the others.
    fn blobs(&self, manifest: &Manifest, progress: &dyn Progress) -> Result<(), PushError> {
        let mut seen = BTreeSet::new();
        let layers = manifest.layers.iter().map(|layer| ("layer", layer));
        let blobs: VecDeque<(&str, &Descriptor)> = layers
            .chain([("config", &manifest.config)])
            .filter(|(_, blob)| seen.insert(&blob.digest))
            .collect();
        let sources = self.mount_sources().map_err(|e| self.store_error(e))?;
        let workers = self.options.parallel.clamp(1, blobs.len());
        let queue = Mutex::new(blobs);
        each(workers, progress, |progress| {
            while let Some((kind, blob)) = pop(&queue) {
                self.blob(kind, blob, &sources, progress)?;
            }
            Ok(())
        })
    }

    /// Other repositories of the same registry that images here were pulled from or pushed to, with
    /// the blobs they have: the registry can take those from there.
    fn mount_sources(&self) -> Result<Vec<(String, BTreeSet<Digest>)>, StoreError> {
        let mut sources = Vec::new();
        for record in self.layout.records()? {
            let there = &record.reference;
            if there.registry() != self.reference.registry()
                || there.repository() == self.reference.repository()
            {
                continue;
            }
            let Ok(manifest) = self.layout.manifest(&record.digest) else { continue };
            let digests = manifest.layers.into_iter().map(|layer| layer.digest).collect();
            sources.push((there.repository().to_owned(), digests));
        }
        Ok(sources)
    }

    fn manifest(&self, sent: &Sent, progress: &dyn Progress) -> Result<(), PushError> {
        let (id, label) = (next_task(), format!("manifest {}", sent.digest.short()));
        let total = Some(sent.bytes.len() as u64);
        progress.begin(&Task { id, kind: TaskKind::Upload, label, total });
        let result = self.put_manifest(sent, progress);
        let outcome = if result.is_ok() { Outcome::Done } else { Outcome::Failed };
        progress.finish(id, outcome);
        result
    }

    fn put_manifest(&self, sent: &Sent, progress: &dyn Progress) -> Result<(), PushError> {
        let Sent { manifest, bytes, digest } = sent;
        let version = self.reference.tag().unwrap_or(digest.as_str());
        let target = format!("manifests/{version}");
        let media_type = manifest.media_type.as_deref().unwrap_or(OCI_MANIFEST);
        let headers = [(header::CONTENT_TYPE.as_str(), media_type)];
        let payload = Payload::Bytes(bytes);
        let request = Request { headers: &headers, payload, ..Request::new(&Method::PUT, &target) };
        let response = self
            .client
            .request(self.client.registry(), &request, progress)
            .map_err(|failure| self.error("its manifest", failure))?;
        let said = response.headers().get(CONTENT_DIGEST).and_then(|value| value.to_str().ok());
        match said {
            Some(said) if said.starts_with("sha256:") && said != digest.as_str() => {
                let reference = Box::new(self.reference.clone());
                let (expected, actual) = (digest.clone(), said.to_owned());
                Err(PushError::Digest { reference, expected, actual })
            }
            _ => Ok(()),
        }
    }
}
