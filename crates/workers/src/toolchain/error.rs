//! What can go wrong between npm and two programs that run, and what to do about it.

use std::io;
use std::path::PathBuf;

/// Why there is no toolchain.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// There is no npm.
    #[error("could not run {} to install workerd and esbuild", npm.display())]
    NoNpm {
        /// The command that was tried.
        npm: PathBuf,
        /// Why it did not start.
        #[source]
        source: io::Error,
    },
    /// npm could not reach its registry.
    #[error("npm could not reach its registry: {message}")]
    Unreachable {
        /// npm's own words.
        message: String,
    },
    /// A package is not what the lock file says.
    #[error("npm got a package with the wrong hash: {message}")]
    WrongHash {
        /// npm's own words.
        message: String,
    },
    /// npm failed in another way.
    #[error("npm ended with {status}: {message}")]
    Npm {
        /// `exit status: 1`.
        status: String,
        /// npm's own words.
        message: String,
    },
    /// A program is not there or does not run.
    #[error("could not run {}", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An installed program is not the pinned one.
    #[error("{} says it is \"{found}\", not \"{expected}\"", program.display())]
    WrongVersion {
        /// The program.
        program: PathBuf,
        /// What it should say.
        expected: &'static str,
        /// What it says.
        found: String,
    },
    /// There are no packages for this processor.
    #[error("workerd is not available for {architecture}")]
    NoPackages {
        /// As Rust names it.
        architecture: &'static str,
    },
    /// The cache folder cannot be used.
    #[error("could not {action} {}", path.display())]
    Cache {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl ToolchainError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoNpm { .. } => Some(
                "install Node.js and npm, or set BERTH_WORKERD and BERTH_ESBUILD to the two programs",
            ),
            Self::Unreachable { .. } => Some(
                "check the network and `npm config get registry`, or set BERTH_WORKERD and \
                 BERTH_ESBUILD to the two programs",
            ),
            Self::WrongHash { .. } => Some(
                "the registry or a proxy changed the package; `npm cache clean --force` helps if it was the cache",
            ),
            Self::Program { .. } => Some(
                "workerd needs glibc (musl will not do); a program given by BERTH_WORKERD or \
                 BERTH_ESBUILD must exist and be executable",
            ),
            Self::NoPackages { .. } => Some("Berth needs x86-64 or arm64"),
            Self::WrongVersion { .. } => {
                Some("remove the folder it is in, so that it is installed anew")
            }
            Self::Npm { .. } | Self::Cache { .. } => None,
        }
    }

    pub(super) fn cache(action: &'static str, path: &std::path::Path, source: io::Error) -> Self {
        Self::Cache { action, path: path.to_owned(), source }
    }
}
