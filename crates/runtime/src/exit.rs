//! How a program ended.

use init::message::Status;
use serde::{Deserialize, Serialize};

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitStatus {
    /// The exit code; 128 + n when signal n ended the program.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether it was ended because the sandbox's memory was used up.
    pub oom: bool,
}

impl ExitStatus {
    pub(crate) fn new(status: Status, oom: bool) -> Self {
        match status {
            Status::Code(code) => Self { code, signal: None, oom },
            Status::Signal(signal) => Self { code: 128 + signal, signal: Some(signal), oom },
        }
    }

    /// Of a program that went down with its sandbox's init.
    pub(crate) fn killed(oom: bool) -> Self {
        Self::new(Status::Signal(libc::SIGKILL), oom)
    }
}
