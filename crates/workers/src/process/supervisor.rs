//! The task that owns the process: it alone starts, replaces, restarts and ends it.

use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::control::watch;
use super::launch::Running;
use super::{Between, DeployError, Options, StartError};
use crate::cron::{self, Runs, Schedule};
use crate::event::Event;
use crate::log::Events;
use crate::spec::WorkerSpec;

/// First and longest pause before a restart.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A process that ran this long was healthy: the next pause is the first again.
const HEALTHY: Duration = Duration::from_secs(10);

/// Resolves when nothing is in flight.
pub(super) type Drained = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What [`super::WorkerProcess`] asks for.
pub(super) enum Command {
    Deploy {
        spec: Box<WorkerSpec>,
        drained: Drained,
        between: Between,
        done: oneshot::Sender<Result<(), DeployError>>,
    },
    Watch {
        watched: bool,
        done: oneshot::Sender<()>,
    },
    Stop {
        done: oneshot::Sender<()>,
    },
}

/// What others need to know of the process that serves.
#[derive(Debug, Clone)]
pub(crate) struct Serving {
    pub(crate) pid: u32,
    pub(crate) control: PathBuf,
}

/// Where the supervisor tells what serves.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) upstream: watch::Sender<Option<PathBuf>>,
    pub(super) serving: watch::Sender<Option<Serving>>,
}

pub(super) struct Supervisor {
    options: Options,
    events: Events,
    published: Published,
    /// What runs, or should.
    current: Option<WorkerSpec>,
    running: Option<Running>,
    /// When to start again after a crash.
    restart: Option<Instant>,
    pause: Duration,
    starts: u64,
    cron: Option<AbortHandle>,
    cron_runs: Runs,
    /// Whether somebody watches.
    watched: bool,
}

/// How a process ended that was sent SIGKILL.
const KILLED: &str = "signal 9";

impl Supervisor {
    pub(super) fn new(options: Options, events: Events, published: Published) -> Self {
        Self {
            cron_runs: Runs::of(options.cron_runs.clone()),
            options,
            events,
            published,
            current: None,
            running: None,
            restart: None,
            pause: PAUSES.0,
            starts: 0,
            cron: None,
            watched: false,
        }
    }

    /// Serves commands until [`Command::Stop`] or until nobody can send one.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let restart = self.restart;
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Deploy { spec, drained, between, done }) => {
                        // The one who asked may not care for the answer.
                        let _ = done.send(self.deploy(*spec, drained, between).await);
                    }
                    Some(Command::Watch { watched, done }) => {
                        self.watched = watched;
                        self.tell_watched().await;
                        let _ = done.send(());
                    }
                    Some(Command::Stop { done }) => {
                        self.stop().await;
                        let _ = done.send(());
                        return;
                    }
                    None => return self.stop().await,
                },
                status = ended(&mut self.running), if self.running.is_some() => {
                    self.crashed(status).await;
                }
                () = at(restart), if restart.is_some() => self.restart().await,
            }
        }
    }

    async fn deploy(
        &mut self,
        spec: WorkerSpec,
        drained: Drained,
        Between { forth, back }: Between,
    ) -> Result<(), DeployError> {
        let schedules = schedules(&spec).map_err(DeployError::NotStarted)?;
        self.unpublish();
        if let Some(running) = self.running.take() {
            // Slow requests do not hold up a deploy for longer than this.
            let _ = tokio::time::timeout(self.options.grace, drained).await;
            running.kill().await;
        }
        self.pause = PAUSES.0;
        self.restart = None;
        let started = match forth.await {
            Ok(()) => self.start(&spec).await,
            Err(reason) => Err(StartError::NotReady(reason)),
        };
        match started {
            Ok(()) => {
                self.current = Some(spec);
                self.schedule(schedules);
                Ok(())
            }
            Err(error) => {
                back.await;
                self.roll_back(error).await
            }
        }
    }

    /// After a version that does not start: the one before it, if it still does.
    async fn roll_back(&mut self, error: StartError) -> Result<(), DeployError> {
        let Some(previous) = self.current.take() else {
            return Err(DeployError::NotStarted(error));
        };
        let started = self.start(&previous).await;
        let schedules = schedules(&previous);
        self.current = Some(previous);
        match (started, schedules) {
            (Ok(()), Ok(schedules)) => {
                self.schedule(schedules);
                Err(DeployError::RolledBack(error))
            }
            _ => Err(DeployError::NotStarted(error)),
        }
    }

    async fn start(&mut self, spec: &WorkerSpec) -> Result<(), StartError> {
        self.starts += 1;
        let name = self.starts.to_string();
        let began = Instant::now();
        let running = match Running::start(&self.options, &name, spec, &self.events).await {
            // Killed from outside, not by a fault of the version: it gets another chance.
            Err(StartError::Exited { status, .. }) if status == KILLED => {
                Running::start(&self.options, &name, spec, &self.events).await?
            }
            started => started?,
        };
        let pid = running.child.pid();
        self.running = Some(running);
        // Before it serves: whoever watches misses no event.
        if self.watched && spec.watchable {
            self.tell_watched().await;
        }
        let Some(running) = &self.running else { return Ok(()) };
        self.events.send(Event::Started { pid, took: began.elapsed() });
        self.published.serving.send_replace(Some(Serving { pid, control: running.control() }));
        self.published.upstream.send_replace(Some(running.http()));
        Ok(())
    }

    /// A process that does not take it has ended, or is not watchable.
    async fn tell_watched(&self) {
        let Some(running) = &self.running else { return };
        if let Err(error) = watch(&running.watch(), self.watched).await {
            tracing::debug!(%error, "watch");
        }
    }

    /// From now on requests wait.
    fn unpublish(&mut self) {
        self.published.upstream.send_replace(None);
        self.published.serving.send_replace(None);
    }

    async fn crashed(&mut self, status: String) {
        self.unpublish();
        if let Some(running) = self.running.take() {
            if running.since.elapsed() >= HEALTHY {
                self.pause = PAUSES.0;
            }
            running.clean_up().await;
        }
        self.restart_later(status);
    }

    fn restart_later(&mut self, status: String) {
        self.events.send(Event::Crashed { status, restart_in: self.pause });
        self.restart = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSES.1);
    }

    async fn restart(&mut self) {
        self.restart = None;
        let Some(spec) = self.current.take() else { return };
        let started = self.start(&spec).await;
        self.current = Some(spec);
        if let Err(error) = started {
            self.restart_later(error.to_string());
        }
    }

    fn schedule(&mut self, schedules: Vec<Schedule>) {
        let serving = self.published.serving.subscribe();
        let (runs, events) = (self.cron_runs.clone(), self.events.clone());
        let task = (!schedules.is_empty())
            .then(|| tokio::spawn(cron::run(schedules, runs, serving, events)).abort_handle());
        if let Some(previous) = std::mem::replace(&mut self.cron, task) {
            previous.abort();
        }
    }

    async fn stop(&mut self) {
        self.schedule(Vec::new());
        self.unpublish();
        if let Some(running) = self.running.take() {
            running.terminate(self.options.grace).await;
        }
        if let Err(error) = fs_err::remove_dir_all(&self.options.run_dir) {
            tracing::debug!(%error, "run folder");
        }
    }
}

fn schedules(spec: &WorkerSpec) -> Result<Vec<Schedule>, StartError> {
    spec.crons.iter().map(|cron| Schedule::parse(cron).map_err(StartError::Cron)).collect()
}

async fn ended(running: &mut Option<Running>) -> String {
    match running {
        Some(running) => running.ended().await,
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    if let Some(time) = time {
        tokio::time::sleep_until(time.into()).await;
    }
}
