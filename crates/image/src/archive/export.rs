//! Writes images as one archive, blob by blob.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use serde::Serialize;

use super::{
    ArchiveFormat, DockerImage, Exported, IMAGE_NAME, INDEX, IndexEntry, LayoutIndex, MANIFEST,
    OCI_LAYOUT, REF_NAME, blob_path,
};
use crate::content::{Expected, check};
use crate::digest::{Digest, DigestReader};
use crate::document::{Descriptor, Manifest, OCI_INDEX, OCI_MANIFEST, PlatformDocument};
use crate::error::{ArchiveError, StoreError};
use crate::layout::Layout;
use crate::progress::{Outcome, Progress, Task, TaskId, TaskKind, next_task};
use crate::store::ImageStore;

impl ImageStore {
    /// Writes images, with everything they need, as one archive. The same images give the same
    /// bytes.
    ///
    /// # Errors
    /// An image is not here or damaged, or the archive cannot be written.
    pub fn export(
        &self,
        images: &[Exported],
        format: ArchiveFormat,
        writer: &mut dyn Write,
        progress: &dyn Progress,
    ) -> Result<(), ArchiveError> {
        let layout = self.layout();
        let _lock = layout.lock_content(&|| progress.cancelled())?;
        let contents = Contents::of(layout, images)?;
        let (id, total) = (next_task(), contents.blobs.values().sum());
        let label = "images".to_owned();
        progress.begin(&Task { id, kind: TaskKind::Export, label, total: Some(total) });
        let mut export =
            Export { layout, builder: tar::Builder::new(writer), task: id, done: 0, progress };
        let result = export.run(&contents, format);
        let outcome = if result.is_ok() { Outcome::Done } else { Outcome::Failed };
        progress.finish(id, outcome);
        result
    }
}

/// What an archive has.
struct Contents {
    index: LayoutIndex,
    images: Vec<DockerImage>,
    /// With their sizes.
    blobs: BTreeMap<Digest, u64>,
}

impl Contents {
    fn of(layout: &Layout, images: &[Exported]) -> Result<Self, StoreError> {
        let (media_type, manifests) = (OCI_INDEX.to_owned(), Vec::new());
        let index = LayoutIndex { schema_version: 2, media_type, manifests };
        let mut contents = Self { index, images: Vec::new(), blobs: BTreeMap::new() };
        for image in images {
            contents.add(layout, image)?;
        }
        Ok(contents)
    }

    fn add(&mut self, layout: &Layout, image: &Exported) -> Result<(), StoreError> {
        let manifest = layout.manifest(&image.digest)?;
        let config = layout.config(&manifest)?;
        let size = layout.read_document(&image.digest)?.len() as u64;
        let parts = manifest.layers.iter().chain([&manifest.config]);
        for part in parts {
            self.blobs.insert(part.digest.clone(), part.size);
        }
        self.blobs.insert(image.digest.clone(), size);
        let platform =
            PlatformDocument { architecture: config.architecture, os: config.os, variant: None };
        let descriptor = Descriptor {
            media_type: manifest.media_type.clone().unwrap_or_else(|| OCI_MANIFEST.to_owned()),
            digest: image.digest.clone(),
            size,
            platform: Some(platform),
        };
        self.index.manifests.extend(entries(&descriptor, image));
        self.images.push(docker_image(&manifest, image));
        Ok(())
    }
}

/// An entry for each name; one without where the image has none.
fn entries(descriptor: &Descriptor, image: &Exported) -> Vec<IndexEntry> {
    let entry = |annotations| IndexEntry { descriptor: descriptor.clone(), annotations };
    if image.references.is_empty() {
        return vec![entry(BTreeMap::new())];
    }
    let named = image.references.iter().map(|reference| {
        let tag = reference.tag().map(|tag| (REF_NAME.to_owned(), tag.to_owned()));
        let whole = (IMAGE_NAME.to_owned(), reference.to_string());
        entry(tag.into_iter().chain([whole]).collect())
    });
    named.collect()
}

fn docker_image(manifest: &Manifest, image: &Exported) -> DockerImage {
    let tagged = image.references.iter().filter(|reference| reference.tag().is_some());
    DockerImage {
        config: blob_path(&manifest.config.digest),
        repo_tags: Some(tagged.map(|reference| reference.familiar()).collect()),
        layers: Some(manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect()),
    }
}

struct Export<'a> {
    layout: &'a Layout,
    builder: tar::Builder<&'a mut dyn Write>,
    task: TaskId,
    done: u64,
    progress: &'a dyn Progress,
}

impl Export<'_> {
    fn run(&mut self, contents: &Contents, format: ArchiveFormat) -> Result<(), ArchiveError> {
        self.json(OCI_LAYOUT, &serde_json::json!({ "imageLayoutVersion": "1.0.0" }))?;
        self.json(INDEX, &contents.index)?;
        if format == ArchiveFormat::Docker {
            self.json(MANIFEST, &contents.images)?;
        }
        for folder in ["blobs/", "blobs/sha256/"] {
            let mut header = header(tar::EntryType::Directory, 0o755, 0);
            self.builder
                .append_data(&mut header, folder, io::empty())
                .map_err(|source| ArchiveError::Write { source })?;
        }
        for (digest, size) in &contents.blobs {
            self.blob(digest, *size)?;
        }
        self.builder.finish().map_err(|source| ArchiveError::Write { source })?;
        self.builder.get_mut().flush().map_err(|source| ArchiveError::Write { source })
    }

    fn json(&mut self, name: &str, value: &impl Serialize) -> Result<(), ArchiveError> {
        let bytes = serde_json::to_vec(value).expect("documents have string keys only");
        let mut header = header(tar::EntryType::Regular, 0o644, bytes.len() as u64);
        self.builder
            .append_data(&mut header, name, bytes.as_slice())
            .map_err(|source| ArchiveError::Write { source })
    }

    fn blob(&mut self, digest: &Digest, size: u64) -> Result<(), ArchiveError> {
        let actual = self.layout.blob_size(digest);
        if let Some(actual) = actual.filter(|actual| *actual != size) {
            let digest = digest.clone();
            return Err(StoreError::Size { digest, expected: size, actual }.into());
        }
        let file = self.layout.open_blob(digest)?;
        let (task, progress, before) = (self.task, self.progress, self.done);
        let watched = Watched { inner: file, task, progress, done: before };
        let mut reader = DigestReader::new(watched);
        let mut header = header(tar::EntryType::Regular, 0o644, size);
        let written = self.builder.append_data(&mut header, blob_path(digest), &mut reader);
        if progress.cancelled() {
            return Err(ArchiveError::Cancelled);
        }
        written.map_err(|source| ArchiveError::Write { source })?;
        let (actual, read) = reader.finish();
        check(&Expected { digest, size }, &actual, read)?;
        self.done = before + size;
        Ok(())
    }
}

/// Equal for equal content: nobody's, and of no time.
fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}

/// Reports what is read, and ends when the caller asks to stop.
struct Watched<'a, R> {
    inner: R,
    task: TaskId,
    done: u64,
    progress: &'a dyn Progress,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.progress.cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let count = self.inner.read(buffer)?;
        self.done += count as u64;
        self.progress.advance(self.task, self.done);
        Ok(count)
    }
}
