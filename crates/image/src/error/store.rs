//! The store could not be read or written.

use std::io;
use std::path::Path;

use super::{DISK_FULL, UnpackError, at, is_disk_full};
use crate::digest::Digest;

/// The store could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file operation failed; the text names the path.
    #[error("{0}")]
    Io(io::Error),
    /// The disk is full; the text names the path that did not fit.
    #[error("the disk is full: {0}")]
    DiskFull(io::Error),
    /// What was to be stored is not what its digest says.
    #[error("store {expected}: the content has digest {actual}")]
    Digest {
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// What was to be stored has another size than its descriptor says.
    #[error("store {digest}: {actual} bytes came, {expected} were announced")]
    Size {
        /// The blob's digest.
        digest: Digest,
        /// Bytes the descriptor announces.
        expected: u64,
        /// Bytes that came.
        actual: u64,
    },
    /// An image needs a blob that is not in the store.
    #[error("read {digest} of the image: it is not in the store")]
    MissingBlob {
        /// The blob's digest.
        digest: Digest,
    },
    /// A manifest, config or record cannot be understood.
    #[error("read {what} {digest}: {source}")]
    Document {
        /// `manifest`, `config`, `image index`, …
        what: &'static str,
        /// The document's digest.
        digest: Digest,
        /// Where the JSON is wrong.
        source: serde_json::Error,
    },
    /// A document is valid JSON but says something impossible.
    #[error("use {what} {digest}: {reason}")]
    Invalid {
        /// `manifest`, `config`, …
        what: &'static str,
        /// The document's digest.
        digest: Digest,
        /// What is impossible.
        reason: String,
    },
    /// A stored layer could not be unpacked.
    #[error("unpack layer {digest}: {source}")]
    Unpack {
        /// The layer blob's digest.
        digest: Digest,
        /// What is wrong with it.
        source: UnpackError,
    },
    /// What was to be archived has more bytes than it may.
    #[error("archive it: it has more than {} MiB", limit >> 20)]
    TooLarge {
        /// Most bytes.
        limit: u64,
    },
    /// The caller asked to stop.
    #[error("go on: cancelled")]
    Cancelled,
}

impl StoreError {
    /// Names `path` in an error of a system call.
    pub(crate) fn at(path: &Path, source: io::Error) -> Self {
        Self::from(at(path, source))
    }

    /// Whether the caller asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled | Self::Unpack { source: UnpackError::Cancelled, .. })
    }

    /// What a person can do about it, when something can be said.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::DiskFull(_) | Self::Unpack { source: UnpackError::DiskFull { .. }, .. } => {
                Some(DISK_FULL.to_owned())
            }
            Self::Unpack { source: UnpackError::NotRoot, .. } => Some("run as root".to_owned()),
            _ => None,
        }
    }
}

impl From<io::Error> for StoreError {
    /// For errors that name their path themselves, as those of `fs_err` do.
    fn from(source: io::Error) -> Self {
        if is_disk_full(&source) { Self::DiskFull(source) } else { Self::Io(source) }
    }
}
