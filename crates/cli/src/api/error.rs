//! What can come of a request to the API.

use super::socket::SocketError;
use super::target::GET_A_TOKEN;
use crate::error::{CliError, Kind};

/// Cloudflare's code for a token that is none, or does not allow what was asked.
const NOT_ALLOWED: u64 = 10000;
/// Its code for a Worker that does not start.
const NOT_VALID: u64 = 10021;
/// Its code for a secret that a binding wants and nobody has put.
const NO_SECRET: u64 = 10057;
/// Its code for a change of what serves where a newer version waits.
const NEWER_WAITS: u64 = 10215;
/// Its code for a path that there is not.
const NO_ROUTE: u64 = 7003;
/// The code of a change that somebody else was faster with.
const CONFLICT: u64 = 10040;

/// What the message begins with about an instance that there is not.
const NO_INSTANCE: &str = "INSTANCE_NOT_FOUND";

/// What the message begins with about a file that an instance does not have.
const NO_FILE: &str = "FILE_NOT_FOUND";

/// A request that came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The API says no.
    #[error("{message} [code: {code}]\n{method} {path}")]
    Refused { status: u16, code: u64, message: String, method: String, path: String },
    /// Nobody answers.
    #[error("{url} cannot be reached: {reason}")]
    Unreachable { url: String, reason: String },
    /// Somebody else answers.
    #[error("{url} answers with status {status}, and not as the API does")]
    Foreign { url: String, status: u16 },
    /// There is no WebSocket to be had.
    #[error(transparent)]
    Socket(SocketError),
    /// The answer has not what it must have.
    #[error("the answer to {path} is not what it should be: {reason}")]
    Unexpected { path: String, reason: String },
}

impl ApiError {
    /// Whether what was asked for is not there.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: 404, code, .. } if *code != NO_ROUTE)
    }

    /// Whether the API says that an instance has no such file.
    pub(crate) fn is_no_file(&self) -> bool {
        matches!(self, Self::Refused { message, .. } if message.starts_with(NO_FILE))
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Refused { code: NOT_VALID, .. } => Kind::Build,
            _ => Kind::Failure,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { code: NOT_ALLOWED, .. } => Some(GET_A_TOKEN),
            Self::Refused { code: NO_SECRET, .. } => Some(
                "put the secret first: `berth secret put NAME`; or bring it with the code: `--secrets-file`",
            ),
            Self::Refused { code: NEWER_WAITS, .. } => Some(
                "`berth versions secret put` makes a version with the secret, which `berth versions deploy` \
                 lets serve",
            ),
            Self::Refused { message, .. } if message.starts_with(NO_INSTANCE) => {
                Some("`berth containers instances APPLICATION` shows which there are")
            }
            Self::Refused { code: CONFLICT, .. } => Some("run the command again"),
            Self::Unreachable { .. } => Some(
                "see whether `berth serve` runs there, and CLOUDFLARE_API_BASE_URL is its address",
            ),
            Self::Foreign { .. } | Self::Refused { code: NO_ROUTE, .. } => Some(
                "CLOUDFLARE_API_BASE_URL is to be the address of `berth serve` with /client/v4 at its end",
            ),
            _ => None,
        }
    }
}

/// "failed to {attempt}", and what to do about it.
pub(crate) fn failed(attempt: &str) -> impl Fn(ApiError) -> CliError {
    move |error| {
        let (kind, hint) = (error.kind(), error.hint());
        let error = CliError::attempt(kind, attempt, error);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}
