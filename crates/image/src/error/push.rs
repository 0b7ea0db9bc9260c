//! An image could not be pushed.

use super::{Attempt, StoreError};
use crate::digest::Digest;
use crate::reference::Reference;

/// An image could not be pushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// There is no image of that name here.
    #[error("push {reference}: there is no such image here")]
    NotHere {
        /// The image.
        reference: Box<Reference>,
    },
    /// The registry did not take the manifest or a layer.
    #[error("push {reference}: {what} was not taken\n  tried {attempt}")]
    Refused {
        /// The image.
        reference: Box<Reference>,
        /// `its manifest`, `layer sha256:…`, …
        what: String,
        /// What was tried.
        attempt: Attempt,
    },
    /// The registry stored something else than it was sent.
    #[error("push {reference}: the registry says it has {actual}, but {expected} was sent")]
    Digest {
        /// The image.
        reference: Box<Reference>,
        /// What was sent.
        expected: Digest,
        /// What the registry says.
        actual: String,
    },
    /// A proxy or a credentials file is wrong.
    #[error("push {reference}: {reason}")]
    Settings {
        /// The image.
        reference: Box<Reference>,
        /// What is wrong.
        reason: String,
    },
    /// The store could not be read.
    #[error("push {reference}: {source}")]
    Store {
        /// The image.
        reference: Box<Reference>,
        /// What failed.
        source: StoreError,
    },
    /// The caller asked to stop.
    #[error("push {reference}: cancelled")]
    Cancelled {
        /// The image.
        reference: Box<Reference>,
    },
}

impl PushError {
    /// Whether the caller asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled { .. })
    }

    /// What a person can do about it, when something can be said.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotHere { reference } => {
                let repository = reference.repository();
                Some(format!(
                    "`berth images ls` shows what is here; `berth images tag IMAGE {repository}` \
                     gives an image another name"
                ))
            }
            Self::Refused { reference, attempt, .. } => Some(refused(reference, attempt)),
            Self::Store { source, .. } => source.hint(),
            _ => None,
        }
    }
}

fn refused(reference: &Reference, attempt: &Attempt) -> String {
    let (registry, repository) = (reference.registry(), reference.repository());
    let quota = attempt.outcome.to_ascii_lowercase().contains("quota");
    match attempt.status {
        _ if quota => {
            format!("your quota at {registry} is used up: delete images there, or have it raised")
        }
        Some(401) => format!(
            "log in: an `auths` entry for {registry} in ~/.docker/config.json, of an account that \
             may write to {repository}"
        ),
        Some(403) => format!("use an account that may write to {repository} at {registry}"),
        Some(404) => format!(
            "check the name {reference}: {registry} may want the repository to be made beforehand"
        ),
        Some(405 | 415) => format!("{registry} does not take pushes of this kind"),
        Some(413) => format!(
            "{registry}, or a proxy before it, limits the size of a request: have the limit \
             raised, push in pieces (`--chunk-size`), or make the layer smaller"
        ),
        Some(429) => format!("{registry} limits how often it answers: wait and push again"),
        Some(507) => format!("the disk of {registry} is full"),
        Some(_) => format!("see the log of {registry}"),
        None => format!("check that {registry} runs, the network and HTTPS_PROXY"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_says_what_to_do() {
        let hint = |status, outcome: &str| {
            let reference = Box::new("r.example/a/b:1".parse().unwrap());
            let (role, url) = ("registry", String::new());
            let attempt = Attempt { role, url, outcome: outcome.to_owned(), status };
            let what = "its manifest".to_owned();
            PushError::Refused { reference, what, attempt }.hint().unwrap()
        };
        assert!(hint(Some(401), "").contains("log in"));
        assert!(hint(Some(403), "").contains("may write to a/b"));
        assert!(hint(Some(403), "403 Forbidden (Quota exceeded)").contains("quota"));
        assert!(hint(Some(413), "").contains("--chunk-size"));
        assert!(hint(None, "connection refused").contains("r.example runs"));
    }
}
