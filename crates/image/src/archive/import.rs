//! Takes images from an archive: reads all of it, finds out what it has, and keeps what its images
//! consist of.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::sync::Mutex;

use super::spool::Spool;
use super::{
    DockerImage, IMAGE_NAME, INDEX, ImportOptions, Imported, IndexEntry, LayoutIndex, MANIFEST,
    REF_NAME, blob_path,
};
use crate::digest::Digest;
use crate::document::{
    ConfigDocument, Descriptor, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Top,
};
use crate::error::{ArchiveError, StoreError};
use crate::layout::Layout;
use crate::progress::{Counted, Outcome, Progress, Task, TaskKind, next_task};
use crate::reference::Reference;
use crate::store::ImageStore;
use crate::workers::{each, pop};

impl ImageStore {
    /// Takes the images of an archive, compressed or not: what `docker save` and `podman save` write,
    /// or an OCI layout. All of them or none get their names.
    ///
    /// # Errors
    /// The archive is damaged or wants out, an image cannot be used, or the store cannot be written.
    pub fn import(
        &self,
        archive: impl Read,
        options: &ImportOptions,
        progress: &dyn Progress,
    ) -> Result<Vec<Imported>, ArchiveError> {
        let layout = self.layout();
        let _lock = layout.lock_content(&|| progress.cancelled())?;
        let (id, label) = (next_task(), "archive".to_owned());
        progress.begin(&Task { id, kind: TaskKind::Import, label, total: None });
        let spool = Spool::read(layout, Counted::new(archive, id, progress), options, progress);
        let outcome = if spool.is_ok() { Outcome::Done } else { Outcome::Failed };
        progress.finish(id, outcome);
        Import { layout, options, progress, spool: spool? }.run()
    }
}

/// An image found in the archive.
struct Found {
    /// For messages.
    shown: String,
    references: Vec<Reference>,
    manifest: Manifest,
    /// The manifest as it is stored.
    bytes: Vec<u8>,
    config: ConfigDocument,
    /// Where config and layers are in the archive.
    parts: Vec<(String, Descriptor)>,
}

struct Import<'a> {
    layout: &'a Layout,
    options: &'a ImportOptions,
    progress: &'a dyn Progress,
    spool: Spool,
}

impl Import<'_> {
    fn run(mut self) -> Result<Vec<Imported>, ArchiveError> {
        let found = match self.spool.document(self.layout, INDEX)? {
            Some(bytes) => self.oci(&bytes)?,
            None => match self.spool.document(self.layout, MANIFEST)? {
                Some(bytes) => self.docker(&bytes)?,
                None => return Err(ArchiveError::NoImages),
            },
        };
        if found.is_empty() {
            return Err(ArchiveError::NoImages);
        }
        let mut imported = Vec::new();
        for image in &found {
            imported.push(self.keep(image)?);
        }
        for image in &imported {
            for reference in &image.references {
                self.layout.record(reference, &image.digest)?;
            }
        }
        Ok(imported)
    }

    /// The images of an OCI layout.
    fn oci(&self, bytes: &[u8]) -> Result<Vec<Found>, ArchiveError> {
        let index: LayoutIndex = parse(INDEX, bytes)?;
        // Names that an older docker's `manifest.json` beside it may have.
        let docker: Vec<DockerImage> = match self.spool.document(self.layout, MANIFEST)? {
            Some(bytes) => parse(MANIFEST, &bytes)?,
            None => Vec::new(),
        };
        let mut images: BTreeMap<Digest, Found> = BTreeMap::new();
        let mut foreign = Vec::new();
        for entry in &index.manifests {
            if let Some(platform) = self.foreign(&entry.descriptor) {
                foreign.push(platform);
                continue;
            }
            let found = self.oci_image(entry, &docker)?;
            match images.entry(Digest::of(&found.bytes)) {
                // An entry for each name of one image.
                Entry::Occupied(mut known) => known.get_mut().references.extend(found.references),
                Entry::Vacant(place) => _ = place.insert(found),
            }
        }
        if images.is_empty() && !foreign.is_empty() {
            let wanted = self.options.platform;
            let reason = format!("no image for {wanted}, only for {}", foreign.join(", "));
            return Err(ArchiveError::Image { image: "the archive".to_owned(), reason });
        }
        Ok(images.into_values().collect())
    }

    /// The platform of an image that is not for this one, and not the only one.
    fn foreign(&self, descriptor: &Descriptor) -> Option<String> {
        let platform = descriptor.platform.as_ref().filter(|platform| !platform.os.is_empty())?;
        let text = format!("{}/{}", platform.os, platform.architecture);
        (!self.options.platform.is_named_by(&text)).then_some(text)
    }

    fn oci_image(&self, entry: &IndexEntry, docker: &[DockerImage]) -> Result<Found, ArchiveError> {
        let (bytes, manifest) = self.oci_manifest(&entry.descriptor)?;
        let shown = entry.descriptor.digest.to_string();
        let config_path = blob_path(&manifest.config.digest);
        let mut references = names(entry);
        if references.is_empty() {
            let of_it = docker.iter().filter(|image| image.config == config_path);
            references = of_it.flat_map(tagged).collect();
        }
        let parts = manifest.layers.iter().chain([&manifest.config]);
        let parts = parts.map(|part| (blob_path(&part.digest), part.clone())).collect();
        let config = self.config(&shown, &manifest, &config_path)?;
        Ok(Found { shown, references, manifest, bytes, config, parts })
    }

    /// The manifest a descriptor leads to; through an index to the one for this platform.
    fn oci_manifest(&self, descriptor: &Descriptor) -> Result<(Vec<u8>, Manifest), ArchiveError> {
        let refused = |reason: String| {
            let image = descriptor.digest.to_string();
            ArchiveError::Image { image, reason }
        };
        let bytes = self.blob(&descriptor.digest)?;
        let chosen = match top(&descriptor.digest, &bytes)? {
            Top::Manifest(manifest) => return Ok((bytes, manifest)),
            Top::Index(index) => match index.choose(self.options.platform) {
                Some(chosen) => chosen.clone(),
                None => {
                    let (wanted, has) = (self.options.platform, index.platforms().join(", "));
                    return Err(refused(format!("it has no image for {wanted}, only for {has}")));
                }
            },
        };
        let bytes = self.blob(&chosen.digest)?;
        match top(&chosen.digest, &bytes)? {
            Top::Manifest(manifest) => Ok((bytes, manifest)),
            Top::Index(_) => Err(refused("its index leads to an index".to_owned())),
        }
    }

    /// A document by its digest, from the archive or, where it has been left out, from the store.
    fn blob(&self, digest: &Digest) -> Result<Vec<u8>, ArchiveError> {
        match self.spool.document(self.layout, &blob_path(digest))? {
            Some(bytes) => Ok(bytes),
            None => self.layout.read_document(digest).map_err(|_| ArchiveError::Entry {
                path: blob_path(digest).into(),
                reason: "it is missing".to_owned(),
            }),
        }
    }

    /// The images of `docker save`.
    fn docker(&self, bytes: &[u8]) -> Result<Vec<Found>, ArchiveError> {
        let images: Vec<DockerImage> = parse(MANIFEST, bytes)?;
        images.iter().map(|image| self.docker_image(image)).collect()
    }

    fn docker_image(&self, image: &DockerImage) -> Result<Found, ArchiveError> {
        let missing = |path: &str| ArchiveError::Entry {
            path: path.into(),
            reason: "it is missing".to_owned(),
        };
        let mut parts = Vec::new();
        for path in image.layers.iter().flatten() {
            let file = self.spool.get(path).ok_or_else(|| missing(path))?;
            let suffix = file.compression(self.layout)?.suffix();
            let media_type = format!("{OCI_LAYER}{suffix}");
            let (digest, size) = (file.digest.clone(), file.size);
            parts.push((path.clone(), Descriptor { media_type, digest, size, platform: None }));
        }
        let layers = parts.iter().map(|(_, layer)| layer.clone()).collect();
        let config = self.spool.get(&image.config).ok_or_else(|| missing(&image.config))?;
        let config = Descriptor {
            media_type: OCI_CONFIG.to_owned(),
            digest: config.digest.clone(),
            size: config.size,
            platform: None,
        };
        parts.push((image.config.clone(), config.clone()));
        let media_type = Some(OCI_MANIFEST.to_owned());
        let manifest = Manifest { schema_version: 2, media_type, config, layers };
        let bytes = serde_json::to_vec(&manifest).expect("a manifest has string keys only");
        let references: Vec<Reference> = tagged(image).collect();
        let shown = references.first().map_or_else(|| image.config.clone(), Reference::familiar);
        let config = self.config(&shown, &manifest, &image.config)?;
        Ok(Found { shown, references, manifest, bytes, config, parts })
    }

    /// An image's config, if the image can be used here.
    fn config(
        &self,
        shown: &str,
        manifest: &Manifest,
        path: &str,
    ) -> Result<ConfigDocument, ArchiveError> {
        let refused = |reason| ArchiveError::Image { image: shown.to_owned(), reason };
        if let Some(reason) = manifest.unusable(self.options.limits) {
            return Err(refused(reason));
        }
        let bytes = match self.spool.document(self.layout, path)? {
            Some(bytes) => bytes,
            None => self.blob(&manifest.config.digest)?,
        };
        let config: ConfigDocument = parse(path, &bytes)?;
        let (diffs, layers) = (config.rootfs.diff_ids.len(), manifest.layers.len());
        if diffs != layers {
            let reason = format!("its config has {diffs} diff_ids, its manifest {layers} layers");
            return Err(refused(reason));
        }
        if let Some(platform) = config.foreign(self.options.platform) {
            let wanted = self.options.platform;
            return Err(refused(format!("it is for {platform}, not for {wanted}")));
        }
        Ok(config)
    }

    /// Makes what the image consists of blobs, and unpacks its layers.
    fn keep(&mut self, image: &Found) -> Result<Imported, ArchiveError> {
        for (path, part) in &image.parts {
            if self.spool.get(path).is_some_and(|file| file.digest == part.digest) {
                self.spool.commit(self.layout, path)?;
            }
            if self.layout.blob_size(&part.digest) != Some(part.size) {
                let reason = format!("{path} is missing, or not of {} bytes", part.size);
                return Err(ArchiveError::Image { image: image.shown.clone(), reason });
            }
        }
        let digest = self.layout.write_blob(&image.bytes)?;
        let layers = image.manifest.layers.iter().zip(&image.config.rootfs.diff_ids);
        let queue = Mutex::new(layers.collect::<VecDeque<_>>());
        let workers = self.options.parallel.clamp(1, image.manifest.layers.len().max(1));
        each(workers, self.progress, |progress| {
            while let Some((layer, diff_id)) = pop(&queue) {
                self.layout.ensure_snapshot(layer, diff_id, self.options.limits, progress)?;
            }
            Ok::<_, StoreError>(())
        })?;
        Ok(Imported { digest, references: image.references.clone() })
    }
}

/// A document that did not parse.
fn unreadable(path: &str, error: &serde_json::Error) -> ArchiveError {
    ArchiveError::Entry { path: path.into(), reason: format!("it cannot be read: {error}") }
}

fn parse<T: serde::de::DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, ArchiveError> {
    serde_json::from_slice(bytes).map_err(|error| unreadable(path, &error))
}

fn top(digest: &Digest, bytes: &[u8]) -> Result<Top, ArchiveError> {
    Top::parse(bytes).map_err(|error| unreadable(&blob_path(digest), &error))
}

/// The names an index gives an image. A tag alone is none: it does not say of what.
fn names(entry: &IndexEntry) -> Vec<Reference> {
    let whole = entry.annotations.get(IMAGE_NAME);
    let short = entry.annotations.get(REF_NAME).filter(|name| name.contains([':', '/']));
    whole.or(short).and_then(|name| name.parse().ok()).into_iter().collect()
}

/// The names that `docker save` gives an image.
fn tagged(image: &DockerImage) -> impl Iterator<Item = Reference> {
    image.repo_tags.iter().flatten().filter_map(|name| name.parse().ok())
}
