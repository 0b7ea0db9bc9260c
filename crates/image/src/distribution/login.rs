//! Whether a registry takes a name and a password.

use std::collections::{BTreeMap, BTreeSet};

use ureq::http::{Method, StatusCode};

use super::client::{Access, Client, Failure, Request};
use crate::error::{Attempt, StoreError};
use crate::options::Credentials;
use crate::progress::Progress;

/// A registry does not let somebody in. Completes "failed to …".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// It wants another name or password.
    #[error("log in to {registry}: {}: {}", attempt.url, attempt.outcome)]
    Refused {
        /// Its host.
        registry: String,
        /// What was asked, and the answer.
        attempt: Box<Attempt>,
    },
    /// It cannot be asked.
    #[error("log in to {registry}: {}: {}", attempt.url, attempt.outcome)]
    Unavailable {
        /// Its host.
        registry: String,
        /// What was asked, and what came of it.
        attempt: Box<Attempt>,
    },
    /// It is no registry's host, or nobody waits for the answer any more.
    #[error("log in to {registry}: {reason}")]
    Unusable {
        /// Its host.
        registry: String,
        /// Why.
        reason: String,
    },
}

/// Asks a registry whether it takes these credentials. One that lets everybody in takes all.
///
/// # Errors
/// It does not, or it cannot be asked.
pub fn log_in(
    registry: &str,
    credentials: &Credentials,
    progress: &dyn Progress,
) -> Result<(), LoginError> {
    let unusable = |reason: String| LoginError::Unusable { registry: registry.to_owned(), reason };
    if registry.is_empty() || registry.contains(['/', '@', '?', '#']) {
        return Err(unusable("that is no host of a registry".to_owned()));
    }
    let access = Access {
        mirrors: None,
        insecure: &BTreeSet::new(),
        credentials: &BTreeMap::from([(registry.to_owned(), credentials.clone())]),
        docker_config: None,
        actions: "",
    };
    let client = Client::of_registry(registry, &access).map_err(unusable)?;
    let endpoint = client.registry();
    let answer = client.request(endpoint, &Request::new(&Method::GET, ""), progress);
    match answer {
        Ok(_) => Ok(()),
        Err(Failure::Endpoint(attempt)) => {
            let (registry, attempt) = (registry.to_owned(), Box::new(attempt));
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
            Err(match attempt.status {
                Some(status) if refused.iter().any(|r| r.as_u16() == status) => {
                    LoginError::Refused { registry, attempt }
                }
                _ => LoginError::Unavailable { registry, attempt },
            })
        }
        Err(Failure::Store(StoreError::Cancelled)) => Err(unusable("cancelled".to_owned())),
        Err(Failure::Store(error)) => Err(unusable(error.to_string())),
    }
}
