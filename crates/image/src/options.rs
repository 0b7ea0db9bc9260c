//! What callers choose: where to pull from, limits, platform, what to build.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use crate::distribution::Access;
use crate::reference::Reference;
use crate::run_step::RunNetwork;

/// How images are pulled.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// Registry host as it stands in references (`docker.io`) → base URL asked first
    /// (`https://mirror.example/prefix`, `http://127.0.0.1:5000`); the registry itself is the
    /// fallback. A mirror is told the original host as `?ns=`, as containerd does.
    pub mirrors: BTreeMap<String, String>,
    /// Registry hosts that are asked by plain HTTP. Those on this machine always are, unless they
    /// answer to TLS alone.
    pub insecure: BTreeSet<String>,
    /// Registry host → credentials. They win over those of [`Self::docker_config`].
    pub credentials: BTreeMap<String, Credentials>,
    /// A Docker `config.json` whose `auths` give more credentials; a missing file is fine.
    pub docker_config: Option<PathBuf>,
    /// Bounds on what one layer may unpack to.
    pub limits: UnpackLimits,
    /// Layers downloaded and unpacked at once.
    pub parallel: usize,
    /// Platform to choose from a multi-platform image.
    pub platform: Platform,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            mirrors: BTreeMap::new(),
            insecure: BTreeSet::new(),
            credentials: BTreeMap::new(),
            docker_config: default_docker_config(),
            limits: UnpackLimits::default(),
            parallel: 4,
            platform: Platform::host(),
        }
    }
}

impl PullOptions {
    pub(crate) fn access(&self) -> Access<'_> {
        Access {
            mirrors: Some(&self.mirrors),
            insecure: &self.insecure,
            credentials: &self.credentials,
            docker_config: self.docker_config.as_deref(),
            actions: "pull",
        }
    }
}

/// How images are pushed.
#[derive(Debug, Clone)]
pub struct PushOptions {
    /// Registry hosts that are spoken to by plain HTTP. Those on this machine always are, unless they
    /// answer to TLS alone.
    pub insecure: BTreeSet<String>,
    /// Registry host → credentials. They win over those of [`Self::docker_config`].
    pub credentials: BTreeMap<String, Credentials>,
    /// A Docker `config.json` whose `auths` give more credentials; a missing file is fine.
    pub docker_config: Option<PathBuf>,
    /// Whether layers that are stored as plain archives are compressed. The image gets another digest
    /// by that, and its name that digest.
    pub compress: bool,
    /// Layers compressed or uploaded at once.
    pub parallel: usize,
    /// Largest piece of a layer in one request; a layer goes in one piece when nothing is said here
    /// nor by the registry (`OCI-Chunk-Max-Length`).
    pub chunk: Option<u64>,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            insecure: BTreeSet::new(),
            credentials: BTreeMap::new(),
            docker_config: default_docker_config(),
            compress: true,
            parallel: 4,
            chunk: None,
        }
    }
}

impl PushOptions {
    pub(crate) fn access(&self) -> Access<'_> {
        Access {
            mirrors: None,
            insecure: &self.insecure,
            credentials: &self.credentials,
            docker_config: self.docker_config.as_deref(),
            actions: "pull,push",
        }
    }
}

/// `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
fn default_docker_config() -> Option<PathBuf> {
    let folder = match std::env::var_os("DOCKER_CONFIG") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => PathBuf::from(std::env::var_os("HOME")?).join(".docker"),
    };
    Some(folder.join("config.json"))
}

/// Name and password (or token) for a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password or token; never shown, not in `Debug` either.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Bounds on what one layer may unpack to, against archives made to fill a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackLimits {
    /// Bytes of the uncompressed archive, headers included.
    pub bytes: u64,
    /// Files, directories and links.
    pub entries: u64,
}

impl Default for UnpackLimits {
    /// 20 GB, the largest disk of an instance type, and two million entries.
    fn default() -> Self {
        Self { bytes: 20_000_000_000, entries: 2_000_000 }
    }
}

/// An operating system and processor in OCI's (Go's) words. The system is always `linux`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// `linux/amd64`
    Amd64,
    /// `linux/arm64`
    Arm64,
}

impl Platform {
    /// The platform of this machine: what its processor can run.
    #[must_use]
    pub const fn host() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::Amd64 }
    }

    /// `amd64` or `arm64`.
    #[must_use]
    pub const fn architecture(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The platform that `text` (`linux/amd64`, `linux/arm64/v8`) names, if it is one of ours.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        [Self::Amd64, Self::Arm64].into_iter().find(|platform| platform.is_named_by(text))
    }

    /// Whether `text` (`linux/amd64`, `linux/arm64/v8`) names this platform.
    #[must_use]
    pub fn is_named_by(self, text: &str) -> bool {
        let variant = match self {
            Self::Amd64 => "linux/amd64/v1",
            Self::Arm64 => "linux/arm64/v8",
        };
        text == self.to_string() || text == variant
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture())
    }
}

/// What to build from a Dockerfile.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The Dockerfile.
    pub dockerfile: PathBuf,
    /// Its text, if it is not to be read from the file: the path is a name then.
    pub dockerfile_text: Option<String>,
    /// The directory that `COPY` and `ADD` read from.
    pub context: PathBuf,
    /// More contexts by name: `FROM`, `--from` and `from=` may name them, and they go before stages
    /// and images of that name.
    pub contexts: BTreeMap<String, NamedContext>,
    /// `--build-arg NAME=value`; `SOURCE_DATE_EPOCH` clamps times in the image.
    pub build_args: BTreeMap<String, String>,
    /// Labels of the image, over those of the Dockerfile.
    pub labels: BTreeMap<String, String>,
    /// Secrets by id, for `RUN --mount=type=secret`. No layer, cache key, log or error has them.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Sockets of SSH agents by id, for `RUN --mount=type=ssh`.
    pub ssh: BTreeMap<String, PathBuf>,
    /// Stage to build; `None` is the last one.
    pub target: Option<String>,
    /// Run every step although its result may be in the cache.
    pub no_cache: bool,
    /// Ask registries for base images although they are here already.
    pub always_pull: bool,
    /// How far the connections of `RUN` steps reach that say nothing themselves.
    pub network: RunNetwork,
    /// Whether `RUN --network=host` may have what it asks for.
    pub allow_host_network: bool,
    /// Stages built at once.
    pub parallel: usize,
    /// Images whose inline cache tells of steps that need not run.
    pub cache_from: Vec<Reference>,
    /// Whether the image tells what its steps were, for [`Self::cache_from`] of later builds.
    pub inline_cache: bool,
    /// Where the steps' layers are pushed, for [`Self::cache_from`] of later builds.
    pub cache_to: Vec<CacheExport>,
    /// The names to give the image in the store.
    pub tags: Vec<Reference>,
    /// How base images are pulled.
    pub pull: PullOptions,
}

/// A build cache in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheExport {
    /// Its name there.
    pub reference: Reference,
    /// Whether the steps of all stages are in it, not those of the target alone.
    pub all_stages: bool,
}

/// A build context beside the main one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// A directory, with a `.dockerignore` of its own.
    Directory(PathBuf),
    /// An image.
    Image(Reference),
}

/// Where a secret is read when a step asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file.
    File(PathBuf),
    /// A variable of this process's environment.
    Variable(String),
}

impl BuildRequest {
    /// Builds the last stage of `dockerfile` with `context`, network on, cache on, no name.
    #[must_use]
    pub fn new(dockerfile: impl Into<PathBuf>, context: impl Into<PathBuf>) -> Self {
        Self {
            dockerfile: dockerfile.into(),
            dockerfile_text: None,
            context: context.into(),
            contexts: BTreeMap::new(),
            build_args: BTreeMap::new(),
            labels: BTreeMap::new(),
            secrets: BTreeMap::new(),
            ssh: BTreeMap::new(),
            target: None,
            no_cache: false,
            always_pull: false,
            network: RunNetwork::Default,
            allow_host_network: false,
            parallel: 4,
            cache_from: Vec::new(),
            inline_cache: false,
            cache_to: Vec::new(),
            tags: Vec::new(),
            pull: PullOptions::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_in_debug_output() {
        let credentials = Credentials { username: "u".into(), password: "hunter2".into() };
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }

    #[test]
    fn a_platform_is_named_with_or_without_its_variant() {
        assert!(Platform::Amd64.is_named_by("linux/amd64"));
        assert!(Platform::Arm64.is_named_by("linux/arm64/v8"));
        assert!(!Platform::Amd64.is_named_by("linux/arm64"));
        assert!(!Platform::Amd64.is_named_by("windows/amd64"));
    }
}
