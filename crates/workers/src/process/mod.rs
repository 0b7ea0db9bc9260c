//! One Worker's workerd process over its life: deployed, supervised, replaced, stopped.

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};

use crate::event::Event;
use crate::spec::WorkerSpec;

/// How to run workerd.
#[derive(Debug, Clone)]
pub struct Options {
    /// The binary, from [`crate::toolchain::ensure`].
    pub workerd: PathBuf,
    /// A private folder for rendered configuration (mode 0700, files 0600: it holds secrets) and
    /// sockets. Emptied at the start, so it belongs to this process alone. At most 80 bytes long,
    /// because unix socket paths end at 107.
    pub run_dir: PathBuf,
    /// How long requests may finish before a process is replaced or stopped.
    pub grace: Duration,
}

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// workerd ended before it served: most often the Worker's code does not load.
    #[error("workerd ended with {status}{}", indented(output))]
    Exited {
        /// `exit code 1` or `signal 9`, in words.
        status: String,
        /// What it said, without its own prefixes: `Uncaught SyntaxError: …`.
        output: Vec<String>,
    },
}

fn indented(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |text, line| text + "\n  " + line)
}

/// Why a deploy did not take effect.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The new version does not start; the one before serves again.
    #[error("the new version does not start, so the one before it serves")]
    RolledBack(#[source] StartError),
    /// The version does not start and there is none before it; requests wait for the next deploy.
    #[error("the Worker does not start")]
    NotStarted(#[source] StartError),
    /// [`WorkerProcess::stop`] was called.
    #[error("the Worker host has been stopped")]
    Stopped,
}

/// Why `scheduled()` did not run.
#[derive(Debug, thiserror::Error)]
pub enum ScheduledError {
    /// No process serves at the moment.
    #[error("the Worker is not running")]
    NotRunning,
    /// The process did not answer.
    #[error("the Worker's process did not answer")]
    Io(#[source] std::io::Error),
}

/// What `scheduled()` led to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct ScheduledOutcome {
    /// `ok`, `exception`, `exceededCpu` …
    pub outcome: String,
    /// Whether the handler called `noRetry()`.
    #[serde(default, rename = "noRetry")]
    pub no_retry: bool,
}

/// A Worker's process under supervision. Cheap to clone; the process ends with [`Self::stop`] or
/// with this program, however it ends.
#[derive(Debug, Clone)]
pub struct WorkerProcess {
    upstream: watch::Receiver<Option<PathBuf>>,
}

impl WorkerProcess {
    /// A host with nothing deployed yet, and the events of everything that will be.
    ///
    /// # Errors
    /// The folder cannot be made or emptied.
    pub fn new(options: Options) -> std::io::Result<(Self, mpsc::Receiver<Event>)> {
        let _ = options;
        let (_, upstream) = watch::channel(None);
        let (_, events) = mpsc::channel(1024);
        Ok((Self { upstream }, events))
    }

    /// The socket that serves the Worker over HTTP/1.1; `None` while nothing serves. Each process
    /// has a path of its own. Hand it to the edge.
    #[must_use]
    pub fn upstream(&self) -> watch::Receiver<Option<PathBuf>> {
        self.upstream.clone()
    }

    /// Runs `spec` in place of what runs now; returns once it serves.
    ///
    /// Two processes must not share Durable Object storage, so the old one ends first: the upstream
    /// becomes `None` (the edge holds new requests), `drained` is awaited for at most
    /// [`Options::grace`] (the edge resolves it when the requests in flight are answered), the old
    /// process is killed and the new one started, which takes about 50 ms. The kill is SIGKILL: on
    /// SIGTERM workerd would first delete every container, and storage is crash-safe. Alarms in
    /// flight run again in the new process.
    ///
    /// # Errors
    /// The new version does not start.
    pub async fn deploy(
        &self,
        spec: WorkerSpec,
        drained: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), DeployError> {
        let _ = (spec, drained);
        Err(DeployError::Stopped)
    }

    /// Calls the Worker's `scheduled()` and waits for it to finish.
    ///
    /// # Errors
    /// No process serves, or it ended meanwhile. A handler that throws is an outcome.
    pub async fn scheduled(
        &self,
        cron: &str,
        time: SystemTime,
    ) -> Result<ScheduledOutcome, ScheduledError> {
        let _ = (cron, time);
        Err(ScheduledError::NotRunning)
    }

    /// The process ID of the workerd that serves now.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        None
    }

    /// Ends the process and empties [`Options::run_dir`]: SIGTERM, on which workerd deletes its
    /// containers, and SIGKILL after [`Options::grace`].
    pub async fn stop(&self) {}
}
