//! A registry beyond single images: what it has, and taking some of it away.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufReader, Read};

use serde::Deserialize;
use ureq::Body;
use ureq::http::{Method, Response};

use super::client::{Client, Failure, Payload, Request};
use crate::error::{Attempt, StoreError};
use crate::options::PushOptions;
use crate::progress::Progress;

/// Largest catalog that is read.
const CATALOG_BYTES: u64 = 64 * 1024 * 1024;
/// Where a registry says which manifest it means.
const CONTENT_DIGEST: &str = "docker-content-digest";
/// Manifests as images have them.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, \
                         application/vnd.oci.image.index.v1+json, \
                         application/vnd.docker.distribution.manifest.v2+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json";

/// Repositories with their tags.
pub type Catalog = BTreeMap<String, Vec<String>>;

/// A registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// It cannot be reached, or says no.
    #[error("{0}")]
    Refused(Box<Attempt>),
    /// Settings or an answer make no sense.
    #[error("{0}")]
    Unusable(String),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl RegistryError {
    /// Whether what was asked for is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Refused(attempt) if attempt.status == Some(404))
    }
}

impl From<Failure> for RegistryError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Endpoint(attempt) => Self::Refused(Box::new(attempt)),
            Failure::Store(StoreError::Cancelled) => Self::Cancelled,
            Failure::Store(error) => Self::Unusable(error.to_string()),
        }
    }
}

/// A registry as its owner looks after it, by what Cloudflare's and Berth's have beside the OCI
/// distribution API.
pub struct RemoteRegistry(Client);

impl fmt::Debug for RemoteRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteRegistry").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct CatalogAnswer {
    repositories: Catalog,
}

impl RemoteRegistry {
    /// The registry of that host, asked as it is pushed to.
    ///
    /// # Errors
    /// Docker's credentials file is wrong.
    pub fn new(host: &str, options: &PushOptions) -> Result<Self, RegistryError> {
        let client = Client::of_registry(host, &options.access());
        client.map(Self).map_err(RegistryError::Unusable)
    }

    /// What it has of ours.
    ///
    /// # Errors
    /// It cannot be asked, or does not list repositories with their tags.
    pub fn catalog(&self, progress: &dyn Progress) -> Result<Catalog, RegistryError> {
        let answer = self.ask(&Request::new(&Method::GET, "_catalog?tags=true"), progress)?;
        parse(BufReader::new(answer.into_body().into_reader().take(CATALOG_BYTES)))
    }

    /// Takes a tag away and has collected what only it needed. Returns the digest it led to, if the
    /// registry says it.
    ///
    /// # Errors
    /// It cannot be asked, or there is no such tag.
    pub fn delete_tag(
        &self,
        repository: &str,
        tag: &str,
        progress: &dyn Progress,
    ) -> Result<Option<String>, RegistryError> {
        let target = format!("{repository}/manifests/{tag}");
        let headers = &[("accept", MANIFESTS)];
        let answer =
            self.ask(&Request { headers, ..Request::new(&Method::HEAD, &target) }, progress)?;
        let digest = answer.headers().get(CONTENT_DIGEST).and_then(|value| value.to_str().ok());
        let digest = digest.map(str::to_owned);
        self.ask(&Request::new(&Method::DELETE, &target), progress)?;
        let payload = Payload::Bytes(b"");
        self.ask(&Request { payload, ..Request::new(&Method::PUT, "gc/layers") }, progress)?;
        Ok(digest)
    }

    fn ask(
        &self,
        request: &Request<'_>,
        progress: &dyn Progress,
    ) -> Result<Response<Body>, RegistryError> {
        Ok(self.0.request(self.0.registry(), request, progress)?)
    }
}

fn parse(answer: impl Read) -> Result<Catalog, RegistryError> {
    let unusable = |error: serde_json::Error| {
        let text = format!("it does not list its repositories with their tags: {error}");
        RegistryError::Unusable(text)
    };
    let answer: CatalogAnswer = serde_json::from_reader(answer).map_err(unusable)?;
    Ok(answer.repositories)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_has_names_with_their_tags() {
        let catalog = parse(&br#"{"repositories": {"a/app": ["1", "2"]}}"#[..]).unwrap();
        assert_eq!(catalog["a/app"], ["1", "2"]);
        let names = parse(&br#"{"repositories": ["a/app"]}"#[..]).unwrap_err();
        assert!(names.to_string().contains("with their tags"), "{names}");
    }

    #[test]
    fn what_is_not_there_is_told_from_what_cannot_be_asked() {
        let refused = |status| {
            let (role, url, outcome) = ("registry", String::new(), String::new());
            RegistryError::from(Failure::Endpoint(Attempt { role, url, outcome, status }))
        };
        assert!(refused(Some(404)).is_missing());
        assert!(!refused(Some(401)).is_missing() && !refused(None).is_missing());
        let cancelled = RegistryError::from(Failure::Store(StoreError::Cancelled));
        assert!(matches!(cancelled, RegistryError::Cancelled));
    }
}
