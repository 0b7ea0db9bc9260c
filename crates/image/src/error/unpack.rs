//! An archive's content could not be unpacked.

use std::io;
use std::path::PathBuf;

use crate::digest::Digest;

/// A layer (or an archive for `ADD`) could not be unpacked. Paths are the archive's own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The archive is cut off or not what it claims to be.
    #[error("the archive is damaged: {source}")]
    Archive {
        /// What the reader says.
        source: io::Error,
    },
    /// An entry's path leaves the root, or cannot be a path.
    #[error("entry \"{path}\" is refused: {reason}")]
    Path {
        /// The entry's path as written.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An entry links to something that is not in the archive, or outside of it.
    #[error("hard link \"{path}\" is refused: its target \"{target}\" is not a file in this layer")]
    HardLink {
        /// The entry's path.
        path: String,
        /// Where it points.
        target: String,
    },
    /// An entry is a device node. Instances get their devices from the runtime alone.
    #[error("entry \"{path}\" is refused: it is a {kind} device ({major}:{minor})")]
    Device {
        /// The entry's path.
        path: String,
        /// `block` or `character`.
        kind: &'static str,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// An entry is of a kind this program does not know.
    #[error("entry \"{path}\" is refused: {kind} is not supported")]
    Unsupported {
        /// The entry's path.
        path: String,
        /// The kind of entry.
        kind: String,
    },
    /// The layer is larger than allowed.
    #[error("the layer is refused: it unpacks to more than {limit} {unit}")]
    TooLarge {
        /// The bound.
        limit: u64,
        /// `bytes` or `entries`.
        unit: &'static str,
    },
    /// The uncompressed content is not what the image's config says.
    #[error("the layer unpacks to {actual}, the image's config says {expected}")]
    DiffId {
        /// The `diff_id` in the config.
        expected: Digest,
        /// The digest of the content.
        actual: Digest,
    },
    /// The disk is full. Nothing of the layer is left behind.
    #[error("the disk is full: \"{entry}\" does not fit in {}", path.display())]
    DiskFull {
        /// The entry that did not fit.
        entry: String,
        /// The directory that was unpacked to.
        path: PathBuf,
    },
    /// Ownership and device nodes for whiteouts need root.
    #[error("unpacking layers needs root: owners and whiteouts cannot be made without it")]
    NotRoot,
    /// The layer's media type says a compression that is not known.
    #[error("compression of media type \"{media_type}\" is not supported")]
    Compression {
        /// The media type.
        media_type: String,
    },
    /// An entry could not be written.
    #[error("write entry \"{entry}\" in {}: {source}", path.display())]
    Write {
        /// The entry's path.
        entry: String,
        /// The directory that was unpacked to.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}
