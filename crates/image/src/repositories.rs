//! Repositories: what a registry keeps of each name, over the one content store.
//!
//! Everything is a small file that is renamed into place, so that a crash leaves the old state or
//! the new one. A link says that a repository has a content; the content itself is stored once.
//!
//! ```text
//! <dir>/repositories/<name>/_blobs/<algorithm>/<hex>       link: digest of the content
//! <dir>/repositories/<name>/_manifests/<algorithm>/<hex>   link: what the manifest refers to
//! <dir>/repositories/<name>/_tags/<tag>                    digest of a manifest
//! <dir>/repositories/<name>/_referrers/<digest>/<digest>   subject / manifest, empty
//! <dir>/repositories/_removed/<hex>                         content to look at when collecting
//! <dir>/repositories/_hosts.json                           hosts under which they are served
//! <dir>/uploads/<id>/                                      uploads, resumed after a restart
//! ```
//!
//! Parts of a repository's name never begin with `_`.

mod blobs;
mod collect;
mod content_digest;
mod files;
mod hosts;
mod manifest;
mod manifests;
mod name;
mod session;
#[cfg(test)]
mod tests;
mod upstream;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

pub use blobs::Blob;
pub use collect::Collected;
pub use content_digest::{ContentDigest, ContentDigestError};
pub use manifest::ManifestError;
pub(crate) use manifest::fuzz as fuzz_manifest;
pub use manifests::{PutManifest, RepositoryManifest, Version};
pub use name::{NameError, RepositoryName, Tag};
pub use session::UploadSession;

use crate::digest::Digest;
use crate::error::StoreError;
use crate::layout::Layout;
use crate::store::ImageStore;

/// Why a repository was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The manifest cannot be kept.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The content is not what its digest says.
    #[error("the content does not have the digest {expected}")]
    Digest {
        /// The digest that was given.
        expected: ContentDigest,
    },
    /// The tag names another manifest, and tags do not move.
    #[error("the tag {tag} names {digest} already, and tags of this registry do not move")]
    ImmutableTag {
        /// The tag.
        tag: Tag,
        /// The manifest it names.
        digest: ContentDigest,
    },
    /// The upload is gone: finished, cancelled or too old.
    #[error("there is no upload {id}")]
    NoUpload {
        /// Its id.
        id: String,
    },
    /// A registry that is mirrored did not give it.
    #[error(transparent)]
    Upstream(#[from] crate::error::PullError),
}

/// The repositories of an image store. Clones share it; threads and processes may use it at once.
#[derive(Debug, Clone)]
pub struct Repositories {
    layout: Arc<Layout>,
}

impl ImageStore {
    /// The repositories over this store's content.
    ///
    /// # Errors
    /// Their directories cannot be made.
    pub fn repositories(&self) -> Result<Repositories, StoreError> {
        let layout = self.shared_layout();
        fs_err::create_dir_all(layout.repositories())?;
        fs_err::create_dir_all(layout.uploads())?;
        Ok(Repositories { layout })
    }
}

impl Repositories {
    /// Every repository that has a manifest, sorted by name.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn names(&self) -> Result<Vec<RepositoryName>, StoreError> {
        let mut names = self.layout.repository_names()?;
        names.retain(|name| {
            let links = self.layout.links(name, files::MANIFESTS);
            links.is_ok_and(|links| !links.is_empty())
        });
        Ok(names)
    }

    /// Every repository there is anything of, sorted by name.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn all_names(&self) -> Result<Vec<RepositoryName>, StoreError> {
        self.layout.repository_names()
    }

    /// Bytes of everything that the repositories below `account` (all of them without one) have;
    /// what several have counts once.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn usage(&self, account: Option<&str>) -> Result<u64, StoreError> {
        let mut seen = HashSet::new();
        for name in self.layout.repository_names()? {
            if account.is_none_or(|account| name.is_below(account)) {
                seen.extend(self.layout.linked_manifests(&name)?);
                seen.extend(self.layout.linked_blobs(&name)?);
            }
        }
        Ok(seen.iter().filter_map(|digest| self.layout.blob_size(digest)).sum())
    }
}

impl Layout {
    pub(crate) fn repositories(&self) -> PathBuf {
        self.dir().join("repositories")
    }

    pub(crate) fn uploads(&self) -> PathBuf {
        self.dir().join("uploads")
    }

    /// The manifests and the blobs that a repository has a link to, which are never garbage.
    pub(crate) fn linked_by_repositories(
        &self,
    ) -> Result<(HashSet<Digest>, HashSet<Digest>), StoreError> {
        let (mut manifests, mut blobs) = (HashSet::new(), HashSet::new());
        for name in self.repository_names()? {
            manifests.extend(self.linked_manifests(&name)?);
            blobs.extend(self.linked_blobs(&name)?);
        }
        Ok((manifests, blobs))
    }
}
