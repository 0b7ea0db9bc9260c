//! `strace` on a running program: its writes to a database, one at a time.

use crate::engine::{Background, Tool};
use crate::process::Process;
use crate::project::Project;
use crate::wait::PATIENCE;

/// SQLite makes its log durable with each transaction: a line of strace's, which has this in it.
const WRITE: &str = "-wal>";

/// A program that waits a tenth of a second before each write to a database is durable, so that it can be
/// killed between two of them.
#[derive(Debug)]
pub struct SlowWrites(Background);

impl SlowWrites {
    /// Begins with a running program, until this is dropped or the program ends.
    ///
    /// # Panics
    /// strace (Debian: strace) can't be run or may not trace.
    #[must_use]
    pub fn of(process: &Process, project: &Project) -> Self {
        let pid = process.pid.to_string();
        let args = ["-f", "-y", "-e", "trace=fsync,fdatasync", "-e", "signal=none", "-e"];
        let args = [&args[..], &["inject=fsync,fdatasync:delay_enter=100ms", "-p", &pid]].concat();
        let strace = Tool::program("strace".as_ref(), project, args).start();
        // It says so once it has all threads.
        let _ = strace.wait_for_line("attached", PATIENCE);
        Self(strace)
    }

    /// How many there have been, the one under way included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lines_with(WRITE).len()
    }
}
