//! What the engine answers when something cannot be done, in Docker's words where it has some.

use http::StatusCode;
use image::{ArchiveError, BuildError, PullError, PushError, StoreError};
use model::instance::Rejected;

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The call makes no sense.
    #[error("{0}")]
    BadParameter(String),
    /// There is no such container.
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    /// There is no such image.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// Something else is not there.
    #[error("{0}")]
    NotFound(String),
    /// Something stands in the way.
    #[error("{0}")]
    Conflict(String),
    /// A registry does not let the caller in.
    #[error("{0}")]
    Unauthorized(String),
    /// It is not done here.
    #[error("{0} is not supported by Berth's container engine")]
    NotSupported(String),
    /// The image store.
    #[error("failed to {0}")]
    Store(#[from] StoreError),
    /// A pull.
    #[error("failed to {0}")]
    Pull(#[from] PullError),
    /// A push.
    #[error("failed to {0}")]
    Push(#[from] PushError),
    /// An archive of images.
    #[error("failed to {0}")]
    Archive(#[from] ArchiveError),
    /// A build.
    #[error("failed to build: {0}")]
    Build(#[from] BuildError),
    /// A build of a context that the caller sent: its paths are the caller's.
    #[error("failed to build: {text}")]
    BuildSent {
        /// What the build said.
        text: String,
        /// What it advised.
        hint: Option<String>,
    },
    /// Anything else; completes nothing.
    #[error("{0}")]
    Failed(String),
}

impl EngineError {
    /// The HTTP status it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadParameter(_) => StatusCode::BAD_REQUEST,
            Self::NoSuchContainer(_) | Self::NoSuchImage(_) | Self::NotFound(_) => {
                StatusCode::NOT_FOUND
            }
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::NotSupported(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Pull(PullError::Unavailable { attempts, .. })
                if attempts.iter().any(|attempt| attempt.status == Some(404)) =>
            {
                StatusCode::NOT_FOUND
            }
            Self::Push(PushError::NotHere { .. }) => StatusCode::NOT_FOUND,
            Self::Store(_)
            | Self::Pull(_)
            | Self::Push(_)
            | Self::Archive(_)
            | Self::Build(_)
            | Self::BuildSent { .. }
            | Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What a person can do about it, when something can be said.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Pull(error) => error.hint(),
            Self::Push(error) => error.hint(),
            Self::Archive(error) => error.hint(),
            Self::Build(error) => error.hint(),
            Self::BuildSent { hint, .. } => hint.clone(),
            _ => None,
        }
    }

    /// A blocking task was lost.
    pub(super) fn lost(error: tokio::task::JoinError) -> Self {
        Self::Failed(format!("the work was lost: {error}"))
    }
}

impl From<Rejected> for EngineError {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::NotThere => Self::NotFound(rejected.to_string()),
            Rejected::NameInUse | Rejected::AlreadyStarted | Rejected::NotRunning => {
                Self::Conflict(rejected.to_string())
            }
            Rejected::Unexpected => Self::Failed(rejected.to_string()),
        }
    }
}
