//! A repository's blobs: links to content of the store.

use std::fs::File;
use std::time::{Duration, SystemTime};

use super::files::{BLOBS, MANIFESTS, read, remove};
use super::{ContentDigest, Repositories, RepositoryName};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::layout::Layout;

/// A link that is asked for is made young again when it is older than this, so that what a client
/// was told is here is still here when its manifest comes.
const RENEW_AFTER: Duration = Duration::from_secs(60);

/// A blob that is here.
#[derive(Debug)]
pub struct Blob {
    /// Its content, at its beginning.
    pub file: File,
    /// Bytes it has.
    pub size: u64,
}

impl Repositories {
    /// The blob, if this repository has it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn blob(
        &self,
        name: &RepositoryName,
        digest: &ContentDigest,
    ) -> Result<Option<Blob>, StoreError> {
        let content = match self.layout.blob_link(name, digest)? {
            Some(content) => {
                self.layout.renew_link(name, digest);
                content
            }
            // A manifest is content as well: some clients copy it as a blob.
            None => match self.layout.entry(name, digest)? {
                Some(entry) => entry.content,
                None => return Ok(None),
            },
        };
        self.open(&content)
    }

    fn open(&self, content: &Digest) -> Result<Option<Blob>, StoreError> {
        let file = match self.layout.open_blob(content) {
            Ok(file) => file,
            Err(StoreError::MissingBlob { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let size =
            file.metadata().map_err(|source| StoreError::at(&self.layout.blob(content), source));
        Ok(Some(Blob { size: size?.len(), file }))
    }

    /// Gives a repository a blob that one of `from` has; tells whether one has it.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn mount(
        &self,
        name: &RepositoryName,
        digest: &ContentDigest,
        from: &[RepositoryName],
    ) -> Result<bool, StoreError> {
        let _lock = self.layout.lock_content(&|| false)?;
        for source in from {
            if let Some(content) = self.layout.blob_link(source, digest)?
                && self.layout.has_blob(&content)
            {
                self.layout.link_blob(name, digest, &content)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes a blob away from a repository; tells whether it had it. The content goes with the next
    /// collection, unless something else needs it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn remove_blob(
        &self,
        name: &RepositoryName,
        digest: &ContentDigest,
    ) -> Result<bool, StoreError> {
        if let Some(content) = self.layout.blob_link(name, digest)? {
            self.layout.note_removed(&content)?;
        }
        remove(&self.layout.link(name, BLOBS, digest))
    }
}

impl Layout {
    /// The content that a repository calls by this digest.
    pub(super) fn blob_link(
        &self,
        name: &RepositoryName,
        digest: &ContentDigest,
    ) -> Result<Option<Digest>, StoreError> {
        let bytes = read(&self.link(name, BLOBS, digest))?;
        Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok()))
    }

    pub(super) fn link_blob(
        &self,
        name: &RepositoryName,
        digest: &ContentDigest,
        content: &Digest,
    ) -> Result<(), StoreError> {
        self.keep_file(&self.link(name, BLOBS, digest), content.as_str().as_bytes())
    }

    /// Whether a repository has this content, as a blob or as a manifest.
    pub(super) fn has(
        &self,
        name: &RepositoryName,
        digest: &ContentDigest,
    ) -> Result<bool, StoreError> {
        let content = self.blob_link(name, digest)?;
        Ok(content.is_some_and(|content| self.has_blob(&content))
            || self.link(name, MANIFESTS, digest).exists())
    }

    /// When a blob was given to a repository, or last asked for.
    pub(super) fn link_age(&self, name: &RepositoryName, digest: &ContentDigest) -> Duration {
        let modified = fs_err::metadata(self.link(name, BLOBS, digest))
            .and_then(|metadata| metadata.modified())
            .unwrap_or_else(|_| SystemTime::now());
        // A time in the future, after the clock was set back, is young.
        modified.elapsed().unwrap_or_default()
    }

    fn renew_link(&self, name: &RepositoryName, digest: &ContentDigest) {
        if self.link_age(name, digest) > RENEW_AFTER {
            let file = fs_err::OpenOptions::new().write(true).open(self.link(name, BLOBS, digest));
            let renewed = file.and_then(|file| file.file().set_modified(SystemTime::now()));
            if let Err(error) = renewed {
                tracing::debug!(%error, %name, %digest, "a link keeps its age");
            }
        }
    }
}
