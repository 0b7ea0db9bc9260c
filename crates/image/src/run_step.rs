//! The seam to whatever runs the commands of `RUN`: the sandbox runtime, composed by `cli`.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::progress::Stream;

/// One command to run over some layers.
#[non_exhaustive]
pub struct RunRequest<'a> {
    /// Read-only lower directories, TOPMOST FIRST; never empty.
    pub layers: &'a [PathBuf],
    /// Empty directory that takes what the command writes, as overlayfs's `upperdir`. It stands
    /// alone in its parent directory, on one file system with it, so a `workdir` can be made beside
    /// it; what is beside it is removed afterwards. The mount must not use `redirect_dir` or
    /// `metacopy` (off unless the kernel's configuration turns them on): a layer stands alone.
    pub upper: &'a Path,
    /// Program and arguments; never empty. The program is looked up in the command's own `PATH`.
    pub args: &'a [String],
    /// Environment as `NAME=value`; has `PATH`.
    pub env: &'a [String],
    /// Working directory; absolute, and exists.
    pub cwd: &'a str,
    /// `""` (root), `name`, `uid`, `name:group` or `uid:gid`.
    pub user: &'a str,
    /// Whether the command may reach the network.
    pub network: bool,
    /// Whether to stop: kill the command and return.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl fmt::Debug for RunRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunRequest")
            .field("args", &self.args)
            .field("cwd", &self.cwd)
            .field("user", &self.user)
            .field("upper", &self.upper)
            .finish_non_exhaustive()
    }
}

/// Why a command could not be run at all.
pub type RunStepError = Box<dyn Error + Send + Sync>;

/// Runs the commands of `RUN`. Blocking: called from the thread that builds.
pub trait RunStep: Send + Sync {
    /// Runs one command to its end, hands over what it writes, and returns its exit code (128 + n
    /// when signal n ended it). When this returns, nothing of the command is left: no process, no
    /// mount of `request.upper`.
    ///
    /// # Errors
    /// The command could not be started, or the sandbox failed.
    fn run(
        &self,
        request: &RunRequest<'_>,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, RunStepError>;
}
