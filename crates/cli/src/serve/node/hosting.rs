//! The processes of Workers: where they lie, how one is begun, and how a plan takes its place.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use agent::ApplicationRuntime;
use control::PlatformError;
use control::plan::WorkerPlan;
use edge::Site;
use uuid::Uuid;
use workers::{Between, DeployError, Event, WorkerProcess};

use super::{GRACE, HOLD, Node, TAG_DIGITS, failed};
use crate::args::LogLevel;
use crate::dev::lines;
use crate::engines::Engines;
use crate::error::chain;
use crate::ingress;
use crate::serve::applications::of_plan;
use crate::serve::doors::Doors;
use crate::serve::worker::{Places, spec};
use crate::serve::{assets, objects};

/// A Worker that runs here.
pub(super) struct Hosted {
    pub(super) place: Place,
    pub(super) process: WorkerProcess,
    pub(super) site: Site,
    pub(super) doors: Doors,
    pub(super) engines: Engines,
    /// Whether somebody watches it.
    pub(super) watched: bool,
    /// What serves; `None` while nothing has yet.
    pub(super) plan: Option<WorkerPlan>,
    /// What its events are told to be of.
    pub(super) version: Arc<Mutex<Uuid>>,
    /// A newer version that serves a part of the requests.
    pub(super) beside: Option<Box<Hosted>>,
}

/// Which of a Worker's processes: each has folders of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The one that others reach.
    First,
    /// The one of a newer version that serves a part of the requests.
    Beside,
    /// One that nobody reaches, to see whether it starts.
    Tried,
}

impl Place {
    /// What is added to the names of folders.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::First => "",
            Self::Beside => ".beside",
            Self::Tried => ".try",
        }
    }
}

impl Node {
    /// The folder of a Worker's processes.
    pub(super) fn run_dir(&self, tag: &str, what: &str) -> PathBuf {
        self.folders.workers.join(format!("{}{what}", &tag[..tag.len().min(TAG_DIGITS)]))
    }

    pub(super) fn host(
        &self,
        place: Place,
        plan: &WorkerPlan,
        version: Arc<Mutex<Uuid>>,
    ) -> Result<WorkerProcess, PlatformError> {
        let run_dir = self.run_dir(&plan.tag, place.suffix());
        // What serves beside it has no triggers.
        let cron_runs =
            (place == Place::First).then(|| self.folders.crons.join(&plan.tag).join("runs.json"));
        let workerd = self.workerd.clone();
        let options = workers::Options { workerd, run_dir, grace: GRACE, cron_runs };
        let (process, mut events) = WorkerProcess::new(options)
            .map_err(|error| failed("make the Worker's folder", &error))?;
        let (printer, script) = (self.printer.clone(), plan.script.clone());
        let (watchers, tag) = (self.watchers.clone(), plan.tag.clone());
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                match event {
                    Event::Handled(mut event) => {
                        let version = *version.lock().expect("no holder of this lock panics");
                        event["scriptVersion"] = serde_json::json!({ "id": version });
                        watchers.tell(&tag, *event);
                    }
                    event => lines::worker_event(&printer, Some(&script), LogLevel::Log, &event),
                }
            }
        });
        Ok(process)
    }

    pub(super) fn start_hosting(
        &self,
        place: Place,
        plan: &WorkerPlan,
    ) -> Result<Hosted, PlatformError> {
        let version = Arc::new(Mutex::new(plan.version));
        let process = self.host(place, plan, Arc::clone(&version))?;
        let (printer, script) = (self.printer.clone(), Arc::<str>::from(&*plan.script));
        let log = self.log.clone();
        let site = Site::new(edge::Config {
            upstream: process.upstream(),
            hold: HOLD,
            headers: ingress::headers(),
            concurrency: self.concurrency,
            intercept: None,
            observe: Some(Arc::new(move |event| {
                lines::request(&printer, Some(&script), &event);
                if let Some(log) = &log {
                    log.tell(Some(&script), &event);
                }
            })),
        });
        let name = &plan.tag[..plan.tag.len().min(TAG_DIGITS)];
        Ok(Hosted {
            place,
            process,
            site,
            doors: Doors::default(),
            engines: Engines::named(format!("{name}{}-", place.suffix())),
            watched: false,
            plan: None,
            version,
            beside: None,
        })
    }

    /// Puts a plan into the place of what a host runs.
    pub(super) async fn deploy(
        &self,
        hosted: &mut Hosted,
        plan: &WorkerPlan,
    ) -> Result<(), PlatformError> {
        // Images that cannot be had change nothing.
        let between = self.between(plan).await?;
        let engine = hosted.engines.next(&self.agent, hosted.process.upstream());
        let engine = engine.map_err(|error| PlatformError(error.to_string()))?;
        let places = Places {
            objects: self.folders.objects.join(format!("{}{}", plan.tag, hosted.place.suffix())),
            assets: self.lay_out(hosted.place, plan).await?,
            doors: self.folders.doors.clone(),
            watched: hosted.watched,
            engine: Some(engine),
        };
        let upstream = hosted.process.upstream();
        let config = || edge::Config {
            upstream: upstream.clone(),
            hold: HOLD,
            headers: Arc::new(|_| Vec::new()),
            concurrency: None,
            intercept: None,
            observe: None,
        };
        let doors = &mut hosted.doors;
        // A Worker of two versions has nobody who binds it.
        if hosted.place == Place::First {
            let opened = doors.open(&self.folders.doors, &plan.script, &plan.entrypoints, config);
            opened.map_err(|error| failed("open the Worker to others", &error))?;
        }
        let (site, doors) = (hosted.site.drained(), doors.drained());
        let drained = async move {
            tokio::join!(site, doors);
        };
        let choices = self.choices_of(plan).await?;
        // The process before may start containers until it ends.
        let before = self.add_choices(&choices);
        let spec = spec(plan, places);
        let deployed = hosted.process.deploy_after(spec, drained, between).await;
        hosted.engines.deployed(deployed.is_ok());
        self.set_choices(if deployed.is_ok() { choices } else { before });
        deployed.map_err(|error| not_started(&error))?;
        self.keep_images(&plan.containers);
        *hosted.version.lock().expect("no holder of this lock panics") = plan.version;
        assets::remove_others(&self.assets_of(hosted.place, &plan.tag), plan.assets.as_ref());
        if hosted.place == Place::First {
            objects::remove_deleted(&self.folders.objects.join(&plan.tag), &plan.classes);
        }
        Ok(())
    }

    /// What becomes of the containers that switch together with a version's code: between two processes
    /// nobody starts an instance, and nobody reaches one.
    async fn between(&self, plan: &WorkerPlan) -> Result<Between, PlatformError> {
        let mut after = Vec::new();
        for application in &plan.containers {
            let image = self.image_of_plan(application).await?;
            after.push(of_plan(application, image));
        }
        if after.is_empty() {
            return Ok(Between::nothing());
        }
        let before = after.iter().filter_map(|one| self.agent.application(&one.unique_key));
        let before: Vec<ApplicationRuntime> = before.collect();
        let (forth, back) = (self.agent.clone(), self.agent.clone());
        Ok(Between {
            forth: Box::pin(async move {
                forth.switch_applications(after).await.map_err(|error| error.to_string())
            }),
            back: Box::pin(async move {
                if let Err(error) = back.switch_applications(before).await {
                    tracing::error!(%error, "containers go back");
                }
            }),
        })
    }

    /// Where the static files of a Worker's process are.
    pub(super) fn assets_of(&self, place: Place, tag: &str) -> PathBuf {
        // What is tried out is what will serve.
        let suffix = if place == Place::Beside { place.suffix() } else { "" };
        self.folders.assets.join(format!("{tag}{suffix}"))
    }

    /// The folder of a Worker's static files.
    pub(super) async fn lay_out(
        &self,
        place: Place,
        plan: &WorkerPlan,
    ) -> Result<Option<PathBuf>, PlatformError> {
        let Some(files) = plan.assets.clone() else { return Ok(None) };
        let root = self.assets_of(place, &plan.tag);
        let joined = tokio::task::spawn_blocking(move || assets::lay_out(&root, &files)).await;
        let folder = joined.map_err(|error| failed("lay out the static files", &error))?;
        folder.map(Some).map_err(|error| failed("lay out the static files", &error))
    }
}

/// What a Worker that does not start says itself is what its author wants to read.
pub(super) fn not_started(error: &DeployError) -> PlatformError {
    PlatformError(chain(error).join(": "))
}
