//! A further program inside a running sandbox.

use std::io;

use crate::{ExitStatus, StreamReader, StreamWriter};

/// Which standard streams of an exec the caller wants; the others are `/dev/null`. Ignored when
/// the process has a terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExecStreams {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

/// A program started by [`Sandbox::exec`](crate::Sandbox::exec). It goes on when this is dropped.
#[derive(Debug)]
pub struct Exec {
    /// Standard input, or the terminal's.
    pub stdin: Option<StreamWriter>,
    /// Standard output, or the terminal's. Ends when every holder of the pipe is gone, which may be
    /// later than the program.
    pub stdout: Option<StreamReader>,
    /// Standard error.
    pub stderr: Option<StreamReader>,
}

impl Exec {
    /// The program's pid as the host sees it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        0
    }

    /// The program's pid as the sandbox sees it.
    #[must_use]
    pub fn inner_pid(&self) -> u32 {
        0
    }

    /// The program's end. May be awaited more than once.
    pub async fn wait(&self) -> ExitStatus {
        std::future::pending().await
    }

    /// Sends a signal to the program; succeeds when it has ended already.
    ///
    /// # Errors
    /// The number is no signal.
    pub fn signal(&self, _signal: i32) -> io::Result<()> {
        Ok(())
    }

    /// Sets the terminal's size.
    ///
    /// # Errors
    /// The program has no terminal.
    pub fn resize(&self, _columns: u16, _rows: u16) -> io::Result<()> {
        Ok(())
    }
}

/// Why a program could not be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExecFailure {
    /// There is no such file, also not in `PATH`.
    #[error("not found")]
    NotFound,
    /// The file is not executable for that user.
    #[error("permission denied")]
    PermissionDenied,
    /// The file is no program of this machine, or its interpreter (`#!`) is missing a format.
    #[error("exec format error")]
    Format,
    /// Anything else the kernel says.
    #[error("{}", io::Error::from_raw_os_error(*.0))]
    Other(i32),
}

/// A further program could not be started. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The program could not be executed.
    #[error("execute `{program}`: {reason}")]
    Exec {
        /// The first argument.
        program: String,
        /// Why.
        reason: ExecFailure,
    },
    /// The user is unknown inside.
    #[error("find user `{0}` in the image's /etc/passwd or /etc/group")]
    User(String),
    /// The working directory cannot be entered.
    #[error("enter the working directory `{path}`: {source}")]
    Cwd {
        /// The directory.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A step of preparing the process failed.
    #[error("{step}: {source}")]
    Setup {
        /// What was being done.
        step: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The sandbox ended before or meanwhile.
    #[error("reach the sandbox: it has ended")]
    Ended,
}
