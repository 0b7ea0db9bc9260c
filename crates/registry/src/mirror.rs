//! Pull-through: repositories below a registry's name (`docker.io/library/nginx`) are filled from
//! there. When it cannot be asked, what is here is served.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use image::{
    ContentDigest, PullError, PullOptions, Reference, RepositoryError, RepositoryName, Version,
};

use crate::api::Api;
use crate::body::blocking;
use crate::error::ApiError;

/// A tag is asked for again after this long.
const FRESH: Duration = Duration::from_secs(60);

/// Registries that are stood for.
#[derive(Debug)]
pub(crate) struct Mirrors {
    hosts: Vec<String>,
    pull: PullOptions,
    asked: Mutex<HashMap<String, Instant>>,
}

impl Mirrors {
    /// `hosts` are names of registries, each with another URL that is asked first, if there is one;
    /// `pull` has the credentials for them.
    pub(crate) fn new(hosts: &BTreeMap<String, Option<String>>, mut pull: PullOptions) -> Self {
        let urls = hosts.iter().filter_map(|(host, url)| Some((host.clone(), url.clone()?)));
        pull.mirrors.extend(urls);
        Self { hosts: hosts.keys().cloned().collect(), pull, asked: Mutex::default() }
    }

    /// Whether a repository is one of another registry.
    pub(crate) fn is_mirrored(&self, name: &RepositoryName) -> bool {
        self.hosts.iter().any(|host| name.is_below(host))
    }

    /// The registry that a client means by `?ns=`.
    pub(crate) fn namespace(&self, asked: Option<String>) -> Option<String> {
        asked.filter(|asked| self.hosts.contains(asked))
    }

    /// What the other registry calls it; `None` for what it cannot be asked for.
    fn reference(&self, name: &RepositoryName, version: &str) -> Option<Reference> {
        let separator = if version.contains(':') { '@' } else { ':' };
        self.is_mirrored(name).then(|| format!("{name}{separator}{version}").parse().ok())?
    }

    fn is_fresh(&self, reference: &Reference) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|_, time| time.elapsed() < FRESH);
        asked.contains_key(&reference.to_string())
    }

    fn was_asked(&self, reference: &Reference) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert(reference.to_string(), Instant::now());
    }
}

impl Api {
    /// Brings a manifest of a mirrored repository up to date.
    ///
    /// # Errors
    /// The other registry fails, and nothing is here.
    pub(crate) async fn fetch_manifest(
        self: &Arc<Self>,
        name: &RepositoryName,
        version: &Version,
    ) -> Result<(), ApiError> {
        let Some(reference) = self.mirrors.reference(name, &version.to_string()) else {
            return Ok(());
        };
        let (api, name, version) = (Arc::clone(self), name.clone(), version.clone());
        blocking(move || {
            let here = api.repositories.has_manifest(&name, &version)?;
            let stays = matches!(version, Version::Digest(_)) || api.mirrors.is_fresh(&reference);
            if here && stays {
                return Ok(());
            }
            match api.repositories.fetch_manifest(&name, &reference, &api.mirrors.pull) {
                Ok(_) => {
                    api.mirrors.was_asked(&reference);
                    Ok(())
                }
                Err(RepositoryError::Upstream(error)) if here => {
                    tracing::warn!(%error, "served as it was");
                    Ok(())
                }
                Err(RepositoryError::Upstream(error)) if is_unknown(&error) => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Brings a blob of a mirrored repository here; tells whether it can.
    ///
    /// # Errors
    /// The other registry fails.
    pub(crate) async fn fetch_blob(
        self: &Arc<Self>,
        name: &RepositoryName,
        digest: &ContentDigest,
    ) -> Result<bool, ApiError> {
        let Some(reference) = self.mirrors.reference(name, digest.as_str()) else {
            return Ok(false);
        };
        let (api, name, digest) = (Arc::clone(self), name.clone(), digest.clone());
        blocking(move || {
            match api.repositories.fetch_blob(&name, &digest, &reference, &api.mirrors.pull) {
                Err(RepositoryError::Upstream(error)) if is_unknown(&error) => Ok(false),
                result => result,
            }
        })
        .await
    }
}

/// Whether everyone who was asked says that it is not there; who has no right to see it is told the
/// same, or 401.
fn is_unknown(error: &PullError) -> bool {
    let PullError::Unavailable { attempts, .. } = error else { return false };
    attempts.iter().all(|attempt| matches!(attempt.status, Some(401 | 403 | 404)))
}
