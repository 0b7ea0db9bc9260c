//! Images as people ask for them: all of them, one by its name or a piece of its id, and what made
//! one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;

use serde_json::{Map, Value, json};

use crate::content::DOCUMENT_BYTES;
use crate::digest::Digest;
use crate::document::{ConfigDocument, Manifest, OCI_MANIFEST, Top, is_image_config};
use crate::error::StoreError;
use crate::gc::Needed;
use crate::layout::Layout;
use crate::options::Platform;
use crate::reference::Reference;
use crate::snapshots::is_snapshot;
use crate::store::{ImageRecord, ImageStore};

/// An image, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// Its id, as Docker and Podman have it: the digest of its config.
    pub id: Digest,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Its names, sorted; none when it is dangling.
    pub references: Vec<Reference>,
    /// When it was made, in seconds since 1970, if it says so.
    pub created: Option<i64>,
    /// Bytes of its files; of its layers as transferred where they are not unpacked.
    pub size: u64,
    /// Bytes of its layers and its config as transferred.
    pub transferred: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// What a text leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// No image.
    Nothing,
    /// One image, by this name or by its id.
    Image(Box<ImageSummary>, Option<Reference>),
    /// Several images, whose ids begin so.
    Several(usize),
}

/// A step that made an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryStep {
    /// When, in seconds since 1970.
    pub created: Option<i64>,
    /// The instruction or command.
    pub created_by: String,
    /// What its maker noted.
    pub comment: String,
    /// Bytes of the files it added.
    pub size: u64,
    /// Digest of its layer, uncompressed; `None` where it changed no file.
    pub diff_id: Option<Digest>,
}

impl ImageSummary {
    /// Its names with a tag, as people write them.
    #[must_use]
    pub fn tags(&self) -> Vec<String> {
        let tagged = self.references.iter().filter(|reference| reference.digest().is_none());
        tagged.map(Reference::familiar).collect()
    }

    /// `name@sha256:…` for each repository it has a name in.
    #[must_use]
    pub fn repository_digests(&self) -> BTreeSet<String> {
        let repositories = self.references.iter().map(Reference::familiar_repository);
        repositories.map(|repository| format!("{repository}@{}", self.digest)).collect()
    }
}

impl ImageStore {
    /// All images, newest first, also those that have no name (any more), or one in our own registry
    /// alone. One that is damaged is left out; snapshots are no images here.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(&self) -> Result<Vec<ImageSummary>, StoreError> {
        let layout = self.layout();
        let mut named = BTreeMap::new();
        for ImageRecord { reference, digest, .. } in layout.records()? {
            if !is_snapshot(&reference) {
                named.insert(reference, digest);
            }
        }
        for (reference, digest) in layout.names_in_repositories(Platform::host())? {
            // A name may lead to one image here and to another there: the newer one counts.
            let digest = layout.find(&reference)?.unwrap_or(digest);
            named.insert(reference, digest);
        }
        let mut names: BTreeMap<Digest, BTreeSet<Reference>> = BTreeMap::new();
        for (reference, digest) in named {
            names.entry(digest).or_default().insert(reference);
        }
        let summary = |(digest, names): (&Digest, &BTreeSet<Reference>)| {
            layout.summary(digest, names.iter().cloned().collect()).ok()
        };
        let mut all: Vec<ImageSummary> = names.iter().filter_map(summary).collect();
        // One that was pushed compressed has another manifest, and is the same image.
        let named: BTreeSet<Digest> = all.iter().map(|image| image.id.clone()).collect();
        let dangling = layout.dangling(&layout.named()?)?;
        let dangling = dangling.iter().filter_map(|digest| layout.summary(digest, Vec::new()).ok());
        all.extend(dangling.filter(|image| !named.contains(&image.id)));
        all.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.references.cmp(&b.references)));
        Ok(all)
    }

    /// The image with that name, or whose id or manifest's digest begins so.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find(&self, text: &str) -> Result<Found, StoreError> {
        let all = self.list()?;
        let reference = text.parse::<Reference>().ok();
        if let Some(reference) = &reference {
            if let Some(image) = all.iter().find(|image| image.references.contains(reference)) {
                return Ok(Found::Image(Box::new(image.clone()), Some(reference.clone())));
            }
            // `name@sha256:…` of an image that has that name with a tag.
            let repository = reference.familiar_repository();
            let pinned = all.iter().find(|image| {
                Some(&image.digest) == reference.digest()
                    && image.references.iter().any(|r| r.familiar_repository() == repository)
            });
            if let Some(image) = pinned {
                return Ok(Found::Image(Box::new(image.clone()), None));
            }
        }
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        if hex.is_empty() || !hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            return Ok(Found::Nothing);
        }
        let begins = |image: &&ImageSummary| {
            [&image.id, &image.digest].iter().any(|d| d.hex().starts_with(hex))
        };
        let mut fitting: Vec<&ImageSummary> = all.iter().filter(begins).collect();
        // One image in two forms of transfer has one id. The one that has a name is meant.
        fitting.sort_by(|a, b| a.id.cmp(&b.id).then(b.references.len().cmp(&a.references.len())));
        fitting.dedup_by(|a, b| a.id == b.id);
        Ok(match fitting[..] {
            [] => Found::Nothing,
            [image] => Found::Image(Box::new(image.clone()), None),
            _ => Found::Several(fitting.len()),
        })
    }

    /// What made the image, newest step first.
    ///
    /// # Errors
    /// The image is not here or damaged.
    pub fn history(&self, digest: &Digest) -> Result<Vec<HistoryStep>, StoreError> {
        let layout = self.layout();
        let manifest = layout.manifest(digest)?;
        let config = layout.config(&manifest)?;
        let mut layers = manifest.layers.iter().zip(&config.rootfs.diff_ids);
        let mut steps = Vec::new();
        for step in &config.history {
            let layer = if step.empty_layer { None } else { layers.next() };
            steps.push(HistoryStep {
                created: seconds(step.created.as_deref()),
                created_by: step.created_by.clone().unwrap_or_default(),
                comment: step
                    .rest
                    .get("comment")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .into(),
                size: layer.map_or(Ok(0), |(blob, id)| layout.layer_size(id, blob.size))?,
                diff_id: layer.map(|(_, diff_id)| diff_id.clone()),
            });
        }
        // An image need not tell of all its layers.
        for (blob, diff_id) in layers {
            steps.push(HistoryStep {
                created: seconds(config.created.as_deref()),
                created_by: String::new(),
                comment: String::new(),
                size: layout.layer_size(diff_id, blob.size)?,
                diff_id: Some(diff_id.clone()),
            });
        }
        steps.reverse();
        Ok(steps)
    }

    /// All that is known of the image, in the form of `docker image inspect`.
    ///
    /// # Errors
    /// The image is not here or damaged.
    pub fn inspect(&self, image: &ImageSummary) -> Result<Value, StoreError> {
        let layout = self.layout();
        let manifest = layout.manifest(&image.digest)?;
        let document = layout.config(&manifest)?;
        let config = layout.read_document(&manifest.config.digest)?;
        // As its writer wrote it, with keys that nobody here knows.
        let config: Map<String, Value> = serde_json::from_slice(&config).unwrap_or_default();
        let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
        let (tags, digests) = (image.tags(), image.repository_digests());
        let size = layout.read_document(&image.digest)?.len();
        let media_type = manifest.media_type.as_deref().unwrap_or(OCI_MANIFEST);
        Ok(json!({
            "Id": image.id,
            "RepoTags": tags,
            "RepoDigests": digests,
            "Parent": "",
            "Comment": document.history.last().and_then(|step| step.rest.get("comment"))
                .and_then(Value::as_str).unwrap_or_default(),
            "Created": text("created"),
            "Author": text("author"),
            "Config": config.get("config").unwrap_or(&Value::Null),
            "Architecture": text("architecture"),
            "Variant": text("variant"),
            "Os": text("os"),
            "Size": image.size,
            "RootFS": { "Type": "layers", "Layers": document.rootfs.diff_ids },
            "Metadata": { "LastTagTime": layout.last_tagged(image)? },
            "Descriptor": { "mediaType": media_type, "digest": image.digest, "size": size },
            "Layers": manifest.layers,
        }))
    }
}

impl Layout {
    fn summary(
        &self,
        digest: &Digest,
        references: Vec<Reference>,
    ) -> Result<ImageSummary, StoreError> {
        let manifest = self.manifest(digest)?;
        let config = self.config(&manifest)?;
        let mut size = 0;
        for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
            size += self.layer_size(diff_id, layer.size)?;
        }
        let layers: u64 = manifest.layers.iter().map(|layer| layer.size).sum();
        Ok(ImageSummary {
            id: manifest.config.digest.clone(),
            digest: digest.clone(),
            references,
            created: seconds(config.created.as_deref()),
            size,
            transferred: layers + manifest.config.size,
            labels: config.config.labels,
        })
    }

    /// Bytes of a layer's files, or `transferred` where it is not unpacked.
    fn layer_size(&self, diff_id: &Digest, transferred: u64) -> Result<u64, StoreError> {
        if self.snapshot(diff_id).exists() {
            self.unpacked_size(diff_id.hex())
        } else {
            Ok(transferred)
        }
    }

    /// When the image got one of its names last.
    fn last_tagged(&self, image: &ImageSummary) -> Result<Option<String>, StoreError> {
        let mut last = None;
        for reference in &image.references {
            last = last.max(self.record_of(reference)?.map(|record| record.updated));
        }
        let time = last.and_then(|last| jiff::Timestamp::from_second(last).ok());
        Ok(time.map(|time| time.to_string()))
    }

    /// Images that are whole and that nothing in `needed` leads to, told by what they are: manifests
    /// are among the small blobs.
    pub(crate) fn dangling(&self, needed: &Needed) -> Result<Vec<Digest>, StoreError> {
        let mut dangling = Vec::new();
        for entry in fs_err::read_dir(self.blobs())? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if needed.blobs.contains(&name) || !may_be_document(&entry) {
                continue;
            }
            let Ok(digest) = format!("sha256:{name}").parse::<Digest>() else { continue };
            if self.is_image(&digest) {
                dangling.push(digest);
            }
        }
        dangling.sort();
        Ok(dangling)
    }

    fn is_image(&self, digest: &Digest) -> bool {
        let parsed = self.read_document(digest).ok().and_then(|bytes| Top::parse(&bytes).ok());
        let Some(Top::Manifest(manifest)) = parsed else { return false };
        is_image_config(&manifest.config.media_type) && self.is_complete(&manifest)
    }

    fn is_complete(&self, manifest: &Manifest) -> bool {
        let here = |layer: &crate::document::Descriptor| self.has_blob(&layer.digest);
        self.config(manifest).is_ok_and(|_: ConfigDocument| manifest.layers.iter().all(here))
    }
}

/// Whether a blob is small and begins as JSON does.
fn may_be_document(entry: &fs_err::DirEntry) -> bool {
    let small = entry.metadata().is_ok_and(|metadata| metadata.len() <= DOCUMENT_BYTES);
    let mut first = [0];
    small
        && File::open(entry.path()).is_ok_and(|mut file| file.read_exact(&mut first).is_ok())
        && first == *b"{"
}

/// A time of an image's config, in seconds since 1970.
fn seconds(text: Option<&str>) -> Option<i64> {
    Some(text?.parse::<jiff::Timestamp>().ok()?.as_second())
}
