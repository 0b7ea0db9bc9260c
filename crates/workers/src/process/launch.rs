//! One start of workerd: files, sockets, process, readiness.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::child::{Child, Pipes};
use super::{Options, StartError};
use crate::config::{
    self, AssetTexts, CONFIG_FILE, CONTROL_SOCKET, HTTP_SOCKET, TAIL_SOCKET, WATCH_SOCKET,
};
use crate::log::{Events, Pump, PumpEnd, SourceMaps, TailSink};
use crate::spec::WorkerSpec;

/// How long workerd may take until it serves; it needs about 40 ms, most of it compiling code.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// A process that serves.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) since: Instant,
    folder: Folder,
    pump: JoinHandle<PumpEnd>,
    /// Ends with the process.
    _tail: Option<TailSink>,
}

/// A folder that is removed when dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs_err::remove_dir_all(&self.0) {
            tracing::debug!(%error, "run folder");
        }
    }
}

impl Running {
    /// Starts workerd in the new folder `name` of the run folder; returns once it listens.
    pub(super) async fn start(
        options: &Options,
        name: &str,
        spec: &WorkerSpec,
        events: &Events,
    ) -> Result<Self, StartError> {
        let since = Instant::now();
        let folder = prepare(&options.run_dir.join(name), spec)?;
        let attribute = config::attributes_logs(spec);
        let tail = attribute.then(|| TailSink::bind(&folder.0.join(TAIL_SOCKET)));
        let (tail, tails) = tail.transpose().map_err(StartError::Socket)?.unzip();
        let (mut child, Pipes { stdout, stderr }) = Child::spawn(command(options, &folder.0))
            .await
            .map_err(|source| StartError::Spawn { workerd: options.workerd.clone(), source })?;
        let (listens, ready) = oneshot::channel();
        let pump = Pump::new(
            events.clone(),
            SourceMaps::new(&spec.modules),
            attribute,
            config::sockets_of(spec),
            listens,
        );
        let pump = tokio::spawn(pump.run(stdout, stderr, tails));
        let failure = tokio::select! {
            // The sender goes with the pump, so an error means that the process ends.
            Ok(()) = ready => None,
            status = child.exited() => Some(status),
            () = tokio::time::sleep(START_DEADLINE) => {
                child.signal(Signal::KILL);
                return Err(StartError::Timeout { after: START_DEADLINE });
            }
        };
        match failure {
            None => Ok(Self { child, since, folder, pump, _tail: tail }),
            Some(status) => {
                let output = pump.await.unwrap_or_default().complaints;
                Err(StartError::Exited { status: words(status), output })
            }
        }
    }

    /// Serves the Worker.
    pub(super) fn http(&self) -> PathBuf {
        self.folder.0.join(HTTP_SOCKET)
    }

    /// Runs `scheduled()`.
    pub(super) fn control(&self) -> PathBuf {
        self.folder.0.join(CONTROL_SOCKET)
    }

    /// Takes whether somebody watches, if the Worker is watchable.
    pub(super) fn watch(&self) -> PathBuf {
        self.folder.0.join(WATCH_SOCKET)
    }

    /// Waits until the process has ended by itself; `exit code 1` or `signal 9`, in words.
    pub(super) async fn ended(&mut self) -> String {
        words(self.child.exited().await)
    }

    /// Ends the process at once and waits until nothing of it is left.
    pub(super) async fn kill(mut self) {
        self.child.signal(Signal::KILL);
        self.child.exited().await;
        self.clean_up().await;
    }

    /// Asks the process to end, makes it after `grace`, and waits until nothing of it is left.
    pub(super) async fn terminate(mut self, grace: Duration) {
        self.child.signal(Signal::TERM);
        if tokio::time::timeout(grace, self.child.exited()).await.is_err() {
            self.child.signal(Signal::KILL);
            self.child.exited().await;
        }
        self.clean_up().await;
    }

    /// After the end: the last lines become events before the next process's first ones.
    pub(super) async fn clean_up(self) {
        let Self { pump, folder, .. } = self;
        // A child of workerd that keeps a pipe open must not hold us up.
        let _ = tokio::time::timeout(Duration::from_secs(1), pump).await;
        drop(folder);
    }
}

fn prepare(folder: &Path, spec: &WorkerSpec) -> Result<Folder, StartError> {
    let texts = spec.assets.as_ref().map(AssetTexts::read).transpose()?.unwrap_or_default();
    fs_err::create_dir_all(&spec.objects)
        .map_err(|source| config::FileError::new("make", &spec.objects, source))?;
    let made = Folder(folder.to_owned());
    config::write(folder, &config::render(spec, &texts))?;
    Ok(made)
}

/// The place to give each Worker a user and a cgroup of its own, once there is more than one.
fn command(options: &Options, folder: &Path) -> Command {
    let mut command = Command::new(&options.workerd);
    // `--experimental`: assets, tails and the control entry. `--verbose`: stacks of exceptions.
    command.args(["serve", "--experimental", "--verbose", "--control-fd=1", CONFIG_FILE]);
    command.current_dir(folder);
    // Nothing of our own environment is the Worker's business; its clock is UTC, as everywhere.
    command.env_clear().env("TZ", "UTC");
    command
}

fn words(status: Option<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status.map(|status| (status.code(), status.signal())) {
        Some((Some(code), _)) => format!("exit code {code}"),
        Some((None, Some(signal))) => format!("signal {signal}"),
        _ => "an unknown status".to_owned(),
    }
}
