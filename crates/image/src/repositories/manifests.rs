//! A repository's manifests, tags and referrers.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::files::{MANIFESTS, read, remove};
use super::manifest::{Entry, ManifestError, parse};
use super::{ContentDigest, Repositories, RepositoryError, RepositoryName, Tag};
use crate::content::DOCUMENT_BYTES;
use crate::digest::Digest;
use crate::error::StoreError;
use crate::layout::Layout;

/// What a manifest is asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// By its digest.
    Digest(ContentDigest),
    /// By a tag.
    Tag(Tag),
}

impl FromStr for Version {
    type Err = Box<dyn std::error::Error + Send + Sync>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // No tag has a colon, every digest has one.
        if text.contains(':') {
            Ok(Self::Digest(text.parse()?))
        } else {
            Ok(Self::Tag(text.parse()?))
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(f),
            Self::Tag(tag) => tag.fmt(f),
        }
    }
}

/// A manifest that comes in.
#[derive(Debug)]
pub struct PutManifest<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The media type it came as; empty when none was told.
    pub media_type: &'a str,
    /// The digest it must have, when one was given.
    pub digest: Option<ContentDigest>,
    /// Tags it gets.
    pub tags: &'a [Tag],
    /// Whether a tag that names another manifest stays there.
    pub immutable_tags: bool,
    /// Most bytes of config and layers together.
    pub image_limit: u64,
    /// Whether all that it refers to has to be here; what a mirror keeps comes later.
    pub complete: bool,
}

/// A manifest of a repository.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryManifest {
    /// Its media type.
    pub media_type: String,
    /// Its digest, as the client who put it calls it.
    pub digest: ContentDigest,
    /// Bytes it has.
    pub size: u64,
    /// What kind of artifact it is; for images their config's media type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Its annotations.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub annotations: std::collections::BTreeMap<String, String>,
    /// What it is about: the manifest it was attached to.
    #[serde(skip)]
    pub subject: Option<ContentDigest>,
    /// The store's digest of its bytes.
    #[serde(skip)]
    pub content: Digest,
}

impl RepositoryManifest {
    fn new(digest: ContentDigest, entry: Entry) -> Self {
        Self {
            media_type: entry.media_type,
            digest,
            size: entry.size,
            artifact_type: entry.artifact_type,
            annotations: entry.annotations,
            subject: entry.subject,
            content: entry.content,
        }
    }
}

impl Repositories {
    /// Keeps a manifest, and gives it tags.
    ///
    /// # Errors
    /// It is no manifest, too large, or not what its digest says; it refers to what is not here; a
    /// tag must not move; the store cannot be written.
    pub fn put_manifest(
        &self,
        name: &RepositoryName,
        put: &PutManifest<'_>,
    ) -> Result<RepositoryManifest, RepositoryError> {
        let layout = &self.layout;
        if put.bytes.len() as u64 > DOCUMENT_BYTES {
            return Err(ManifestError::TooLarge { limit: DOCUMENT_BYTES }.into());
        }
        let content = Digest::of(put.bytes);
        let digest = match &put.digest {
            None => content.clone().into(),
            Some(digest) if digest.is_of(&content, put.bytes).map_err(StoreError::from)? => {
                digest.clone()
            }
            Some(expected) => {
                return Err(RepositoryError::Digest { expected: expected.clone() });
            }
        };
        let parsed = parse(put.bytes, put.media_type)?;
        if parsed.image_size > put.image_limit {
            let (size, limit) = (parsed.image_size, put.image_limit);
            return Err(ManifestError::Image { size, limit }.into());
        }
        let _content_lock = layout.lock_content(&|| false)?;
        let _lock = layout.lock_repository(name)?;
        if put.complete {
            for needed in parsed.needs {
                if !layout.has(name, &needed)? {
                    return Err(ManifestError::Missing { digest: needed }.into());
                }
            }
        }
        if put.immutable_tags {
            for tag in put.tags {
                if let Some(named) = layout.tagged(name, tag)?.filter(|named| *named != digest) {
                    return Err(RepositoryError::ImmutableTag { tag: tag.clone(), digest: named });
                }
            }
        }
        layout.keep_file(&layout.blob(&content), put.bytes)?;
        // Before the manifest: what is listed and not there is left out, the other way round it
        // would be missing.
        if let Some(subject) = &parsed.entry.subject {
            layout.keep_file(&layout.referrers(name, subject).join(digest.as_str()), b"")?;
        }
        layout.keep_entry(name, &digest, &parsed.entry)?;
        for tag in put.tags {
            layout.keep_file(&layout.tag_path(name, tag), digest.as_str().as_bytes())?;
        }
        Ok(RepositoryManifest::new(digest, parsed.entry))
    }

    /// A manifest, if the repository has it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn manifest(
        &self,
        name: &RepositoryName,
        version: &Version,
    ) -> Result<Option<RepositoryManifest>, StoreError> {
        let digest = match version {
            Version::Digest(digest) => Some(digest.clone()),
            Version::Tag(tag) => self.layout.tagged(name, tag)?,
        };
        let Some(digest) = digest else { return Ok(None) };
        let entry = self.layout.entry(name, &digest)?;
        Ok(entry.map(|entry| RepositoryManifest::new(digest, entry)))
    }

    /// A manifest's bytes.
    ///
    /// # Errors
    /// They are not here any more, or damaged.
    pub fn manifest_bytes(&self, manifest: &RepositoryManifest) -> Result<Vec<u8>, StoreError> {
        self.layout.read_document(&manifest.content)
    }

    /// The repository's tags, sorted; none when there is no such repository.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn tags(&self, name: &RepositoryName) -> Result<Option<Vec<Tag>>, StoreError> {
        let known = self.layout.is_repository(name)?;
        known.then(|| self.layout.tag_names(name)).transpose()
    }

    /// The manifests that were attached to `subject`, sorted by digest; it need not be here itself.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn referrers(
        &self,
        name: &RepositoryName,
        subject: &ContentDigest,
    ) -> Result<Vec<RepositoryManifest>, StoreError> {
        let mut found = Vec::new();
        for digest in self.layout.referring(name, subject)? {
            if let Some(entry) = self.layout.entry(name, &digest)? {
                found.push(RepositoryManifest::new(digest, entry));
            }
        }
        Ok(found)
    }

    /// Removes a manifest with its tags, or one tag alone. The last tag of a manifest takes it along
    /// at the next collection, unless an index needs it. Tells whether it was there.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn remove_manifest(
        &self,
        name: &RepositoryName,
        version: &Version,
    ) -> Result<bool, StoreError> {
        let _lock = self.layout.lock_repository(name)?;
        match version {
            Version::Digest(digest) => {
                if let Some(entry) = self.layout.entry(name, digest)? {
                    self.layout.note_removed(&entry.content)?;
                }
                self.layout.drop_manifest(name, digest)
            }
            Version::Tag(tag) => {
                let Some(digest) = self.layout.tagged(name, tag)? else { return Ok(false) };
                let removed = remove(&self.layout.tag_path(name, tag))?;
                if self.layout.tags_of(name, &digest)?.is_empty()
                    && let Some(entry) = self.layout.entry(name, &digest)?
                {
                    let released = Entry { released: true, ..entry };
                    self.layout.keep_entry(name, &digest, &released)?;
                }
                Ok(removed)
            }
        }
    }
}

impl Layout {
    /// What a repository remembers of a manifest. One whose bytes are gone is gone.
    pub(super) fn entry(
        &self,
        name: &RepositoryName,
        digest: &ContentDigest,
    ) -> Result<Option<Entry>, StoreError> {
        let bytes = read(&self.link(name, MANIFESTS, digest))?;
        let entry: Option<Entry> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(entry.filter(|entry| self.has_blob(&entry.content)))
    }

    fn keep_entry(
        &self,
        name: &RepositoryName,
        digest: &ContentDigest,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(entry).expect("an entry has only strings and numbers");
        self.keep_file(&self.link(name, MANIFESTS, digest), &bytes)
    }

    /// Tags that name this manifest.
    pub(super) fn tags_of(
        &self,
        name: &RepositoryName,
        digest: &ContentDigest,
    ) -> Result<Vec<Tag>, StoreError> {
        let mut found = Vec::new();
        for tag in self.tag_names(name)? {
            if self.tagged(name, &tag)?.as_ref() == Some(digest) {
                found.push(tag);
            }
        }
        Ok(found)
    }

    /// Removes a manifest from a repository, its tags first: none must name what is gone.
    pub(super) fn drop_manifest(
        &self,
        name: &RepositoryName,
        digest: &ContentDigest,
    ) -> Result<bool, StoreError> {
        for tag in self.tags_of(name, digest)? {
            remove(&self.tag_path(name, &tag))?;
        }
        let subject = self.entry(name, digest)?.and_then(|entry| entry.subject);
        let removed = remove(&self.link(name, MANIFESTS, digest))?;
        if let Some(subject) = subject {
            remove(&self.referrers(name, &subject).join(digest.as_str()))?;
        }
        Ok(removed)
    }
}
