//! Image references: `nginx`, `ghcr.io/owner/app:1.2`, `localhost:5000/app@sha256:…`.
//!
//! Short names mean Docker Hub, as everywhere in the field. A name in a local store is the same
//! normalised text, so `nginx` and `docker.io/library/nginx:latest` are one image.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Host of Docker Hub in references.
pub const DOCKER_HUB: &str = "docker.io";

/// A normalised image reference: registry, repository, and a tag or a digest or both.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text that is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not an image reference: {reason}")]
pub struct ReferenceError {
    /// The text as given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Reference {
    /// The registry's host, with its port if it has one: `docker.io`, `localhost:5000`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository within the registry: `library/nginx`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` when neither tag nor digest was given.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, when the reference is pinned.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// As people write it: without what is meant when it is left out, but always with its tag.
    #[must_use]
    pub fn familiar(&self) -> String {
        let whole = self.to_string();
        let Some(rest) = whole.strip_prefix("docker.io/") else { return whole };
        rest.strip_prefix("library/").unwrap_or(rest).to_owned()
    }

    /// The familiar name without tag and digest.
    #[must_use]
    pub fn familiar_repository(&self) -> String {
        let (tag, digest) = (None, None);
        Self { tag, digest, ..self.clone() }.familiar()
    }

    /// What a registry is asked for: the digest if there is one, else the tag.
    #[must_use]
    pub fn version(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.as_str(),
            (None, Some(tag)) => tag,
            (None, None) => "latest",
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        parse(text).map_err(|reason| ReferenceError { text: text.to_owned(), reason })
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.contains("://") {
        return Err("leave out the scheme (https://)".to_owned());
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().map_err(|e| e.to_string())?)),
        None => (text, None),
    };
    let (registry, remainder) = split_registry(rest);
    // Only a colon after the last slash starts a tag; the registry's port is gone already.
    let (repository, tag) = match remainder.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (remainder, None),
    };
    check_registry(registry)?;
    check_repository(repository)?;
    if let Some(tag) = tag {
        check_tag(tag)?;
    }
    let registry = if registry == "index.docker.io" { DOCKER_HUB } else { registry };
    let official = registry == DOCKER_HUB && !repository.contains('/');
    let repository = if official { format!("library/{repository}") } else { repository.to_owned() };
    let tag = match (tag, &digest) {
        (None, None) => Some("latest".to_owned()),
        (tag, _) => tag.map(str::to_owned),
    };
    Ok(Reference { registry: registry.to_owned(), repository, tag, digest })
}

/// A first component is a registry if it looks like a host: has a dot or a port, or is `localhost`.
fn split_registry(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DOCKER_HUB, text),
    }
}

fn check_registry(registry: &str) -> Result<(), String> {
    let (host, port) = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => {
            host.parse::<std::net::Ipv6Addr>().map_err(|_| format!("\"{registry}\" is no host"))?;
            ("v6", rest.strip_prefix(':').or(if rest.is_empty() { None } else { Some("") }))
        }
        None => match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !host.split('.').all(label) {
        return Err(format!("\"{registry}\" is no host"));
    }
    match port {
        Some(port) if port.bytes().any(|b| !b.is_ascii_digit()) || port.parse::<u16>().is_err() => {
            Err(format!("\"{port}\" is no port"))
        }
        _ => Ok(()),
    }
}

pub(crate) fn check_repository(repository: &str) -> Result<(), String> {
    if repository.is_empty() {
        return Err("the repository is missing".to_owned());
    }
    if repository.len() > 255 {
        return Err("the repository is longer than 255 characters".to_owned());
    }
    if repository.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("the repository must be lower-case".to_owned());
    }
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let component = |part: &str| {
        let ends = |b: Option<u8>| b.is_some_and(alphanumeric);
        let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        ends(part.bytes().next())
            && ends(part.bytes().last())
            && separators.into_iter().all(|separator| {
                matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
            })
    };
    match repository.split('/').find(|part| !component(part)) {
        Some(part) => Err(format!(
            "\"{part}\" may hold only lower-case letters, digits and single separators (. _ -) \
             between them"
        )),
        None => Ok(()),
    }
}

pub(crate) fn check_tag(tag: &str) -> Result<(), String> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let valid = tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-');
    if valid {
        Ok(())
    } else {
        Err(format!("\"{tag}\" is no tag (letters, digits, _ . -; at most 128)"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn short_names_mean_docker_hub_and_latest() {
        for (text, full) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27-alpine", "docker.io/library/nginx:1.27-alpine"),
            ("owner/app", "docker.io/owner/app:latest"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("index.docker.io/owner/app:1", "docker.io/owner/app:1"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/a/b:1", "localhost:5000/a/b:1"),
            ("[::1]:5000/app", "[::1]:5000/app:latest"),
            ("registry.cloudflare.com/ns/app:v1", "registry.cloudflare.com/ns/app:v1"),
            ("a__b/c-d--e.f", "docker.io/a__b/c-d--e.f:latest"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), full, "{text}");
        }
    }

    #[test]
    fn a_familiar_name_means_the_same() {
        for text in ["nginx:1", "owner/app:latest", "ghcr.io/a/b:2", "localhost/app:dev"] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.familiar(), text);
            assert_eq!(reference.familiar().parse(), Ok(reference));
        }
        let pinned: Reference = format!("nginx@{DIGEST}").parse().unwrap();
        assert_eq!(pinned.familiar_repository(), "nginx");
    }

    #[test]
    fn a_digest_stands_alone_or_beside_a_tag_and_wins() {
        let pinned: Reference = format!("nginx@{DIGEST}").parse().unwrap();
        assert_eq!(pinned.tag(), None);
        assert_eq!(pinned.version(), DIGEST);
        let both: Reference = format!("localhost:1/x:t@{DIGEST}").parse().unwrap();
        assert_eq!(both.tag(), Some("t"));
        assert_eq!(both.version(), DIGEST);
    }

    #[test]
    fn wrong_references_say_what_is_wrong() {
        for (text, reason) in [
            ("", "empty"),
            ("https://ghcr.io/x", "scheme"),
            ("Nginx", "lower-case"),
            ("ghcr.io/", "repository is missing"),
            ("ghcr.io/a//b", "may hold only"),
            ("a/../b", "may hold only"),
            ("nginx:", "is no tag"),
            ("nginx:-x", "is no tag"),
            ("host:port/x", "is no port"),
            ("host:70000/x", "is no port"),
            ("-bad.io/x", "is no host"),
            ("nginx@sha256:12", "is not a digest"),
            ("a b", "may hold only"),
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused_and_what_parses_prints_itself(text in "\\PC{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
            }
        }
    }
}
