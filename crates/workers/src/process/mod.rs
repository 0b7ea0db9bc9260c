//! One Worker's workerd process over its life: deployed, supervised, replaced, stopped.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};

use crate::config::{CONTROL_SOCKET, FileError, private_dir};
use crate::cron::CronError;
use crate::event::Event;
use crate::log::Events;
use crate::spec::WorkerSpec;
use supervisor::{Command, Published, Supervisor};

mod child;
mod control;
mod launch;
mod supervisor;

pub(crate) use control::scheduled;
pub(crate) use supervisor::Serving;

/// Events that wait for a slow reader before they are dropped and counted.
const EVENTS: usize = 4096;

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
    /// The file that keeps when cron triggers last ran: those that are missed while there is no
    /// process are made up for, once. Without it they are not.
    pub cron_runs: Option<PathBuf>,
}

/// Why there is no host.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Sockets in the folder would have names that the kernel refuses.
    #[error("the path {} is {} bytes too long for unix sockets", path.display(), excess)]
    PathTooLong {
        /// The run folder.
        path: PathBuf,
        /// By how much.
        excess: usize,
    },
    /// The folder cannot be made or emptied.
    #[error(transparent)]
    Folder(#[from] FileError),
}

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A cron trigger is not an expression.
    #[error(transparent)]
    Cron(CronError),
    /// Files for the process cannot be made.
    #[error(transparent)]
    File(#[from] FileError),
    /// The socket for tail events cannot be made.
    #[error("could not listen for tail events")]
    Socket(#[source] std::io::Error),
    /// There is no such program, or it is for another machine.
    #[error("could not run {}", workerd.display())]
    Spawn {
        /// The binary.
        workerd: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// workerd ended before it served: most often the Worker's code does not load.
    #[error("workerd ended with {status}{}", indented(output))]
    Exited {
        /// `exit code 1` or `signal 9`, in words.
        status: String,
        /// What it said: `Uncaught SyntaxError: …`, places mapped to the sources.
        output: Vec<String>,
    },
    /// What had to be done before it was not done: [`Between::forth`] says why.
    #[error("{0}")]
    NotReady(String),
    /// workerd did not listen in time.
    #[error("workerd did not listen within {} s", after.as_secs())]
    Timeout {
        /// The time it had.
        after: Duration,
    },
}

fn indented(lines: &[String]) -> String {
    lines
        .iter()
        .flat_map(|text| text.lines())
        .fold(String::new(), |text, line| text + "\n  " + line)
}

/// Why a deploy did not take effect.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The new version does not start; the one before serves again.
    #[error("the new version of the Worker does not start; the one before it serves")]
    RolledBack(#[source] StartError),
    /// The version does not start and there is none before it; requests wait for the next deploy.
    #[error("the Worker does not start")]
    NotStarted(#[source] StartError),
    /// [`WorkerProcess::stop`] was called.
    #[error("the Worker host has been stopped")]
    Stopped,
}

/// What is done while no process runs: after the old one has ended, and before the new one starts.
pub struct Between {
    /// The new version starts only if it is done; otherwise this says why not.
    pub forth: Pin<Box<dyn Future<Output = Result<(), String>> + Send>>,
    /// Undoes it, before the old version starts again in place of a new one that did not.
    pub back: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Between {
    /// Nothing is done.
    #[must_use]
    pub fn nothing() -> Self {
        Self { forth: Box::pin(std::future::ready(Ok(()))), back: Box::pin(std::future::ready(())) }
    }
}

impl fmt::Debug for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Between").finish_non_exhaustive()
    }
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
    /// workerd could not call the handler.
    #[error("scheduled() could not be called: {0}")]
    Refused(String),
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

/// A Worker's process under supervision. Cheap to clone; the process ends with [`Self::stop`],
/// with the last clone, or with this program, however that ends.
#[derive(Debug, Clone)]
pub struct WorkerProcess {
    commands: mpsc::Sender<Command>,
    upstream: watch::Receiver<Option<PathBuf>>,
    serving: watch::Receiver<Option<Serving>>,
}

impl WorkerProcess {
    /// A host with nothing deployed yet, and the events of everything that will be. Runs on the
    /// current tokio runtime.
    ///
    /// # Errors
    /// The folder cannot be made or emptied, or its path is too long.
    pub fn new(options: Options) -> Result<(Self, mpsc::Receiver<Event>), OpenError> {
        check_length(&options)?;
        empty(&options)?;
        let (events, receiver) = Events::channel(EVENTS);
        let (upstream_sender, upstream) = watch::channel(None);
        let (serving_sender, serving) = watch::channel(None);
        let (commands, queue) = mpsc::channel(16);
        let published = Published { upstream: upstream_sender, serving: serving_sender };
        tokio::spawn(Supervisor::new(options, events, published).run(queue));
        Ok((Self { commands, upstream, serving }, receiver))
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
        self.deploy_after(spec, drained, Between::nothing()).await
    }

    /// The same, with something done between the two processes. Requests wait for that as well.
    ///
    /// # Errors
    /// The new version does not start, or what is to be done before it is not done.
    pub async fn deploy_after(
        &self,
        spec: WorkerSpec,
        drained: impl Future<Output = ()> + Send + 'static,
        between: Between,
    ) -> Result<(), DeployError> {
        let (done, answer) = oneshot::channel();
        let (spec, drained) = (Box::new(spec), Box::pin(drained));
        let command = Command::Deploy { spec, drained, between, done };
        self.commands.send(command).await.map_err(|_| DeployError::Stopped)?;
        answer.await.unwrap_or(Err(DeployError::Stopped))
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
        let control = self.serving.borrow().as_ref().map(|serving| serving.control.clone());
        scheduled(&control.ok_or(ScheduledError::NotRunning)?, cron, time).await
    }

    /// Whether each event is told of as a whole ([`Event::Handled`]), from now on and by every process
    /// to come, if it is [`WorkerSpec::watchable`].
    pub async fn watch(&self, watched: bool) {
        let (done, answer) = oneshot::channel();
        // Errors mean that it has been stopped.
        if self.commands.send(Command::Watch { watched, done }).await.is_ok() {
            let _ = answer.await;
        }
    }

    /// The process ID of the workerd that serves now.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.serving.borrow().as_ref().map(|serving| serving.pid)
    }

    /// Ends the process and removes [`Options::run_dir`]: SIGTERM, on which workerd deletes its
    /// containers, and SIGKILL after [`Options::grace`]. Storage stays.
    pub async fn stop(&self) {
        let (done, answer) = oneshot::channel();
        // Errors mean that it has been stopped before.
        if self.commands.send(Command::Stop { done }).await.is_ok() {
            let _ = answer.await;
        }
    }
}

/// Longest path of a unix socket, without the final zero.
const SOCKET_PATH: usize = 107;

fn check_length(options: &Options) -> Result<(), OpenError> {
    let longest = options.run_dir.join("99999999").join(CONTROL_SOCKET);
    match longest.as_os_str().as_bytes().len().checked_sub(SOCKET_PATH) {
        Some(excess) if excess > 0 => {
            Err(OpenError::PathTooLong { path: options.run_dir.clone(), excess })
        }
        _ => Ok(()),
    }
}

/// A process that was killed leaves its folder behind.
fn empty(options: &Options) -> Result<(), FileError> {
    let dir = &options.run_dir;
    match fs_err::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(FileError::new("empty", dir, error));
        }
        _ => {}
    }
    if let Some(parent) = dir.parent() {
        fs_err::create_dir_all(parent).map_err(|error| FileError::new("make", parent, error))?;
    }
    private_dir(dir)
}
