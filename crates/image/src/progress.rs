//! Progress and cancellation: what a pull or a build tells its caller while it works.
//!
//! Nothing is printed here; `cli` draws bars or lines from it.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};

/// Identifies a task; unique within a process.
pub type TaskId = u64;

/// Something that takes time and is worth a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Unique within this process.
    pub id: TaskId,
    /// What kind of work this is.
    pub kind: TaskKind,
    /// What a person should read: `sha256:1a2b3c4d5e6f` for a layer, `RUN apk add curl` for a step.
    pub label: String,
    /// Bytes to go through in all, when known.
    pub total: Option<u64>,
}

/// Kinds of tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskKind {
    /// Asking a registry for a manifest.
    Resolve,
    /// Downloading a layer or a config; advances in bytes.
    Download,
    /// Compressing a layer for its upload; advances in bytes of the plain layer.
    Compress,
    /// Uploading a layer, a config or a manifest; advances in bytes.
    Upload,
    /// Reading an archive of images; advances in bytes.
    Import,
    /// Writing an archive of images; advances in bytes.
    Export,
    /// Unpacking a layer; advances in bytes of the compressed layer.
    Unpack,
    /// Reading and hashing the build context; advances in bytes.
    Context,
    /// One step of a Dockerfile; does not advance.
    Step {
        /// The stage's name, `stage-2` if it has none; empty in a Dockerfile of one such stage.
        stage: String,
        /// Counting from 1 within the stage.
        number: usize,
        /// Number of steps of the stage.
        of: usize,
    },
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The work was done.
    Done,
    /// Nothing had to be done: the result was here already.
    Cached,
    /// The work failed; the error is returned by the call itself.
    Failed,
}

/// Which stream of a build step wrote something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Where a pull or a build reports. Several threads report at once.
pub trait Progress: Send + Sync {
    /// A task begins.
    fn begin(&self, task: &Task) {
        let _ = task;
    }

    /// `done` bytes of the task are done; may fall back when a download starts over.
    fn advance(&self, task: TaskId, done: u64) {
        let _ = (task, done);
    }

    /// The task ended.
    fn finish(&self, task: TaskId, outcome: Outcome) {
        let _ = (task, outcome);
    }

    /// A build step wrote these bytes, which need not be whole lines.
    fn output(&self, task: TaskId, stream: Stream, bytes: &[u8]) {
        let _ = (task, stream, bytes);
    }

    /// Something a person should know, without a line feed: a retry, a mirror that does not answer.
    fn log(&self, line: &str) {
        let _ = line;
    }

    /// Whether to stop. Asked often; once true, the call fails with its `Cancelled` error. What is
    /// half-made is not seen by anybody; what was downloaded of a blob stays for the next pull.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Reports to nobody and is never cancelled.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}

/// An id no other task of this process has.
pub(crate) fn next_task() -> TaskId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Reports how much was read.
pub(crate) struct Counted<'a, R> {
    inner: R,
    read: u64,
    task: TaskId,
    progress: &'a dyn Progress,
}

impl<'a, R: Read> Counted<'a, R> {
    pub(crate) fn new(inner: R, task: TaskId, progress: &'a dyn Progress) -> Self {
        Self { inner, read: 0, task, progress }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read += count as u64;
        self.progress.advance(self.task, self.read);
        Ok(count)
    }
}
