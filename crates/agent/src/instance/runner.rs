//! The task that owns one instance: takes requests and reports, asks the state machine, does what it
//! says, publishes and records what came of it. It holds no rule of its own about what may follow
//! what: those are in `model::instance`.

mod admission;
mod connections;
mod control;
mod persist;
mod sandbox;

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::ContainerName;
use model::instance::{Clock, Effect, Event, ExitStatus, Moment, Rejected, State};
use model::limits::{CAPACITY_WAIT, DETACH_WINDOW};
use runtime::{DestroyError, Output, Sandbox};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::start::{Preparation, Started};
use super::{Creation, Injection, Instance, Message, Ports, Published, Record, Request, Running};
use crate::application::{Admission, ApplicationSlot};
use crate::egress::Egress;
use crate::egress::outbound::Outbound;
use crate::event::{AgentEvent, Subject};
use crate::node::{Node, now};
use crate::output::LastLines;
use crate::timings::{Phase, Stopwatch};

/// How long a prepared sandbox waits for its `create`.
const PREPARED_FOR: Duration = Duration::from_secs(10);
/// SIGINT, SIGKILL and SIGTERM: after one of these an exit is no surprise.
const ENDING_SIGNALS: [i32; 3] = [2, 9, 15];

/// What an instance comes from.
#[derive(Debug)]
pub(crate) enum Birth {
    /// A question whether it exists: prepare a sandbox, somebody will create it.
    Asked,
    /// A `create`.
    Created(Box<Creation>),
    /// An earlier agent's record, and its sandbox.
    Adopted(Box<Record>, Sandbox, Output),
    /// It ended like this while no agent was there; its object is still to be told.
    Ended(ExitStatus),
}

/// The owner of one instance.
#[derive(Debug)]
pub(crate) struct Runner {
    node: Arc<Node>,
    application: Arc<ApplicationSlot>,
    name: ContainerName,
    subject: Subject,
    outbound: watch::Receiver<Outbound>,
    inbox: mpsc::Receiver<Message>,
    publish: watch::Sender<Published>,
    ports: Arc<Ports>,
    stopwatch: Stopwatch,
    state: State,
    generation: u64,
    /// Which state of the application's configuration it is started as.
    version: u32,
    creation: Option<Creation>,
    preparation: Option<Preparation>,
    admission: Option<Admission>,
    /// What it waits for.
    turn: Option<oneshot::Receiver<Admission>>,
    asked_to_start: Instant,
    asked_to_stop: bool,
    running: Option<Running>,
    /// Whether there is a state file although nothing runs.
    recorded: bool,
    started: Moment,
    routed: bool,
    /// Whether it has layers of its own.
    layered: bool,
    full_speed_until: Option<Instant>,
    last_lines: LastLines,
    egress: Option<Egress>,
    printed: watch::Sender<()>,
    work: JoinSet<Report>,
}

/// What work under way comes back with.
#[derive(Debug)]
enum Report {
    Started(Box<Result<Started, String>>),
    Exited(ExitStatus),
    Destroyed(Result<(), DestroyError>),
}

/// Whether the task goes on.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Continue,
    Leave,
}

impl Runner {
    /// An instance and its owner, which must be run.
    pub(crate) fn new(
        node: Arc<Node>,
        application: Arc<ApplicationSlot>,
        name: ContainerName,
        subject: Subject,
        outbound: watch::Receiver<Outbound>,
    ) -> (Instance, Self) {
        let state = State::Prepared { until: now().after(PREPARED_FOR) };
        let published =
            Published { generation: 0, state: state.clone(), version: 0, running: None };
        let (publish, follow) = watch::channel(published);
        let (send, inbox) = mpsc::channel(16);
        let ports = Arc::new(Ports::default());
        let printed = watch::Sender::default();
        let stopwatch = match node.timings {
            true => Stopwatch::begin(node.events.clone(), subject.clone()),
            false => Stopwatch::default(),
        };
        let instance = Instance {
            subject: subject.clone(),
            key: application.settings().unique_key.as_str().into(),
            inbox: send,
            published: follow,
            ports: Arc::clone(&ports),
            told: Arc::default(),
            stopwatch: stopwatch.clone(),
            printed: printed.subscribe(),
        };
        let runner = Self {
            node,
            application,
            name,
            subject,
            outbound,
            inbox,
            publish,
            ports,
            stopwatch,
            state,
            generation: 0,
            version: 0,
            creation: None,
            preparation: None,
            admission: None,
            turn: None,
            asked_to_start: Instant::now(),
            asked_to_stop: false,
            running: None,
            recorded: false,
            started: Moment(0),
            routed: false,
            layered: false,
            full_speed_until: None,
            last_lines: LastLines::default(),
            egress: None,
            printed,
            work: JoinSet::new(),
        };
        (instance, runner)
    }

    /// Gives it its beginning; to be called once, before [`Self::run`].
    pub(crate) fn born(&mut self, birth: Birth) {
        match birth {
            Birth::Asked => self.prepare(),
            Birth::Created(creation) => {
                self.prepare();
                self.create(*creation);
                self.apply_now(Event::Create);
            }
            Birth::Adopted(record, sandbox, output) => self.adopt(*record, sandbox, output),
            Birth::Ended(status) => {
                self.recorded = true;
                self.enter(State::Exited { status, cleaned: true });
            }
        }
    }

    /// Looks after the instance until it is removed or left.
    pub(crate) async fn run(mut self) {
        while !matches!(self.state, State::Removed { .. }) {
            let deadline = self.state.deadline().map(|at| at.since(now()));
            let full_speed = self.full_speed_until.map(tokio::time::Instant::from_std);
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(message) => if self.take(message).await == Next::Leave { return },
                    None => return,
                },
                Some(report) = self.work.join_next() => self.report(report).await,
                admission = admission::turn(self.turn.as_mut()) => self.granted(admission).await,
                () = sleep(deadline) => if deadline_is_due(&self.state) {
                    self.apply(Event::Deadline).await.ok();
                },
                () = self.ports.ready.notified(), if full_speed.is_some() => self.end_full_speed(),
                () = sleep_until(full_speed) => self.end_full_speed(),
            }
        }
    }

    async fn take(&mut self, message: Message) -> Next {
        let result = match message.request {
            Request::Leave => {
                self.persist();
                let _ = message.reply.send(Ok(()));
                return Next::Leave;
            }
            Request::Create(creation) => {
                let result = self.apply(Event::Create).await;
                if result.is_ok() {
                    self.create(*creation);
                }
                result
            }
            Request::Start => self.start().await,
            Request::Inject(injection) => self.inject(injection),
            Request::Signal(signal) => {
                self.asked_to_stop |= ENDING_SIGNALS.contains(&signal);
                self.apply(Event::Signal(signal)).await
            }
            Request::Stop(grace) => {
                self.asked_to_stop = true;
                let signal = self.stop_signal();
                self.apply(Event::Stop { signal, grace }).await
            }
            Request::Outbound => {
                self.route().await;
                self.persist();
                Ok(())
            }
            Request::Delete => self.apply(Event::Delete).await,
            Request::Detach => self.apply(Event::Detach).await,
            Request::Adopt => self.apply(Event::Adopt).await,
            Request::Told => {
                if std::mem::take(&mut self.recorded) {
                    Record::remove(&self.node.state_dir(), &self.name);
                }
                Ok(())
            }
        };
        let _ = message.reply.send(result);
        Next::Continue
    }

    async fn report(&mut self, report: Result<Report, tokio::task::JoinError>) {
        let result = match report {
            Ok(Report::Started(started)) => return self.started(*started).await,
            Ok(Report::Exited(status)) => {
                self.tell_exit(status);
                self.apply(Event::Exited(status)).await
            }
            Ok(Report::Destroyed(result)) => return self.destroyed(result).await,
            Err(error) => {
                tracing::error!(%error, "work for an instance was lost");
                self.apply(Event::StartFailed("start the sandbox: the agent failed".to_owned()))
                    .await
            }
        };
        if let Err(rejected) = result {
            tracing::debug!(state = %self.state, %rejected, "a report came too late");
        }
    }

    fn prepare(&mut self) {
        self.preparation = Some(Preparation::begin(self.node.runtime.clone()));
    }

    fn create(&mut self, creation: Creation) {
        self.stopwatch.note(Phase::Created);
        self.version = creation.application.version;
        self.creation = Some(creation);
    }

    fn inject(&mut self, injection: Injection) -> Result<(), Rejected> {
        match &mut self.creation {
            Some(creation) if self.state == State::Created => {
                creation.injections.push(injection);
                Ok(())
            }
            _ => Err(Rejected::NotRunning),
        }
    }

    /// Feeds an event to the state machine and carries out what it says.
    async fn apply(&mut self, event: Event) -> Result<(), Rejected> {
        let (next, effect) = self.state.step(event, self.clock())?;
        self.enter(next);
        self.asked_to_stop |= matches!(effect, Some(Effect::Kill | Effect::Destroy));
        match effect {
            Some(Effect::Start) => self.spawn_start(),
            Some(Effect::Signal(signal)) => self.signal(signal).await,
            Some(Effect::Kill) => self.kill().await,
            Some(Effect::Destroy) => self.spawn_destroy(),
            Some(Effect::GiveBack) => self.preparation = None,
            None => {}
        }
        Ok(())
    }

    /// An event without any effect but the state's.
    fn apply_now(&mut self, event: Event) {
        if let Ok((next, None)) = self.state.step(event, self.clock()) {
            self.enter(next);
        }
    }

    fn clock(&self) -> Clock {
        Clock {
            now: now(),
            stop_grace: self.application.settings().application.stop_grace,
            capacity_wait: CAPACITY_WAIT,
            detach_window: DETACH_WINDOW,
        }
    }

    /// Makes `next` the state, on disk first.
    fn enter(&mut self, next: State) {
        let changes = next != self.state;
        if changes {
            tracing::info!(old = %self.state, new = %next, "state");
            if let State::Refused(refusal) = next {
                self.tell_refusal(refusal);
            }
        }
        self.state = next;
        if !matches!(self.state, State::Waiting { .. }) {
            self.turn = None;
        }
        if !self.state.is_live() && !matches!(self.state, State::Removing { .. }) {
            self.admission = None;
            self.egress = None;
            self.full_speed_until = None;
        }
        // A start writes one record: what leaves the state as it is needs none.
        if changes {
            self.persist();
        }
        self.generation += 1;
        self.publish.send_replace(self.published());
    }

    fn published(&self) -> Published {
        Published {
            generation: self.generation,
            state: self.state.clone(),
            version: self.version,
            running: self.running.clone(),
        }
    }

    fn tell_exit(&self, status: ExitStatus) {
        let (expected, last_lines) = (self.asked_to_stop, self.last_lines.get());
        self.tell(|subject| AgentEvent::Exited { subject, status, expected, last_lines });
    }

    fn tell(&self, event: impl FnOnce(Subject) -> AgentEvent) {
        self.node.events.send(event(self.subject.clone()));
    }
}

fn deadline_is_due(state: &State) -> bool {
    state.deadline().is_some_and(|deadline| deadline <= now())
}

async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
