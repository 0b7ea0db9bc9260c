//! Static files: what is uploaded, and what a version serves of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::AssetRules;
use serde::{Deserialize, Serialize};

use crate::blobs::BlobId;

/// Files that a client wants to serve, while it uploads those that are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AssetSession {
    /// The Worker's name: it need not be there yet.
    pub(crate) script: String,
    /// By their paths below the folder.
    pub(crate) files: BTreeMap<String, ClientFile>,
    pub(crate) expires_on: Timestamp,
}

/// A file as its client names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClientFile {
    /// 32 hex digits; which hash it is, and of what, is the client's affair.
    pub(crate) hash: String,
    pub(crate) size: u64,
}

/// Content that is here, under its client's hash and the Worker's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AssetContent {
    pub(crate) blob: BlobId,
    pub(crate) size: u64,
}

/// What a version serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VersionAssets {
    /// Its files, as JSON: [`AssetFiles`].
    pub(crate) files: BlobId,
    pub(crate) rules: AssetRules,
    /// `_headers`.
    #[serde(default)]
    pub(crate) headers: Option<String>,
    /// `_redirects`.
    #[serde(default)]
    pub(crate) redirects: Option<String>,
}

/// Content by paths below the folder.
pub(crate) type AssetFiles = BTreeMap<String, BlobId>;
