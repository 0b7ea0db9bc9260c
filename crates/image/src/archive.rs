//! Images as archives: what `docker save` and `podman save` write and `docker load` reads, OCI
//! layouts, and root file systems.
//!
//! What is written is both: an OCI layout, and the `manifest.json` that older programs look for. What
//! is read is believed no more than what a registry sends.

mod export;
mod import;
mod rootfs;
mod spool;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::Descriptor;
use crate::options::{Platform, UnpackLimits};
use crate::reference::Reference;

pub use rootfs::RootFileSystem;

/// Says that an archive is an OCI layout.
const OCI_LAYOUT: &str = "oci-layout";
/// Leads to an OCI layout's images.
const INDEX: &str = "index.json";
/// Leads to the images of `docker save`.
const MANIFEST: &str = "manifest.json";
/// An image's name in an index: the tag or the whole name, as its writer likes it.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// An image's whole name in an index, as containerd and Docker write it.
const IMAGE_NAME: &str = "io.containerd.image.name";

/// What an archive is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// For `docker load`, and an OCI layout as well.
    Docker,
    /// An OCI layout alone.
    Oci,
}

/// An image to be written to an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Digest of its manifest.
    pub digest: Digest,
    /// The names it has there.
    pub references: Vec<Reference>,
}

/// An image that came from an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Digest of its manifest.
    pub digest: Digest,
    /// The names it was given.
    pub references: Vec<Reference>,
}

/// How archives are read.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Bounds on what one layer may unpack to.
    pub limits: UnpackLimits,
    /// Most bytes that an archive may have, uncompressed.
    pub bytes: u64,
    /// Layers unpacked at once.
    pub parallel: usize,
    /// Platform to choose from a multi-platform image.
    pub platform: Platform,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            limits: UnpackLimits::default(),
            bytes: 100_000_000_000,
            parallel: 2,
            platform: Platform::host(),
        }
    }
}

/// An entry of an index, with what its writer noted.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct IndexEntry {
    #[serde(flatten)]
    descriptor: Descriptor,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// An OCI layout's `index.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayoutIndex {
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    manifests: Vec<IndexEntry>,
}

/// An image in the `manifest.json` of `docker save`. Paths are those of the archive.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// Where a blob is in an OCI layout.
fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
