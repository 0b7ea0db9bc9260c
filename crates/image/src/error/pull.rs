//! An image could not be pulled.

use std::fmt;

use super::StoreError;
use crate::reference::Reference;

/// One place that was asked for an image, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// `mirror` or `registry`.
    pub role: &'static str,
    /// The URL that was asked, without credentials.
    pub url: String,
    /// What came of it: `404 Not Found`, `connection refused`, `401 Unauthorized: …`.
    pub outcome: String,
    /// HTTP status, when there was an answer.
    pub status: Option<u16>,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.role, self.url, self.outcome)
    }
}

/// An image could not be pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// No mirror and no registry gave the manifest, the config or a layer.
    #[error("pull {reference}: {what} could not be had{}", list(attempts))]
    Unavailable {
        /// The image.
        reference: Box<Reference>,
        /// `its manifest`, `layer sha256:…`, …
        what: String,
        /// Everything that was tried, in order.
        attempts: Vec<Attempt>,
    },
    /// The image exists, but not for this platform.
    #[error("pull {reference}: it has no image for {wanted}, only for {}", available.join(", "))]
    Platform {
        /// The image.
        reference: Box<Reference>,
        /// The platform that was asked for.
        wanted: String,
        /// The platforms it has.
        available: Vec<String>,
    },
    /// What the registry sent is no image this program can run.
    #[error("pull {reference}: {reason}")]
    Unsupported {
        /// The image.
        reference: Box<Reference>,
        /// What is not supported.
        reason: String,
    },
    /// A mirror's URL, a proxy or a credentials file is wrong.
    #[error("pull {reference}: {reason}")]
    Settings {
        /// The image.
        reference: Box<Reference>,
        /// What is wrong.
        reason: String,
    },
    /// The store could not take it.
    #[error("pull {reference}: {source}")]
    Store {
        /// The image.
        reference: Box<Reference>,
        /// What failed.
        source: StoreError,
    },
    /// The caller asked to stop.
    #[error("pull {reference}: cancelled")]
    Cancelled {
        /// The image.
        reference: Box<Reference>,
    },
}

fn list(attempts: &[Attempt]) -> String {
    attempts.iter().map(|attempt| format!("\n  tried {attempt}")).collect()
}

impl PullError {
    /// Whether the caller asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled { .. })
    }

    /// What a person can do about it, when something can be said.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unavailable { reference, attempts, .. } => Some(unavailable(reference, attempts)),
            Self::Store { source, .. } => source.hint(),
            Self::Platform { .. } => {
                Some("choose a tag that is built for this platform".to_owned())
            }
            _ => None,
        }
    }
}

fn unavailable(reference: &Reference, attempts: &[Attempt]) -> String {
    let status = |wanted: &[u16]| {
        attempts.iter().any(|attempt| attempt.status.is_some_and(|s| wanted.contains(&s)))
    };
    let registry = reference.registry();
    if status(&[401, 403]) {
        format!(
            "check the name {reference}; if it is private, log in (an `auths` entry for \
             {registry} in ~/.docker/config.json)"
        )
    } else if status(&[404]) {
        format!("check that {reference} exists and is spelled right")
    } else if status(&[429]) {
        format!("{registry} limits how often it answers: wait, log in, or configure a mirror")
    } else {
        format!("check the network and HTTPS_PROXY, or configure a mirror for {registry}")
    }
}
