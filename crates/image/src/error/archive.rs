//! An archive of images could not be read or written.

use std::io;
use std::path::PathBuf;

use super::StoreError;

/// An archive of images (of `docker save`, an OCI layout), or of a root file system, could not be
/// read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The archive is cut off or not what it claims to be.
    #[error("read the archive: {source}")]
    Read {
        /// What the reader says.
        source: io::Error,
    },
    /// The archive could not be written.
    #[error("write the archive: {source}")]
    Write {
        /// What the writer says.
        source: io::Error,
    },
    /// An entry is not what it must be.
    #[error("read {} of the archive: {reason}", path.display())]
    Entry {
        /// The entry's path as written.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The archive has no image.
    #[error("read the archive: it has no images: neither an index.json nor a manifest.json")]
    NoImages,
    /// An image of the archive cannot be used.
    #[error("import {image}: {reason}")]
    Image {
        /// Its name, or its digest.
        image: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The archive is larger than allowed.
    #[error("read the archive: it has more than {limit} {unit}")]
    TooLarge {
        /// The bound.
        limit: u64,
        /// `bytes` or `files`.
        unit: &'static str,
    },
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The caller asked to stop.
    #[error("go on with the archive: cancelled")]
    Cancelled,
}

impl ArchiveError {
    /// Whether the caller asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::Cancelled => true,
            Self::Store(error) => error.is_cancelled(),
            _ => false,
        }
    }

    /// What a person can do about it, when something can be said.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoImages => Some(
                "if it is a root file system, `berth images import --rootfs` makes an image of it"
                    .to_owned(),
            ),
            Self::Read { .. } => {
                Some("the file may be incomplete: copy or write it again".to_owned())
            }
            Self::Write { source } if super::is_disk_full(source) => {
                Some(super::DISK_FULL.to_owned())
            }
            Self::Store(error) => error.hint(),
            _ => None,
        }
    }
}
