//! This machine as a platform: Workers, containers and routes.

mod access;
mod beside;
mod hosting;
mod images;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agent::{Agent, AgentConfig, ApplicationRuntime, Network, StartRate, StopAll};
use control::plan::{
    ApplicationPlan, ExecPlan, FileView, InstanceEvent, InstanceFailure, InstanceView, LogPlan,
    ProcessView, RegistryAccess, UsageView, WorkerPlan,
};
use control::{
    Answer, Events, InstanceEvents, Log, OutgoingArchive, Platform, PlatformError, Session,
};
use hyper::body::Incoming;
use image::{Credentials, ImageStore, Snapshots};
use runtime::{Runtime, RuntimeConfig};
use workers::cron::Schedule;

use hosting::{Hosted, Place, not_started};

use super::applications::{Choices, Versions, of_plan, of_staged, view};
use super::health::Health;
use super::history::History;
use super::routes::Split;
use super::watchers::Watchers;
use super::worker::{Places, spec};
use super::{AccessLog, Folders, Routes};
use crate::dev::containers::placement;
use crate::error::{CliError, chain};
use crate::paths;
use crate::printer::Printer;
use crate::sandboxes;

/// Sandboxes kept ready; demand makes it more for a while.
const PARKED: usize = 8;
/// How long requests may finish before a Worker's process is replaced or stopped.
const GRACE: Duration = Duration::from_secs(5);
/// How long the edge keeps a request while its Worker has no process.
const HOLD: Duration = Duration::from_secs(30);
/// How many digits of a tag name a Worker's folder: paths of sockets are short.
const TAG_DIGITS: usize = 12;
/// What the name of a folder begins with in which a Worker is tried out.
const TRIED: &str = "tried-";

/// What a node is opened with.
#[derive(Debug)]
pub(crate) struct NodeConfig {
    pub(crate) folders: Folders,
    /// workerd.
    pub(crate) workerd: PathBuf,
    /// What instances may run, as it was when the last process ended.
    pub(crate) applications: Vec<ApplicationPlan>,
    /// Networks that instances with internet may reach although they are private.
    pub(crate) egress_allow: Vec<Network>,
    /// Other places to ask for a registry's images.
    pub(crate) mirrors: BTreeMap<String, String>,
    /// How many requests each Worker has at once.
    pub(crate) concurrency: Option<usize>,
    /// Told of each request.
    pub(crate) log: Option<AccessLog>,
}

/// This machine.
pub(crate) struct Node {
    folders: Folders,
    workerd: PathBuf,
    runtime: Runtime,
    agent: Agent,
    store: ImageStore,
    mirrors: BTreeMap<String, String>,
    /// What registries of others are asked with.
    registries: Mutex<BTreeMap<String, Credentials>>,
    concurrency: Option<usize>,
    log: Option<AccessLog>,
    routes: Routes,
    workers: tokio::sync::Mutex<HashMap<String, Hosted>>,
    watchers: Watchers,
    /// The images that instances start from.
    images: Mutex<Versions>,
    /// Those that the objects of a namespace choose from.
    choices: Mutex<HashMap<String, Choices>>,
    /// What happened to instances lately.
    health: Health,
    /// The same for people.
    history: History,
    printer: Printer,
}

impl Node {
    /// Opens the sandboxes and the agent, which takes up what still runs.
    pub(crate) async fn open(
        config: NodeConfig,
        routes: Routes,
        printer: &Printer,
    ) -> Result<Self, CliError> {
        let folders = config.folders;
        remove_tried(&folders);
        let store = ImageStore::open(&folders.shared.images)
            .map_err(|error| CliError::failure("open the image store", error))?;
        let limits = config.applications.iter().map(|plan| plan.application.instance_type.limits());
        let runtime_config = RuntimeConfig {
            dir: folders.instances.clone(),
            // Several may run on one machine, each with data of its own.
            cgroup: format!("berth/serve-{}", paths::key(&folders.data)),
            parked: PARKED,
            disks: limits.map(|limits| limits.disk_mb).collect(),
            layers: vec![folders.shared.images.clone()],
        };
        let runtime = sandboxes::open(runtime_config, printer).await?;
        let agent_config = AgentConfig {
            dir: folders.agent.clone(),
            snapshots: Snapshots::new(store.clone(), "serve"),
            // Their images come with the first plan of each.
            applications: config.applications.iter().map(|plan| of_plan(plan, None)).collect(),
            placement: placement(),
            start_rate: StartRate::default(),
            egress_allow: config.egress_allow,
            timings: false,
            keep_logs: true,
        };
        let agent = Agent::open(agent_config, runtime.clone())
            .await
            .map_err(|error| CliError::failure("open the node agent", error))?;
        // The first reader is told of what ended while nobody was here.
        let history = History::default();
        let health = Health::follow(agent.events(), history.clone(), printer.clone());
        Ok(Self {
            folders,
            workerd: config.workerd,
            runtime,
            agent,
            store,
            mirrors: config.mirrors,
            registries: Mutex::default(),
            concurrency: config.concurrency,
            log: config.log,
            routes,
            workers: tokio::sync::Mutex::default(),
            watchers: Watchers::default(),
            images: Mutex::default(),
            choices: Mutex::default(),
            health,
            history,
            printer: printer.clone(),
        })
    }

    /// Ends the Workers; instances stay for the next process, unless `stop`.
    pub(crate) async fn close(&self, stop: Option<Duration>) {
        let mut workers = self.workers.lock().await;
        for (_, mut hosted) in workers.drain() {
            if let Some(beside) = hosted.beside.take() {
                beside.process.stop().await;
            }
            hosted.engines.drain();
            hosted.process.stop().await;
        }
        match stop {
            Some(grace) => self.agent.shutdown(StopAll { grace }).await,
            None => self.agent.detach().await,
        }
        self.runtime.clone().close().await;
    }
}

impl Platform for Node {
    fn try_worker<'a>(
        &'a self,
        plan: &'a WorkerPlan,
    ) -> Answer<'a, Result<Duration, PlatformError>> {
        Box::pin(async move {
            self.choices_of(plan).await?;
            let process = self.host(Place::Tried, plan, Arc::new(Mutex::new(plan.version)))?;
            let objects = tempfile::Builder::new()
                .prefix(TRIED)
                .tempdir_in(&self.folders.objects)
                .map_err(|error| failed("make a folder to try the Worker in", &error))?;
            // Nothing is to happen by it: no containers, no crons.
            let places = Places {
                objects: objects.path().to_owned(),
                assets: self.lay_out(Place::Tried, plan).await?,
                doors: self.folders.doors.clone(),
                watched: false,
                engine: None,
            };
            let mut spec = spec(plan, places);
            spec.crons.clear();
            let begin = Instant::now();
            let started = process.deploy(spec, std::future::ready(())).await;
            let took = begin.elapsed();
            process.stop().await;
            started.map(|()| took).map_err(|error| not_started(&error))
        })
    }

    fn run_worker<'a>(&'a self, plan: &'a WorkerPlan) -> Answer<'a, Result<(), PlatformError>> {
        Box::pin(async move {
            let mut workers = self.workers.lock().await;
            if !workers.contains_key(&plan.tag) {
                workers.insert(plan.tag.clone(), self.start_hosting(Place::First, plan)?);
            }
            let hosted = workers.get_mut(&plan.tag).expect("it was put there");
            // A second version serves before it is given requests, and no longer than it is.
            if let Some(beside) = &plan.beside {
                self.run_beside(hosted, &beside.plan).await?;
            }
            if !hosted.plan.as_ref().is_some_and(|serving| runs_the_same(serving, plan)) {
                self.deploy(hosted, plan).await?;
            }
            hosted.plan = Some(plan.clone());
            let second = plan.beside.as_ref().zip(hosted.beside.as_ref());
            let split = second.map(|(beside, process)| Split {
                script: plan.script.clone(),
                versions: [plan.version, beside.plan.version],
                share: beside.share,
                beside: process.site.clone(),
            });
            self.routes.set(&plan.tag, &plan.routes, &hosted.site, split.as_ref());
            if plan.beside.is_none()
                && let Some(beside) = hosted.beside.take()
            {
                let _ = tokio::time::timeout(GRACE, beside.site.drained()).await;
                self.end(*beside).await;
            }
            Ok(())
        })
    }

    fn watch<'a>(&'a self, tag: &'a str) -> Answer<'a, Result<Events, PlatformError>> {
        Box::pin(async move {
            let mut workers = self.workers.lock().await;
            let hosted = workers.get_mut(tag).filter(|hosted| hosted.plan.is_some());
            let hosted = hosted.ok_or_else(|| PlatformError("the Worker does not run".into()))?;
            let events = self.watchers.add(tag);
            if !hosted.watched {
                self.set_watched(hosted).await?;
            }
            if let Some(beside) = hosted.beside.as_deref_mut().filter(|beside| !beside.watched) {
                self.set_watched(beside).await?;
            }
            Ok(events)
        })
    }

    fn unwatch<'a>(&'a self, tag: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut workers = self.workers.lock().await;
            if self.watchers.are_gone(tag)
                && let Some(hosted) = workers.get_mut(tag)
            {
                if let Some(beside) = hosted.beside.as_deref_mut() {
                    beside.watched = false;
                    beside.process.watch(false).await;
                }
                hosted.watched = false;
                hosted.process.watch(false).await;
            }
        })
    }

    fn check_cron(&self, expression: &str) -> Result<(), PlatformError> {
        let parsed = Schedule::parse(expression);
        parsed.map(drop).map_err(|error| PlatformError(error.to_string()))
    }

    fn remove_worker<'a>(&'a self, tag: &'a str, namespaces: &'a [String]) -> Answer<'a, ()> {
        Box::pin(async move {
            self.routes.remove(tag);
            self.watchers.remove(tag);
            if let Some(mut hosted) = self.workers.lock().await.remove(tag) {
                if let Some(beside) = hosted.beside.take() {
                    self.end(*beside).await;
                }
                hosted.engines.drain();
                hosted.process.stop().await;
            }
            let own = self.agent.instances().into_iter();
            let own = own.filter(|instance| namespaces.contains(&instance.namespace));
            let own: Vec<_> = own.map(|instance| instance.instance).collect();
            self.agent.stop_instances(&own, Duration::ZERO).await;
            let Folders { objects, assets, crons, .. } = &self.folders;
            for folder in [objects.join(tag), assets.join(tag), crons.join(tag)] {
                if let Err(error) = fs_err::remove_dir_all(&folder)
                    && error.kind() != std::io::ErrorKind::NotFound
                {
                    self.printer.warning(format_args!("of a removed Worker stays: {error}"));
                }
            }
        })
    }

    fn set_application<'a>(
        &'a self,
        plan: &'a ApplicationPlan,
    ) -> Answer<'a, Result<(), PlatformError>> {
        Box::pin(async move {
            let namespace = &plan.namespace_id;
            // What is new is what may not be there.
            let staged = match &plan.staged {
                Some(staged) => {
                    let image = self.image_of(namespace, staged.version, &staged.image).await?;
                    Some(of_staged(plan, staged, image))
                }
                None => None,
            };
            let image = self.image_of_plan(plan).await?;
            // Nobody changes the choices between this look and its effect.
            let all = self.choices.lock().expect("no holder of this lock panics");
            let choices = all.get(namespace).cloned().unwrap_or_default();
            let application = ApplicationRuntime { staged, choices, ..of_plan(plan, image) };
            self.agent.set_application(application);
            drop(all);
            self.keep_images(std::slice::from_ref(plan));
            Ok(())
        })
    }

    fn set_registries(&self, registries: Vec<RegistryAccess>) {
        let of = |RegistryAccess { host, username, password }| {
            (host, Credentials { username, password })
        };
        let mut known = self.registries.lock().expect("no holder of this lock panics");
        *known = registries.into_iter().map(of).collect();
    }

    fn prepare_image<'a>(
        &'a self,
        reference: &'a str,
    ) -> Answer<'a, Result<String, PlatformError>> {
        Box::pin(async move { Ok(self.image(reference).await?.digest.to_string()) })
    }

    fn stop_instances<'a>(&'a self, ids: &'a [String], grace: Duration) -> Answer<'a, ()> {
        Box::pin(async move {
            let all = self.agent.instances().into_iter().map(|instance| instance.instance);
            let wanted: Vec<_> = all.filter(|id| ids.contains(&id.to_string())).collect();
            self.agent.stop_instances(&wanted, grace).await;
        })
    }

    fn remove_application<'a>(&'a self, namespace_id: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            self.images.lock().expect("no holder of this lock panics").keep(namespace_id, &[]);
            // Without an image none is started; an unknown one has none.
            let _ = self
                .agent
                .restart_application(namespace_id, None, BTreeMap::new(), Duration::ZERO)
                .await;
        })
    }

    fn instances(&self, namespace_id: &str) -> Vec<InstanceView> {
        let all = self.agent.instances();
        let own = all.iter().filter(|instance| instance.namespace == namespace_id);
        own.map(|one| view(one, self.health.silent_port(one.instance))).collect()
    }

    fn failures(&self, application: &str) -> Vec<InstanceFailure> {
        self.health.failures(application)
    }

    fn events(&self) -> (Vec<InstanceEvent>, InstanceEvents) {
        self.history.all()
    }

    fn log(&self, instance: &str, wanted: &LogPlan) -> Result<Log, PlatformError> {
        self.log_of(instance, wanted)
    }

    fn create_exec(&self, instance: &str, exec: &ExecPlan) -> Result<String, PlatformError> {
        self.create_exec_in(instance, exec)
    }

    fn start_exec<'a>(
        &'a self,
        id: &'a str,
        size: Option<(u16, u16)>,
    ) -> Answer<'a, Result<Session, PlatformError>> {
        Box::pin(self.run_exec(id, size))
    }

    fn look_at<'a>(
        &'a self,
        instance: &'a str,
        path: &'a str,
    ) -> Answer<'a, Result<Option<FileView>, PlatformError>> {
        Box::pin(self.file_at(instance, path))
    }

    fn read_archive<'a>(
        &'a self,
        instance: &'a str,
        path: &'a str,
    ) -> Answer<'a, Result<Option<OutgoingArchive>, PlatformError>> {
        Box::pin(self.archive_of(instance, path))
    }

    fn write_archive<'a>(
        &'a self,
        instance: &'a str,
        path: &'a str,
        archive: Incoming,
    ) -> Answer<'a, Result<(), PlatformError>> {
        Box::pin(self.unpack_in(instance, path, archive))
    }

    fn processes<'a>(
        &'a self,
        instance: &'a str,
    ) -> Answer<'a, Result<Vec<ProcessView>, PlatformError>> {
        Box::pin(self.processes_of(instance))
    }

    fn usage(&self) -> Answer<'_, Vec<UsageView>> {
        Box::pin(self.used())
    }
}

/// Removes what trials left that a crash cut off. What cannot be removed harms nobody.
fn remove_tried(folders: &Folders) {
    let Ok(entries) = fs_err::read_dir(&folders.objects) else { return };
    let tried = |entry: &fs_err::DirEntry| {
        entry.file_name().to_str().is_some_and(|name| name.starts_with(TRIED))
    };
    for entry in entries.filter_map(Result::ok).filter(tried) {
        let _ = fs_err::remove_dir_all(entry.path());
    }
}

/// Whether what serves need not be replaced: routes and triggers alone may differ, and of containers what
/// is no other version of theirs.
fn runs_the_same(serving: &WorkerPlan, wanted: &WorkerPlan) -> bool {
    let versions = |plan: &WorkerPlan| {
        let version = |one: &ApplicationPlan| (one.namespace_id.clone(), one.version);
        plan.containers.iter().map(version).collect::<Vec<_>>()
    };
    let (routes, beside) = (wanted.routes.clone(), wanted.beside.clone());
    let containers = wanted.containers.clone();
    let with_routes = WorkerPlan { routes, beside, containers, ..serving.clone() };
    with_routes == *wanted && versions(serving) == versions(wanted)
}

fn failed(attempt: &str, error: &dyn std::error::Error) -> PlatformError {
    PlatformError(format!("failed to {attempt}: {}", chain(error).join(": ")))
}
