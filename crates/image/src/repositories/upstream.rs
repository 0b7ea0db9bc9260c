//! A repository as the cache of one elsewhere: manifests are asked for anew, blobs are kept.

use super::files::MANIFESTS;
use super::manifests::{PutManifest, Version};
use super::{
    ContentDigest, Repositories, RepositoryError, RepositoryManifest, RepositoryName, Tag,
};
use crate::digest::Digest;
use crate::document::{DOCKER_LIST, DOCKER_MANIFEST, Descriptor, OCI_INDEX, OCI_MANIFEST, Top};
use crate::error::StoreError;
use crate::layout::Layout;
use crate::options::PullOptions;
use crate::pull::mirror;
use crate::reference::Reference;

impl Repositories {
    /// Asks another registry for what a tag names now, or for a manifest by its digest, and keeps it
    /// here under the same version.
    ///
    /// # Errors
    /// The registry does not give it, or the store cannot be written.
    pub fn fetch_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        options: &PullOptions,
    ) -> Result<RepositoryManifest, RepositoryError> {
        let bytes = mirror::manifest(reference, options)?;
        let tags: Vec<Tag> = match reference.digest() {
            Some(_) => Vec::new(),
            None => reference.tag().and_then(|tag| tag.parse().ok()).into_iter().collect(),
        };
        let put = PutManifest {
            bytes: &bytes,
            media_type: media_type(&bytes),
            digest: reference.digest().cloned().map(ContentDigest::from),
            tags: &tags,
            immutable_tags: false,
            image_limit: u64::MAX,
            complete: false,
        };
        self.put_manifest(name, &put)
    }

    /// Takes a blob of one of this repository's manifests from another registry, unless it is here.
    /// Tells whether a manifest has it.
    ///
    /// # Errors
    /// The registry does not give it, or the store cannot be written.
    pub fn fetch_blob(
        &self,
        name: &RepositoryName,
        digest: &ContentDigest,
        reference: &Reference,
        options: &PullOptions,
    ) -> Result<bool, RepositoryError> {
        let Some(content) = digest.canonical() else { return Ok(false) };
        let Some(blob) = self.layout.descriptor(name, digest, &content)? else { return Ok(false) };
        let _lock = self.layout.lock_content(&|| false)?;
        mirror::blob(&self.layout, reference, &blob, options)?;
        self.layout.link_blob(name, digest, &content)?;
        Ok(true)
    }

    /// Whether the repository has this version, for when the registry it mirrors cannot be asked.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn has_manifest(
        &self,
        name: &RepositoryName,
        version: &Version,
    ) -> Result<bool, StoreError> {
        self.manifest(name, version).map(|manifest| manifest.is_some())
    }
}

impl Layout {
    /// What a repository's manifests say of a blob.
    fn descriptor(
        &self,
        name: &RepositoryName,
        digest: &ContentDigest,
        content: &Digest,
    ) -> Result<Option<Descriptor>, StoreError> {
        for manifest in self.links(name, MANIFESTS)? {
            let Some(entry) = self.entry(name, &manifest)? else { continue };
            if entry.blobs.contains(digest) {
                let manifest = self.manifest(&entry.content)?;
                let mut blobs = manifest.layers.into_iter().chain([manifest.config]);
                return Ok(blobs.find(|blob| blob.digest == *content));
            }
        }
        Ok(None)
    }
}

/// What a manifest is that does not say so itself.
fn media_type(bytes: &[u8]) -> &'static str {
    let own = serde_json::from_slice::<serde_json::Value>(bytes).ok();
    let own = own.as_ref().and_then(|value| value["mediaType"].as_str());
    match (own, Top::parse(bytes)) {
        (Some(own), _)
            if [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].contains(&own) =>
        {
            ""
        }
        (_, Ok(Top::Index(_))) => OCI_INDEX,
        _ => OCI_MANIFEST,
    }
}
