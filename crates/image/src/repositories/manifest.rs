//! What a registry reads of a manifest: what it refers to, and for what it stands.
//!
//! Kinds of artifacts that nobody has heard of are as welcome as images; what is unknown is kept,
//! as the bytes are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ContentDigest;
use crate::digest::Digest;
use crate::document::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It is larger than manifests may be.
    #[error("the manifest is larger than {limit} bytes")]
    TooLarge {
        /// Most bytes.
        limit: u64,
    },
    /// It is no JSON, or lacks what a manifest has.
    #[error("the manifest cannot be read: {0}")]
    Json(serde_json::Error),
    /// It says something that cannot be.
    #[error("the manifest is refused: {0}")]
    Invalid(String),
    /// It refers to content that the repository does not have.
    #[error("the manifest refers to {digest}, which this repository does not have")]
    Missing {
        /// What is missing.
        digest: ContentDigest,
    },
    /// Its layers and config together are larger than an instance's disk.
    #[error("the image has {size} bytes; an instance's disk holds {limit}")]
    Image {
        /// Bytes of layers and config.
        size: u64,
        /// Most bytes.
        limit: u64,
    },
}

/// What a repository remembers of a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    /// The store's digest of its bytes.
    pub(super) content: Digest,
    pub(super) size: u64,
    pub(super) media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<ContentDigest>,
    /// Config and layers.
    #[serde(default)]
    pub(super) blobs: Vec<ContentDigest>,
    /// Manifests of an index.
    #[serde(default)]
    pub(super) manifests: Vec<ContentDigest>,
    /// Its last tag was deleted: it goes with the next collection, unless an index needs it.
    #[serde(default)]
    pub(super) released: bool,
}

/// A manifest or an index, as far as a registry looks at it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u32>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    /// Of the withdrawn artifact manifest.
    blobs: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: ContentDigest,
    size: u64,
}

impl Descriptor {
    /// Whether this is a layer that its owner does not let others distribute.
    fn is_elsewhere(&self) -> bool {
        self.media_type.contains(".nondistributable.") || self.media_type.contains(".foreign.")
    }
}

/// A manifest that was read and not yet kept.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) entry: Entry,
    /// What has to be here, in the order of the document.
    pub(super) needs: Vec<ContentDigest>,
    /// Bytes of config and layers.
    pub(super) image_size: u64,
}

/// Reads a manifest that came as `media_type`.
pub(super) fn parse(bytes: &[u8], media_type: &str) -> Result<Parsed, ManifestError> {
    let document: Document = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
    let invalid = |reason: &str| Err(ManifestError::Invalid(reason.to_owned()));
    if document.schema_version.is_some_and(|version| version != 2) {
        return invalid("its schemaVersion is not 2");
    }
    // Parameters of a media type (`; charset=…`) are of no account.
    let given = media_type.split(';').next().unwrap_or_default().trim();
    let media_type = match (&document.media_type, given) {
        (Some(own), "") => own.clone(),
        (Some(own), given) if own != given => {
            return invalid(&format!("it is {own}, and came as {given}"));
        }
        (_, "") => return invalid("its media type is not told"),
        (_, given) => given.to_owned(),
    };
    match media_type.as_str() {
        OCI_INDEX | DOCKER_LIST if document.manifests.is_none() => {
            return invalid("an index has `manifests`");
        }
        OCI_MANIFEST | DOCKER_MANIFEST if document.config.is_none() => {
            return invalid("an image manifest has a `config`");
        }
        _ => {}
    }
    // Where the document does not say what it is, its config does.
    let config_type = document.config.as_ref().map(|config| config.media_type.clone());
    let artifact_type = document.artifact_type.filter(|kind| !kind.is_empty()).or(config_type);
    let manifests = document.manifests.unwrap_or_default();
    let contents: Vec<Descriptor> = [document.layers, document.blobs]
        .into_iter()
        .flatten()
        .flatten()
        .chain(document.config)
        .collect();
    let image_size = contents
        .iter()
        .filter(|blob| !blob.is_elsewhere())
        .fold(0_u64, |sum, blob| sum.saturating_add(blob.size));
    let here = contents.iter().filter(|blob| !blob.is_elsewhere()).chain(&manifests);
    let needs = here.map(|descriptor| descriptor.digest.clone()).collect();
    let digests = |list: Vec<Descriptor>| list.into_iter().map(|one| one.digest).collect();
    let entry = Entry {
        content: Digest::of(bytes),
        size: bytes.len() as u64,
        media_type,
        artifact_type,
        annotations: document.annotations.unwrap_or_default(),
        subject: document.subject.map(|subject| subject.digest),
        blobs: digests(contents),
        manifests: digests(manifests),
        released: false,
    };
    Ok(Parsed { entry, needs, image_size })
}

/// For `tests/fuzzing`: whatever comes is refused or understood, and what is understood can be
/// kept.
///
/// # Panics
/// It cannot.
pub(crate) fn fuzz(bytes: &[u8]) {
    for media_type in [OCI_MANIFEST, OCI_INDEX, "", "application/x; a=b"] {
        if let Ok(parsed) = parse(bytes, media_type) {
            let kept = serde_json::to_vec(&parsed.entry).expect("an entry can be written");
            let read: Entry = serde_json::from_slice(&kept).expect("and read again");
            assert_eq!(read, parsed.entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn text(more: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}",
                "config":{{"mediaType":"application/vnd.example","digest":"{A}","size":2}}{more}}}"#
        )
    }

    #[test]
    fn an_artifacts_type_is_its_own_or_its_configs() {
        let own = text(r#","artifactType":"application/x","layers":[]"#);
        let parsed = parse(own.as_bytes(), OCI_MANIFEST).unwrap();
        assert_eq!(parsed.entry.artifact_type.as_deref(), Some("application/x"));
        let parsed = parse(text("").as_bytes(), "").unwrap();
        assert_eq!(parsed.entry.artifact_type.as_deref(), Some("application/vnd.example"));
    }

    #[test]
    fn layers_that_must_not_be_distributed_need_not_be_here() {
        let kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
        let layer = format!(r#","layers":[{{"mediaType":"{kind}","digest":"{A}","size":9}}]"#);
        let parsed = parse(text(&layer).as_bytes(), OCI_MANIFEST).unwrap();
        assert_eq!((parsed.needs.len(), parsed.image_size), (1, 2));
        assert_eq!(parsed.entry.blobs.len(), 2);
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_the_reason() {
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}"}}"#);
        for (bytes, media_type, reason) in [
            ("[]", OCI_MANIFEST, "cannot be read"),
            ("{}", "", "media type is not told"),
            ("{}", OCI_MANIFEST, "has a `config`"),
            (index.as_str(), OCI_INDEX, "has `manifests`"),
            (text("").as_str(), OCI_INDEX, "came as"),
            (r#"{"schemaVersion":1}"#, OCI_MANIFEST, "schemaVersion"),
            (r#"{"config":{"digest":"sha256:x","size":1}}"#, OCI_MANIFEST, "no digest"),
            (r#"{"config":{"digest":"sha256:x","size":-1}}"#, OCI_MANIFEST, "cannot be read"),
        ] {
            let error = parse(bytes.as_bytes(), media_type).unwrap_err().to_string();
            assert!(error.contains(reason), "{bytes}: {error}");
        }
    }
}
