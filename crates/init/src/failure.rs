//! Naming the step that failed.

use std::io;

use berth_init::message::{Failure, FailureKind};

/// Names what was being done when a system call failed.
pub(crate) trait Step<T> {
    /// `what` completes "failed to …".
    fn step(self, what: &str) -> Result<T, Failure>;

    /// The same with an object, put in back quotes after `what`.
    fn step_on(self, what: &str, object: &str) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, what: &str) -> Result<T, Failure> {
        self.map_err(|e| setup(what.to_owned(), &e.into()))
    }

    fn step_on(self, what: &str, object: &str) -> Result<T, Failure> {
        self.map_err(|e| setup(format!("{what} `{object}`"), &e.into()))
    }
}

fn setup(what: String, error: &io::Error) -> Failure {
    Failure { kind: FailureKind::Setup, what, errno: error.raw_os_error().unwrap_or(0) }
}
