//! The runtime: a launcher, a pool of parked sandboxes, and the directory they live in.

use std::io;
use std::path::PathBuf;

use crate::{
    DestroyError, EgressUnsupported, ExecError, ExitStatus, Leftover, Output, Sandbox,
    SandboxHandle, SandboxSpec,
};

/// Where and how sandboxes are made.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// Each sandbox lives in `<dir>/<id>/`. One runtime at a time may use it; the caller locks it.
    pub dir: PathBuf,
    /// Parent cgroup below each hierarchy's mount point, for example `berth/dev-1f2e`.
    pub cgroup: String,
    /// Sandboxes kept parked.
    pub parked: usize,
}

/// Makes and finds sandboxes; clones are the same one.
#[derive(Debug, Clone)]
pub struct Runtime {}

/// A sandbox that waits for its program. Dropping it removes it.
#[derive(Debug)]
pub struct Parked {}

/// Something the host lacks that sandboxes can live without.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// A limit is not enforced because its cgroup controller is missing.
    #[error("no cgroup controller `{controller}`: {reason}")]
    NoController {
        /// `cpu`, `memory` or `pids`.
        controller: &'static str,
        /// What is missing.
        reason: String,
    },
}

/// The runtime or a parked sandbox could not be made. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// A step failed.
    #[error("{step}: {source}")]
    Step {
        /// What was being done.
        step: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The process may not make namespaces.
    #[error("make namespaces: berth must run as root")]
    NotPermitted,
}

/// A sandbox could not be started; nothing of it is left. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program, its user or its working directory: see [`ExecError`].
    #[error(transparent)]
    Process(#[from] ExecError),
    /// The root file system could not be put together.
    #[error("{step}: {source}")]
    Rootfs {
        /// What was being done.
        step: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Internet was asked for and the kernel cannot do it.
    #[error(transparent)]
    Egress(#[from] EgressUnsupported),
    /// The parked sandbox ended before it was started.
    #[error("reach the sandbox's init: it has ended")]
    Ended,
}

/// A sandbox could not be adopted. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// It ended meanwhile. Its directory is still there: call
    /// [`Runtime::remove`] once the record is dealt with.
    #[error("adopt sandbox {id}: it ended with code {}", status.code)]
    Exited {
        /// The sandbox.
        id: String,
        /// How it ended.
        status: ExitStatus,
        /// What it printed that nobody had read.
        stdout: Vec<u8>,
        /// The same of standard error.
        stderr: Vec<u8>,
    },
    /// There is no trace of it.
    #[error("adopt sandbox {0}: it is gone")]
    Gone(String),
    /// Its init could not be talked to.
    #[error("{step}: {source}")]
    Step {
        /// What was being done.
        step: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl Parked {
    /// Whether internet can be had in this sandbox.
    ///
    /// # Errors
    /// The kernel cannot redirect connections.
    pub fn egress(&self) -> Result<(), EgressUnsupported> {
        Ok(())
    }
}

impl Runtime {
    /// Starts the launcher, removes what parked sandboxes of a former runtime left in the directory
    /// and begins to fill the pool.
    ///
    /// # Errors
    /// The directory or the launcher could not be made, or namespaces are not permitted.
    pub async fn open(_config: RuntimeConfig) -> Result<Self, RuntimeError> {
        std::future::pending().await
    }

    /// What the host lacks; limits that are not enforced.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &[]
    }

    /// A parked sandbox, from the pool or made now.
    ///
    /// # Errors
    /// None could be made.
    pub async fn prepare(&self) -> Result<Parked, RuntimeError> {
        std::future::pending().await
    }

    /// Runs `spec` in a parked sandbox; returns once the program was executed.
    ///
    /// # Errors
    /// The root file system could not be made or the program not be executed; nothing is left then.
    pub async fn start(
        &self,
        _parked: Parked,
        _spec: SandboxSpec,
    ) -> Result<(Sandbox, Output), StartError> {
        std::future::pending().await
    }

    /// Takes up a running sandbox that another process started.
    ///
    /// # Errors
    /// It ended meanwhile, or there is no trace of it.
    pub async fn adopt(&self, _handle: SandboxHandle) -> Result<(Sandbox, Output), AdoptError> {
        std::future::pending().await
    }

    /// Started sandboxes in the directory that this runtime has neither started nor adopted.
    ///
    /// # Errors
    /// The directory could not be read.
    pub async fn leftovers(&self) -> io::Result<Vec<Leftover>> {
        std::future::pending().await
    }

    /// Ends a sandbox that was not adopted and removes everything of it.
    ///
    /// # Errors
    /// Something could not be removed.
    pub async fn remove(&self, _handle: &SandboxHandle) -> Result<(), DestroyError> {
        std::future::pending().await
    }

    /// Ends the launcher and removes parked sandboxes. Running ones go on.
    pub async fn close(self) {}
}
