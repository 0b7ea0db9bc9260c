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
    /// How far the command's connections reach.
    pub network: RunNetwork,
    /// What the command sees beside the layers. Mount points that have to be made for it are not in
    /// `upper` afterwards, unless the command put something there.
    pub mounts: &'a [RunMount],
    /// Whether to stop: kill the command and return.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
}

/// How far a command's connections reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RunNetwork {
    /// As an instance's: the internet, and not the host.
    #[default]
    Default,
    /// Nowhere.
    None,
    /// Wherever the host's reach.
    Host,
}

/// Something a command sees beside its layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunMount {
    /// A directory, a file or a socket of the host. Owners inside are those on disk.
    Bind {
        /// Its path on the host.
        source: PathBuf,
        /// Absolute path inside.
        target: String,
        /// Whether writes are refused.
        read_only: bool,
    },
    /// A fresh memory file system.
    Tmpfs {
        /// Absolute path inside.
        target: String,
        /// Largest size in bytes; `None` is whatever the step may use.
        size: Option<u64>,
    },
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
