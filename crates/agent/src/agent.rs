//! The agent: opens on a directory and a runtime, takes up what still runs there, gives out engine
//! sockets, and ends by leaving everything running or nothing at all.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use image::{Image, Snapshots};
use model::instance::{ExitStatus, State};
use model::limits::SWITCH_GRACE;
use model::{DurableObjectId, InstanceId, Placement};
use runtime::{AdoptError, Runtime};
use tokio::task::JoinSet;

use crate::application::{ApplicationRuntime, ApplicationSlot, Applications, StartRate};
use crate::certificate::CertificateAuthority;
use crate::docker_api::{Api, Helpers, Volumes};
use crate::egress::Rules;
use crate::egress::policy::Network;
use crate::ended_logs::EndedLogs;
use crate::event::{AgentEvent, EventSender, Events, Stream, Subject};
use crate::exec::Execs;
use crate::instance::{Instance, Record, Request};
use crate::node::{ENDED_LOGS, LAYERS, Node};
use crate::output::add_to_log;
use crate::sidecar::PeerLookup;
use crate::slot::{Slot, Slots};
use crate::socket::{EngineSocket, SocketError};

/// What an agent is opened with.
#[derive(Debug)]
pub struct AgentConfig {
    /// State, logs and sockets are below it; the runtime's directory is another one.
    pub dir: PathBuf,
    /// The snapshots of the project, in the store that has the applications' images.
    pub snapshots: Snapshots,
    /// The applications whose instances it runs.
    pub applications: Vec<ApplicationRuntime>,
    /// Where the node stands.
    pub placement: Placement,
    /// How fast each application may start instances.
    pub start_rate: StartRate,
    /// Networks that instances with internet may reach although they are the host's or private.
    pub egress_allow: Vec<Network>,
    /// Whether each cold start is timed and told of.
    pub timings: bool,
    /// Whether the log of an instance that has ended is kept for a while; otherwise it goes with it.
    pub keep_logs: bool,
}

/// The agent could not be opened. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Its directory could not be made or read.
    #[error("open the agent's directory: {0}")]
    Directory(#[source] std::io::Error),
}

/// Instances of another version did not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("instances of another version do not end: {0}")]
pub struct NotEnded(pub usize);

/// The key of no application.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no application has the unique key \"{0}\"")]
pub struct UnknownApplication(pub String);

/// One instance in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceSummary {
    /// The application's name.
    pub application: Arc<str>,
    /// The unique key of the Durable Object namespace.
    pub namespace: String,
    /// The Durable Object that owns it.
    pub object: DurableObjectId,
    /// This run of its container.
    pub instance: InstanceId,
    /// Where it stands.
    pub state: State,
    /// [`ApplicationRuntime::version`] when it was started; 0 where that is not known.
    pub version: u32,
    /// Whether a port of it has accepted a connection, as far as this agent has seen.
    pub listens: bool,
    /// Since when its program runs, if it does.
    pub running_for: Option<Duration>,
    /// Its main program's pid as the host sees it.
    pub pid: Option<u32>,
}

/// How all instances are stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StopAll {
    /// Time between SIGTERM and SIGKILL; zero sends no SIGTERM.
    pub grace: Duration,
}

/// The node agent; clones are the same one.
#[derive(Debug, Clone)]
pub struct Agent {
    pub(crate) api: Arc<Api>,
    /// What happened while it was opened, for the first reader.
    first_events: Arc<Mutex<Option<Events>>>,
}

/// Lines told of an instance that ended unseen.
const LAST_LINES: usize = 20;
/// How long a killed instance may take to end before its stop is given up.
const KILL_PATIENCE: Duration = Duration::from_secs(30);

impl Agent {
    /// Opens the agent and takes up every instance that still runs and whose application is there
    /// with the same image (or with none yet). The rest is removed.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub async fn open(config: AgentConfig, runtime: Runtime) -> Result<Self, AgentError> {
        let applications = Applications::new(config.applications.clone(), config.start_rate);
        Self::open_with(config, applications, runtime).await
    }

    /// The same for applications that are known already.
    pub(crate) async fn open_with(
        config: AgentConfig,
        applications: Applications,
        runtime: Runtime,
    ) -> Result<Self, AgentError> {
        fs_err::create_dir_all(&config.dir).map_err(AgentError::Directory)?;
        let ended_logs = config.keep_logs.then(|| EndedLogs::open(config.dir.join(ENDED_LOGS)));
        let node = Arc::new(Node {
            runtime,
            certificate: Arc::new(CertificateAuthority::in_directory(&config.dir)),
            dir: config.dir,
            snapshots: Arc::new(config.snapshots),
            placement: config.placement,
            events: EventSender::new(),
            peers: PeerLookup::open(),
            rules: Arc::new(Rules::new(config.egress_allow)),
            timings: config.timings,
            ended_logs,
        });
        let first_events = node.events.subscribe();
        let agent = Self {
            api: Arc::new(Api {
                applications: Arc::new(applications),
                slots: Slots::new(Arc::clone(&node)),
                execs: Execs::default(),
                helpers: Helpers::default(),
                volumes: Volumes::default(),
                node,
            }),
            first_events: Arc::new(Mutex::new(Some(first_events))),
        };
        agent.take_up().await?;
        Ok(agent)
    }

    /// A new engine socket for one workerd process; `name` becomes its file's name.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn engine_socket(&self, name: &str) -> Result<EngineSocket, SocketError> {
        EngineSocket::open(&self.api.node.dir.join("run"), name, Arc::clone(&self.api))
    }

    /// What happens from now on; the first reader also gets what happened while it was opened.
    #[must_use]
    pub fn events(&self) -> Events {
        let first = self.first_events.lock().expect("no holder of this lock panics").take();
        first.unwrap_or_else(|| self.api.node.events.subscribe())
    }

    /// Every instance that is not gone, in no order.
    #[must_use]
    pub fn instances(&self) -> Vec<InstanceSummary> {
        self.api.slots.all().iter().filter_map(|slot| summary(slot)).collect()
    }

    /// Adds an application, or changes the one with its unique key; running instances stay.
    pub fn set_application(&self, application: ApplicationRuntime) {
        self.api.applications.set(application);
    }

    /// The application with that unique key, as it is configured now.
    #[must_use]
    pub fn application(&self, unique_key: &str) -> Option<ApplicationRuntime> {
        let slot = self.api.applications.by_key(unique_key)?;
        Some((*slot.settings()).clone())
    }

    /// Changes applications, or adds them, and ends every instance of theirs that is of another
    /// version: none is left when this returns, and none is started any more. Each has the grace of its
    /// new version, and [`SWITCH_GRACE`] at most. The caller has ended the workerd process that owns
    /// them before.
    ///
    /// # Errors
    /// Some have not ended.
    pub async fn switch_applications(
        &self,
        applications: Vec<ApplicationRuntime>,
    ) -> Result<(), NotEnded> {
        let mut ends = JoinSet::new();
        for application in applications {
            let (key, version) = (application.unique_key.clone(), application.version);
            let grace = application.application.stop_grace.min(SWITCH_GRACE);
            self.api.applications.switch(application);
            for slot in self.api.slots.all() {
                if slot.application.settings().unique_key == key {
                    let slots = Arc::clone(&self.api.slots);
                    ends.spawn(async move { end_another(&slots, &slot, version, grace).await });
                }
            }
        }
        match ends.join_all().await.into_iter().filter(|ended| !ended).count() {
            0 => Ok(()),
            left => Err(NotEnded(left)),
        }
    }

    /// Gives an application the images that its objects choose from; nothing happens if there is none
    /// of that key.
    pub fn set_choices(&self, unique_key: &str, choices: BTreeMap<String, Image>) {
        if let Some(application) = self.api.applications.by_key(unique_key) {
            application.set_choices(choices);
        }
    }

    /// Gives an application new images, its own and those to choose from, and stops its instances, so that the next request of each
    /// object starts a fresh one. Returns when they have ended, after `grace` at the latest.
    ///
    /// # Errors
    /// There is no such application.
    pub async fn restart_application(
        &self,
        unique_key: &str,
        image: Option<Image>,
        choices: BTreeMap<String, Image>,
        grace: Duration,
    ) -> Result<(), UnknownApplication> {
        let application = self.api.applications.by_key(unique_key);
        let application = application.ok_or_else(|| UnknownApplication(unique_key.to_owned()))?;
        application.set_images(image, choices);
        let mut stops = JoinSet::new();
        for slot in self.api.slots.all() {
            if slot.application.settings().unique_key == unique_key {
                stops.spawn(async move { stop(&slot, grace).await });
            }
        }
        stops.join_all().await;
        Ok(())
    }

    /// Stops these instances, so that the next request of each object starts a fresh one. Returns when
    /// they have ended, after `grace` at the latest; those that are gone are passed over.
    pub async fn stop_instances(&self, instances: &[InstanceId], grace: Duration) {
        let mut stops = JoinSet::new();
        for slot in self.api.slots.all() {
            let current = slot.current.get();
            if current.is_some_and(|current| instances.contains(&current.subject.instance)) {
                stops.spawn(async move { stop(&slot, grace).await });
            }
        }
        stops.join_all().await;
    }

    /// Stops and removes every instance: nothing is left of them. The caller has ended the workerd
    /// processes before, or they would start new ones.
    pub async fn shutdown(&self, how: StopAll) {
        let mut stops = JoinSet::new();
        for slot in self.api.slots.all() {
            let slots = Arc::clone(&self.api.slots);
            stops.spawn(async move {
                if how.grace > Duration::ZERO {
                    stop(&slot, how.grace).await;
                }
                if let Some(instance) = slot.current.get()
                    && let Err(error) = slots.remove(&slot, &instance).await
                {
                    tracing::error!(%error, "shutdown");
                }
            });
        }
        stops.join_all().await;
        self.api.slots.leave_all().await;
        let _ = fs_err::remove_dir_all(self.api.node.dir.join("instances"));
        let _ = fs_err::remove_dir_all(self.api.node.dir.join(LAYERS));
        let _ = fs_err::remove_dir_all(self.api.node.state_dir());
        let _ = fs_err::remove_dir(self.api.node.dir.join("run"));
        self.api.node.certificate.remove();
    }

    /// Ends the agent and leaves every instance running for the next one to take up.
    pub async fn detach(&self) {
        self.api.slots.leave_all().await;
    }

    async fn take_up(&self) -> Result<(), AgentError> {
        let directory = self.api.node.state_dir();
        let records = Record::read_all(&directory)
            .map_err(|error| AgentError::Directory(std::io::Error::other(error)))?;
        for record in records {
            let name = record.name.clone();
            if !self.adopt(record).await {
                Record::remove(&directory, &name);
            }
        }
        self.remove_leftovers().await;
        self.remove_layers();
        Ok(())
    }

    /// Layers of instances that are gone: their agent was killed.
    fn remove_layers(&self) {
        let live: Vec<String> =
            self.instances().iter().map(|summary| summary.instance.to_string()).collect();
        let Ok(folders) = fs_err::read_dir(self.api.node.dir.join(LAYERS)) else { return };
        for folder in folders.filter_map(Result::ok) {
            if !live.iter().any(|id| folder.file_name() == id.as_str()) {
                let _ = fs_err::remove_dir_all(folder.path());
            }
        }
    }

    /// Takes up one instance of a record; `false` when it is gone or not wanted.
    async fn adopt(&self, record: Record) -> bool {
        let Some(application) = self.api.applications.find_or_open(&record.name) else {
            return false;
        };
        let settings = application.settings();
        let same = |image: &Image| record.is_of(image.digest.as_str());
        let fits = record.restored || settings.image.as_ref().is_none_or(same);
        if settings.unique_key != record.application || !fits {
            return false;
        }
        if let State::Exited { status, .. } = record.state {
            self.keep_ended(&application, &record, status);
            return true;
        }
        match self.api.node.runtime.adopt(record.sandbox.clone()).await {
            Ok((sandbox, output)) => {
                let slot = self.api.slots.get(&application, &record.name);
                self.api.slots.adopt(&slot, record, sandbox, output);
                true
            }
            Err(AdoptError::Exited { status, stdout, stderr, .. }) => {
                let status = ExitStatus { code: status.code, out_of_memory: status.oom };
                self.tell_exit(&settings, &record, status, [stdout, stderr]);
                let state = State::Exited { status, cleaned: true };
                let ended = Record { state, ..record };
                if let Err(error) = ended.write(&self.api.node.state_dir()) {
                    tracing::error!(%error, "an exit would not survive a restart of the agent");
                }
                self.keep_ended(&application, &ended, status);
                true
            }
            Err(error) => {
                tracing::warn!(name = %record.name, %error, "an instance was lost");
                false
            }
        }
    }

    /// Its object, which was away too, is told when it asks.
    fn keep_ended(&self, application: &Arc<ApplicationSlot>, record: &Record, status: ExitStatus) {
        let slot = self.api.slots.get(application, &record.name);
        self.api.slots.keep_ended(&slot, record.instance, status);
    }

    /// An instance ended while no agent was there to see it.
    fn tell_exit(
        &self,
        application: &ApplicationRuntime,
        record: &Record,
        status: ExitStatus,
        output: [Vec<u8>; 2],
    ) {
        let events = &self.api.node.events;
        let subject = Subject {
            application: application.application.name.as_str().into(),
            object: record.name.object.clone(),
            instance: record.instance,
        };
        let mut lines = Vec::new();
        for (stream, bytes) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&output) {
            if self.api.node.ended_logs.is_some() && !bytes.is_empty() {
                add_to_log(&self.api.node.log_dir(record.instance), stream, bytes);
            }
            for line in String::from_utf8_lossy(bytes).lines() {
                let (subject, line) = (subject.clone(), line.to_owned());
                lines.push(line.clone());
                events.send(AgentEvent::Output { subject, stream, line });
            }
        }
        events.send(AgentEvent::Exited {
            subject,
            status,
            expected: matches!(record.state, State::Stopping { .. } | State::Killing),
            last_lines: lines.split_off(lines.len().saturating_sub(LAST_LINES)),
        });
        self.api.node.give_up_log(record.instance);
    }

    /// Sandboxes that no record speaks of, or whose record was not taken up: no orphan stays.
    async fn remove_leftovers(&self) {
        let runtime = &self.api.node.runtime;
        let leftovers = match runtime.leftovers().await {
            Ok(leftovers) => leftovers,
            Err(error) => return tracing::error!(%error, "leftover sandboxes cannot be found"),
        };
        for leftover in leftovers {
            tracing::info!(
                sandbox = leftover.handle.id,
                running = leftover.running,
                "removing a leftover"
            );
            if let Err(error) = runtime.remove(&leftover.handle).await {
                tracing::error!(%error, sandbox = leftover.handle.id, "a leftover stays");
            }
        }
    }
}

/// SIGTERM, or what the image names instead, then SIGKILL after `grace`; returns at the end.
async fn stop(slot: &Slot, grace: Duration) {
    let Some(instance) = slot.current.get() else { return };
    if matches!(instance.state(), State::Waiting { .. }) {
        // The place that becomes free is not for what it was created from.
        let _ = instance.tell(Request::Delete).await;
    }
    if !instance.state().is_live() {
        return;
    }
    if instance.tell(Request::Stop(grace)).await.is_ok() {
        let patience = grace.saturating_add(KILL_PATIENCE);
        let _ = tokio::time::timeout(patience, instance.until(State::is_over)).await;
    }
}

/// Ends what is in a place, unless it is of this version; whether nothing of another one is left.
async fn end_another(slots: &Slots, slot: &Slot, version: u32, grace: Duration) -> bool {
    let another = || slot.current.get().filter(|instance| is_of_another(instance, version));
    let Some(instance) = another() else { return true };
    match instance.state() {
        // Nothing runs yet that could be asked to end.
        State::Created | State::Waiting { .. } | State::Starting => {
            if let Err(error) = slots.remove(slot, &instance).await {
                tracing::error!(%error, "an instance of another version stays");
            }
        }
        _ => stop(slot, grace).await,
    }
    // It may have come to run just before it was to be removed.
    if another().is_some() {
        stop(slot, grace).await;
    }
    another().is_none()
}

/// Whether an instance may run, and as another version than this; what is only prepared is of none.
fn is_of_another(instance: &Instance, version: u32) -> bool {
    let published = instance.published();
    let is_nothing = published.state.is_over() || matches!(published.state, State::Prepared { .. });
    !is_nothing && published.version != version
}

fn summary(slot: &Slot) -> Option<InstanceSummary> {
    let instance = slot.visible()?;
    let published = instance.published();
    let running = published.running.filter(|_| published.state.is_live());
    Some(InstanceSummary {
        application: Arc::clone(&instance.subject.application),
        namespace: slot.application.settings().unique_key.clone(),
        object: instance.subject.object.clone(),
        instance: instance.subject.instance,
        state: published.state,
        version: published.version,
        listens: instance.listens(),
        running_for: running.as_ref().map(|running| running.since.elapsed()),
        pid: running.map(|running| running.sandbox.pid()),
    })
}
