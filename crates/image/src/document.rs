//! The JSON documents of images: index, manifest and config, in OCI's and Docker's dialects.
//!
//! The two dialects differ in media types only. What we do not know in a config is kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::content::DOCUMENT_BYTES;
use crate::digest::Digest;
use crate::image::{ExposedPort, ImageConfig};
use crate::options::{Platform, UnpackLimits};

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// Points to a blob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<PlatformDocument>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlatformDocument {
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) variant: Option<String>,
}

impl Descriptor {
    /// The media type that a layer has once it is compressed by gzip; nothing if it is compressed,
    /// or is no layer.
    pub(crate) fn compressed_type(&self) -> Option<String> {
        match self.media_type.as_str() {
            OCI_LAYER => Some(format!("{OCI_LAYER}+gzip")),
            DOCKER_LAYER => Some(format!("{DOCKER_LAYER}.gzip")),
            _ => None,
        }
    }

    /// The same layer under OCI's media type: our manifests do not mix dialects.
    pub(crate) fn into_oci(self) -> Self {
        let suffix = match self.media_type.as_str() {
            "application/vnd.docker.image.rootfs.diff.tar.gzip" => "+gzip",
            "application/vnd.docker.image.rootfs.diff.tar.zstd" => "+zstd",
            DOCKER_LAYER => "",
            _ => return self,
        };
        Self { media_type: format!("{OCI_LAYER}{suffix}"), ..self }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) manifests: Vec<Descriptor>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) config: Descriptor,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) layers: Vec<Descriptor>,
}

impl Manifest {
    /// Why an image with this manifest cannot be used here, before anything large is looked at.
    pub(crate) fn unusable(&self, limits: UnpackLimits) -> Option<String> {
        if !is_image_config(&self.config.media_type) {
            return Some(format!("it is no container image but {}", self.config.media_type));
        }
        if self.config.size > DOCUMENT_BYTES {
            return Some("its config is larger than 4 MiB".to_owned());
        }
        let problem = |layer: &Descriptor| {
            if !Compression::is_layer(&layer.media_type) {
                return Some(format!("a layer of type {} is not supported", layer.media_type));
            }
            let too_large = layer.size > limits.bytes;
            too_large.then(|| format!("layer {} is too large: {} bytes", layer.digest, layer.size))
        };
        self.layers.iter().find_map(problem)
    }
}

/// What a manifest's name leads to.
#[derive(Debug)]
pub(crate) enum Top {
    Index(Index),
    Manifest(Manifest),
}

impl Top {
    /// Tells the two apart by content, as media types are missing or wrong often enough.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Shape {
            manifests: Option<Value>,
            config: Option<Value>,
        }
        let shape: Shape = serde_json::from_slice(bytes)?;
        if shape.manifests.is_some() && shape.config.is_none() {
            serde_json::from_slice(bytes).map(Self::Index)
        } else {
            serde_json::from_slice(bytes).map(Self::Manifest)
        }
    }
}

impl Index {
    /// The manifest for this platform; among several the one without a variant, or the first.
    pub(crate) fn choose(&self, platform: Platform) -> Option<&Descriptor> {
        let fits = |descriptor: &&Descriptor| match &descriptor.platform {
            Some(document) => {
                document.os == "linux" && document.architecture == platform.architecture()
            }
            // An index of one image need not say for what it is.
            None => self.manifests.len() == 1,
        };
        let plain =
            |d: &&Descriptor| d.platform.as_ref().is_none_or(|platform| platform.variant.is_none());
        let mut candidates = self.manifests.iter().filter(fits);
        candidates.clone().find(plain).or_else(|| candidates.next())
    }

    /// The platforms it has images for, for people.
    pub(crate) fn platforms(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .manifests
            .iter()
            .filter_map(|descriptor| descriptor.platform.as_ref())
            .filter(|platform| platform.os != "unknown")
            .map(|platform| format!("{}/{}", platform.os, platform.architecture))
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Whether a layer of this media type can be unpacked at all. How it is compressed is seen from
    /// its first bytes.
    pub(crate) fn is_layer(media_type: &str) -> bool {
        let oci = media_type
            .strip_prefix("application/vnd.oci.image.layer.v1.tar")
            .or_else(|| {
                media_type.strip_prefix("application/vnd.oci.image.layer.nondistributable.v1.tar")
            })
            .is_some_and(|rest| matches!(rest, "" | "+gzip" | "+zstd"));
        let docker = media_type
            .strip_prefix("application/vnd.docker.image.rootfs.diff.tar")
            .is_some_and(|rest| matches!(rest, "" | ".gzip" | ".zstd"));
        oci || docker || media_type.is_empty()
    }

    /// What a layer's media type has at its end.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => "+gzip",
            Self::Zstd => "+zstd",
        }
    }

    /// By the magic number.
    pub(crate) fn of(first_bytes: &[u8]) -> Self {
        match first_bytes {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// Whether a manifest's config is an image's, and not some other artifact's.
pub(crate) fn is_image_config(media_type: &str) -> bool {
    matches!(media_type, "" | OCI_CONFIG | DOCKER_CONFIG)
}

/// An image's config.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ConfigDocument {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) config: ProcessDocument,
    #[serde(default = "RootFs::none")]
    pub(crate) rootfs: RootFs,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub(crate) history: Vec<History>,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

impl ConfigDocument {
    /// The config of an image that has nothing yet.
    pub(crate) fn empty(architecture: &str) -> Self {
        Self {
            created: None,
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            config: ProcessDocument::default(),
            rootfs: RootFs::none(),
            history: Vec::new(),
            rest: Map::new(),
        }
    }
}

impl ConfigDocument {
    /// The platform it is for, if that is another one. Who does not say has it run anywhere.
    pub(crate) fn foreign(&self, wanted: Platform) -> Option<String> {
        let fits = (self.architecture.is_empty() || self.architecture == wanted.architecture())
            && matches!(self.os.as_str(), "" | "linux");
        (!fits).then(|| format!("{}/{}", self.os, self.architecture))
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RootFs {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) diff_ids: Vec<Digest>,
}

impl RootFs {
    pub(crate) fn none() -> Self {
        Self { kind: "layers".to_owned(), diff_ids: Vec::new() }
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct History {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_by: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) empty_layer: bool,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// The `config` object in an image's config; Docker's keys begin with capitals.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ProcessDocument {
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub(crate) user: String,
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) exposed_ports: BTreeMap<String, Value>,
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub(crate) env: Vec<String>,
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub(crate) entrypoint: Vec<String>,
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub(crate) cmd: Vec<String>,
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) volumes: BTreeMap<String, Value>,
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub(crate) working_dir: String,
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stop_signal: Option<String>,
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub(crate) on_build: Vec<String>,
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub(crate) shell: Vec<String>,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

impl ProcessDocument {
    /// The inverse of [`Self::to_config`].
    pub(crate) fn set(&mut self, config: &ImageConfig) {
        let nothing = || Value::Object(Map::new());
        self.entrypoint.clone_from(&config.entrypoint);
        self.cmd.clone_from(&config.cmd);
        self.env.clone_from(&config.env);
        self.working_dir.clone_from(&config.working_dir);
        self.user.clone_from(&config.user);
        self.stop_signal.clone_from(&config.stop_signal);
        self.labels.clone_from(&config.labels);
        let ports = config.exposed_ports.iter();
        self.exposed_ports = ports.map(|port| (port.to_string(), nothing())).collect();
        self.volumes = config.volumes.iter().map(|path| (path.clone(), nothing())).collect();
    }

    /// The part that callers see. A port that is none is left out: it cannot be reached anyway.
    pub(crate) fn to_config(&self) -> ImageConfig {
        ImageConfig {
            entrypoint: self.entrypoint.clone(),
            cmd: self.cmd.clone(),
            env: self.env.clone(),
            working_dir: self.working_dir.clone(),
            user: self.user.clone(),
            exposed_ports: self
                .exposed_ports
                .keys()
                .filter_map(|port| port.parse::<ExposedPort>().ok())
                .collect(),
            stop_signal: self.stop_signal.clone().filter(|signal| !signal.is_empty()),
            labels: self.labels.clone(),
            volumes: self.volumes.keys().cloned().collect(),
        }
    }
}

/// Docker writes `null` where OCI leaves a key out.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const B: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b856";

    fn index(entries: &[(&str, &str)]) -> Index {
        let manifests: Vec<String> = entries
            .iter()
            .map(|(digest, platform)| {
                format!(r#"{{"digest":"{digest}","size":1,"platform":{platform}}}"#)
            })
            .collect();
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, manifests.join(","));
        match Top::parse(text.as_bytes()).unwrap() {
            Top::Index(index) => index,
            Top::Manifest(_) => panic!("an index parsed as a manifest"),
        }
    }

    #[test]
    fn the_manifest_of_the_platform_is_chosen() {
        let index = index(&[
            (B, r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#),
            (A, r#"{"os":"linux","architecture":"amd64"}"#),
            (B, r#"{"os":"unknown","architecture":"unknown"}"#),
        ]);
        assert_eq!(index.choose(Platform::Amd64).unwrap().digest.as_str(), A);
        assert_eq!(index.choose(Platform::Arm64).unwrap().digest.as_str(), B);
        assert_eq!(index.platforms(), ["linux/amd64", "linux/arm64"]);
    }

    #[test]
    fn a_platform_that_is_not_there_is_not_replaced_by_another() {
        let index = index(&[(A, r#"{"os":"windows","architecture":"amd64"}"#)]);
        assert!(index.choose(Platform::Amd64).is_none());
    }

    #[test]
    fn nulls_of_docker_and_unknown_keys_are_kept_harmless() {
        let text = r#"{"architecture":"amd64","os":"linux","config":{"Cmd":["/x"],"Entrypoint":null,
            "Env":null,"ExposedPorts":{"80/tcp":{},"junk":{}},"Labels":null,"Healthcheck":{"Test":[]}},
            "rootfs":{"type":"layers","diff_ids":null},"history":null,"docker_version":"1"}"#;
        let document: ConfigDocument = serde_json::from_str(text).unwrap();
        let config = document.config.to_config();
        assert_eq!(config.cmd, ["/x"]);
        assert_eq!(config.exposed_ports.len(), 1);
        let again = serde_json::to_string(&document).unwrap();
        assert!(again.contains("Healthcheck") && again.contains("docker_version"), "{again}");
    }

    #[test]
    fn layer_media_types_are_known_and_others_are_not() {
        for good in [
            OCI_LAYER,
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.oci.image.layer.v1.tar+zstd",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        ] {
            assert!(Compression::is_layer(good), "{good}");
        }
        for bad in ["application/vnd.oci.image.layer.v1.tar+encrypted", "text/plain"] {
            assert!(!Compression::is_layer(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_parsed_without_panic(bytes in any::<Vec<u8>>()) {
            let _ = Top::parse(&bytes);
            let _ = serde_json::from_slice::<ConfigDocument>(&bytes);
        }
    }
}
