//! What can fail, in the words a person needs: which image, digest, path or line, and what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::reference::Reference;
use crate::run_step::RunStepError;

/// What to do about a full disk.
const DISK_FULL: &str = "free space on that disk, or use another one for the data";

/// The store could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file operation failed; the text names the path.
    #[error("{0}")]
    Io(io::Error),
    /// The disk is full; the text names the path that did not fit.
    #[error("the disk is full: {0}")]
    DiskFull(io::Error),
    /// What was to be stored is not what its digest says.
    #[error("store {expected}: the content has digest {actual}")]
    Digest {
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// What was to be stored has another size than its descriptor says.
    #[error("store {digest}: {actual} bytes came, {expected} were announced")]
    Size {
        /// The blob's digest.
        digest: Digest,
        /// Bytes the descriptor announces.
        expected: u64,
        /// Bytes that came.
        actual: u64,
    },
    /// An image needs a blob that is not in the store.
    #[error("read {digest} of the image: it is not in the store")]
    MissingBlob {
        /// The blob's digest.
        digest: Digest,
    },
    /// A manifest, config or record cannot be understood.
    #[error("read {what} {digest}: {source}")]
    Document {
        /// `manifest`, `config`, `image index`, …
        what: &'static str,
        /// The document's digest.
        digest: Digest,
        /// Where the JSON is wrong.
        source: serde_json::Error,
    },
    /// A document is valid JSON but says something impossible.
    #[error("use {what} {digest}: {reason}")]
    Invalid {
        /// `manifest`, `config`, …
        what: &'static str,
        /// The document's digest.
        digest: Digest,
        /// What is impossible.
        reason: String,
    },
    /// A stored layer could not be unpacked.
    #[error("unpack layer {digest}: {source}")]
    Unpack {
        /// The layer blob's digest.
        digest: Digest,
        /// What is wrong with it.
        source: UnpackError,
    },
    /// What was to be archived has more bytes than it may.
    #[error("archive it: it has more than {} MiB", limit >> 20)]
    TooLarge {
        /// Most bytes.
        limit: u64,
    },
    /// The caller asked to stop.
    #[error("go on: cancelled")]
    Cancelled,
}

impl StoreError {
    /// Names `path` in an error of a system call.
    pub(crate) fn at(path: &Path, source: io::Error) -> Self {
        Self::from(at(path, source))
    }

    /// Whether the caller asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled | Self::Unpack { source: UnpackError::Cancelled, .. })
    }

    /// What a person can do about it, when something can be said.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::DiskFull(_) | Self::Unpack { source: UnpackError::DiskFull { .. }, .. } => {
                Some(DISK_FULL.to_owned())
            }
            Self::Unpack { source: UnpackError::NotRoot, .. } => Some("run as root".to_owned()),
            _ => None,
        }
    }
}

impl From<io::Error> for StoreError {
    /// For errors that name their path themselves, as those of `fs_err` do.
    fn from(source: io::Error) -> Self {
        if is_disk_full(&source) { Self::DiskFull(source) } else { Self::Io(source) }
    }
}

/// The same error, with the path in its text.
pub(crate) fn at(path: &Path, source: io::Error) -> io::Error {
    io::Error::new(source.kind(), format!("{}: {source}", path.display()))
}

/// Whether the error says that a disk, or a quota on it, is full.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A layer (or an archive for `ADD`) could not be unpacked. Paths are the archive's own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The archive is cut off or not what it claims to be.
    #[error("the archive is damaged: {source}")]
    Archive {
        /// What the reader says.
        source: io::Error,
    },
    /// An entry's path leaves the root, or cannot be a path.
    #[error("entry \"{path}\" is refused: {reason}")]
    Path {
        /// The entry's path as written.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An entry links to something that is not in the archive, or outside of it.
    #[error("hard link \"{path}\" is refused: its target \"{target}\" is not a file in this layer")]
    HardLink {
        /// The entry's path.
        path: String,
        /// Where it points.
        target: String,
    },
    /// An entry is a device node. Instances get their devices from the runtime alone.
    #[error("entry \"{path}\" is refused: it is a {kind} device ({major}:{minor})")]
    Device {
        /// The entry's path.
        path: String,
        /// `block` or `character`.
        kind: &'static str,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// An entry is of a kind this program does not know.
    #[error("entry \"{path}\" is refused: {kind} is not supported")]
    Unsupported {
        /// The entry's path.
        path: String,
        /// The kind of entry.
        kind: String,
    },
    /// The layer is larger than allowed.
    #[error("the layer is refused: it unpacks to more than {limit} {unit}")]
    TooLarge {
        /// The bound.
        limit: u64,
        /// `bytes` or `entries`.
        unit: &'static str,
    },
    /// The uncompressed content is not what the image's config says.
    #[error("the layer unpacks to {actual}, the image's config says {expected}")]
    DiffId {
        /// The `diff_id` in the config.
        expected: Digest,
        /// The digest of the content.
        actual: Digest,
    },
    /// The disk is full. Nothing of the layer is left behind.
    #[error("the disk is full: \"{entry}\" does not fit in {}", path.display())]
    DiskFull {
        /// The entry that did not fit.
        entry: String,
        /// The directory that was unpacked to.
        path: PathBuf,
    },
    /// Ownership and device nodes for whiteouts need root.
    #[error("unpacking layers needs root: owners and whiteouts cannot be made without it")]
    NotRoot,
    /// The layer's media type says a compression that is not known.
    #[error("compression of media type \"{media_type}\" is not supported")]
    Compression {
        /// The media type.
        media_type: String,
    },
    /// An entry could not be written.
    #[error("write entry \"{entry}\" in {}: {source}", path.display())]
    Write {
        /// The entry's path.
        entry: String,
        /// The directory that was unpacked to.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// One place that was asked for an image, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// `mirror` or `registry`.
    pub role: &'static str,
    /// The URL that was asked, without credentials.
    pub url: String,
    /// What came of it: `404 Not Found`, `connection refused`, `401 Unauthorized: …`.
    pub outcome: String,
    /// HTTP status, when there was an answer.
    pub status: Option<u16>,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.role, self.url, self.outcome)
    }
}

/// An image could not be pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// No mirror and no registry gave the manifest, the config or a layer.
    #[error("pull {reference}: {what} could not be had{}", list(attempts))]
    Unavailable {
        /// The image.
        reference: Box<Reference>,
        /// `its manifest`, `layer sha256:…`, …
        what: String,
        /// Everything that was tried, in order.
        attempts: Vec<Attempt>,
    },
    /// The image exists, but not for this platform.
    #[error("pull {reference}: it has no image for {wanted}, only for {}", available.join(", "))]
    Platform {
        /// The image.
        reference: Box<Reference>,
        /// The platform that was asked for.
        wanted: String,
        /// The platforms it has.
        available: Vec<String>,
    },
    /// What the registry sent is no image this program can run.
    #[error("pull {reference}: {reason}")]
    Unsupported {
        /// The image.
        reference: Box<Reference>,
        /// What is not supported.
        reason: String,
    },
    /// A mirror's URL, a proxy or a credentials file is wrong.
    #[error("pull {reference}: {reason}")]
    Settings {
        /// The image.
        reference: Box<Reference>,
        /// What is wrong.
        reason: String,
    },
    /// The store could not take it.
    #[error("pull {reference}: {source}")]
    Store {
        /// The image.
        reference: Box<Reference>,
        /// What failed.
        source: StoreError,
    },
    /// The caller asked to stop.
    #[error("pull {reference}: cancelled")]
    Cancelled {
        /// The image.
        reference: Box<Reference>,
    },
}

fn list(attempts: &[Attempt]) -> String {
    attempts.iter().map(|attempt| format!("\n  tried {attempt}")).collect()
}

impl PullError {
    /// Whether the caller asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled { .. })
    }

    /// What a person can do about it, when something can be said.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unavailable { reference, attempts, .. } => Some(unavailable(reference, attempts)),
            Self::Store { source, .. } => source.hint(),
            Self::Platform { .. } => {
                Some("choose a tag that is built for this platform".to_owned())
            }
            _ => None,
        }
    }
}

fn unavailable(reference: &Reference, attempts: &[Attempt]) -> String {
    let status = |wanted: &[u16]| {
        attempts.iter().any(|attempt| attempt.status.is_some_and(|s| wanted.contains(&s)))
    };
    let registry = reference.registry();
    if status(&[401, 403]) {
        format!(
            "check the name {reference}; if it is private, log in (an `auths` entry for \
             {registry} in ~/.docker/config.json)"
        )
    } else if status(&[404]) {
        format!("check that {reference} exists and is spelled right")
    } else if status(&[429]) {
        format!("{registry} limits how often it answers: wait, log in, or configure a mirror")
    } else {
        format!("check the network and HTTPS_PROXY, or configure a mirror for {registry}")
    }
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
    /// Building needs root: owners and overlay mounts cannot be made without it.
    #[error("build an image: it needs root, for file owners and overlay mounts")]
    NotRoot,
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

/// What went wrong at one instruction of a Dockerfile. Displays as `file:line: problem`, then the
/// instruction as written.
#[derive(Debug)]
pub struct StepError {
    /// The Dockerfile.
    pub file: PathBuf,
    /// Line of the instruction, from 1.
    pub line: usize,
    /// The instruction's first line as written; empty when the file has no such line.
    pub text: String,
    /// What went wrong.
    pub problem: StepProblem,
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.problem)?;
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
    Store(StoreError),
}
