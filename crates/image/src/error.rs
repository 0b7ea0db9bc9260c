//! What can fail, in the words a person needs: which image, digest, path or line, and what to do.

mod archive;
mod pull;
mod push;
mod store;
mod unpack;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::run_step::RunStepError;

pub use archive::ArchiveError;
pub use pull::{Attempt, PullError};
pub use push::PushError;
pub use store::StoreError;
pub use unpack::UnpackError;

/// What to do about a full disk.
const DISK_FULL: &str = "free space on that disk, or use another one for the data";

/// The same error, with the path in its text.
pub(crate) fn at(path: &Path, source: io::Error) -> io::Error {
    io::Error::new(source.kind(), format!("{}: {source}", path.display()))
}

/// Whether the error says that a disk, or a quota on it, is full.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// An image could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The Dockerfile, the context or `.dockerignore` cannot be read.
    #[error("read the {what}: {source}")]
    Read {
        /// `Dockerfile`, `build context` or `.dockerignore`.
        what: &'static str,
        /// What the system says; names the path.
        source: io::Error,
    },
    /// A step failed, or the Dockerfile is wrong at a line.
    #[error(transparent)]
    Step(Box<StepError>),
    /// `target` names no stage.
    #[error("find stage \"{target}\": {} has {}", file.display(), stages(known))]
    UnknownTarget {
        /// The stage that was asked for.
        target: String,
        /// The Dockerfile.
        file: PathBuf,
        /// The stages that have names.
        known: Vec<String>,
    },
    /// The Dockerfile's `# check=error=true` makes its warnings errors.
    #[error("build the image: {} has warnings, and its `# check=` makes them errors", file.display())]
    Warnings {
        /// The Dockerfile.
        file: PathBuf,
    },
    /// Building needs root: owners and overlay mounts cannot be made without it.
    #[error("build an image: it needs root, for file owners and overlay mounts")]
    NotRoot,
    /// The image is built and named, and its cache could not be pushed.
    #[error("push the build cache")]
    CacheExport(#[source] Box<PushError>),
    /// The store could not take the result.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The caller asked to stop.
    #[error("build the image: cancelled")]
    Cancelled,
}

fn stages(known: &[String]) -> String {
    if known.is_empty() {
        "no named stage".to_owned()
    } else {
        format!("the stages {}", known.join(", "))
    }
}

impl BuildError {
    /// Whether the caller asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::Cancelled => true,
            Self::Store(error) => error.is_cancelled(),
            _ => false,
        }
    }

    /// What a person can do about it, when something can be said.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotRoot => Some("run as root".to_owned()),
            Self::Store(error) => error.hint(),
            Self::CacheExport(error) => error.hint(),
            Self::Step(step) => match &step.problem {
                StepProblem::Pull(error) => error.hint(),
                StepProblem::Store(error) => error.hint(),
                StepProblem::Io(error) if is_disk_full(error) => Some(DISK_FULL.to_owned()),
                StepProblem::Unpack { source: UnpackError::DiskFull { .. }, .. } => {
                    Some(DISK_FULL.to_owned())
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// What went wrong at one instruction of a Dockerfile. Displays as `file:line:column: problem`, then the
/// instruction as written.
#[derive(Debug)]
pub struct StepError {
    /// The Dockerfile.
    pub file: PathBuf,
    /// Line of the instruction, from 1.
    pub line: usize,
    /// Character in the line, from 1.
    pub column: usize,
    /// The instruction's first line as written; empty when the file has no such line.
    pub text: String,
    /// What went wrong.
    pub problem: StepProblem,
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, problem, .. } = self;
        write!(f, "{}:{line}:{column}: {problem}", file.display())?;
        if !self.text.is_empty() {
            write!(f, "\n{:>5} | {}", self.line, self.text)?;
        }
        if let StepProblem::Exit { output, .. } = &self.problem
            && !output.is_empty()
        {
            write!(f, "\nlast lines of its output:")?;
            for line in output {
                write!(f, "\n      | {line}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for StepError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            StepProblem::Runner(source) => Some(&**source),
            _ => None,
        }
    }
}

/// What went wrong at an instruction.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepProblem {
    /// The instruction cannot be understood, or says something impossible.
    #[error("{0}")]
    Invalid(String),
    /// The instruction is right, but not supported here.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// A source of `COPY` or `ADD` matches nothing.
    #[error("{source_path} is not in {place}")]
    SourceMissing {
        /// The source as written.
        source_path: String,
        /// `the build context /path`, `stage "build"`, …
        place: String,
    },
    /// A file operation failed; the text names the path.
    #[error("{}{}", if is_disk_full(.0) { "the disk is full: " } else { "" }, .0)]
    Io(io::Error),
    /// The command of a `RUN` ended with a code that is not zero.
    #[error("the command ended with exit code {code}")]
    Exit {
        /// The exit code; 128 + n for signal n.
        code: i32,
        /// The last lines it wrote, standard output and error together.
        output: Vec<String>,
    },
    /// The command of a `RUN` could not be run at all.
    #[error("the command could not be run: {0}")]
    Runner(RunStepError),
    /// A base image could not be had.
    #[error("failed to {0}")]
    Pull(Box<PullError>),
    /// What `ADD` names elsewhere could not be had.
    #[error("{0}")]
    Remote(String),
    /// An archive of `ADD` could not be unpacked.
    #[error("{path} could not be unpacked: {source}")]
    Unpack {
        /// The archive.
        path: String,
        /// What is wrong with it.
        source: UnpackError,
    },
    /// The store could not take the step's layer.
    #[error("failed to {0}")]
    Store(#[from] StoreError),
}
