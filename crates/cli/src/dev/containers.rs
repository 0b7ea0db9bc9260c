//! The project's containers: sandboxes, images, and the agent that runs them for workerd.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::project::config::Config;
use agent::{Agent, AgentConfig, ApplicationRuntime, Network, StartRate, StopAll};
use image::{ImageStore, Snapshots};
use model::limits::SNAPSHOT_TTL;
use model::{Application, Placement};
use runtime::{Runtime, RuntimeConfig};
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use super::images::{Images, Made};
use super::instances;
use super::run_step::SandboxRunStep;
use super::timings::Timings;
use crate::args::DevArgs;
use crate::commands;
use crate::engines::Engines;
use crate::error::CliError;
use crate::paths;
use crate::printer::Printer;
use crate::sandboxes;

/// Sandboxes kept ready. Each costs about 50 KiB; a burst beyond them is made on demand.
const PARKED: usize = 8;

/// Longest time instances get between SIGTERM and SIGKILL when `dev` ends or rebuilds: somebody
/// waits at the terminal.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// Containers that can be started.
pub(crate) struct Containers {
    runtime: Runtime,
    images: Images,
    agent: Agent,
    applications: Vec<Application>,
    /// The unique key of each application's class, in the same order.
    keys: Vec<String>,
    engines: Mutex<Engines>,
    timings: Arc<std::sync::Mutex<Timings>>,
}

impl Containers {
    /// Makes the images, then opens the agent, which takes up what a killed session left running.
    pub(crate) async fn start(
        config: &Config,
        applications: Vec<Application>,
        args: &DevArgs,
        paths: &paths::Session,
        printer: &Printer,
        stop: &CancellationToken,
    ) -> Result<Self, CliError> {
        let runtime = open_runtime(&applications, paths, printer).await?;
        let images = images(config, args, &runtime, printer)?;
        let made = match images.make(&applications, stop).await {
            Ok(made) => made,
            Err(error) => {
                runtime.close().await;
                return Err(error);
            }
        };
        let keys = unique_keys(config, &applications);
        let settings = applications.iter().zip(&keys).zip(made);
        let settings =
            settings.map(|((application, key), made)| settings_of(application, key, made));
        let snapshots = Snapshots::new(images.store.clone(), &paths.key);
        let agent_config = AgentConfig {
            dir: paths.agent.clone(),
            snapshots: snapshots.clone(),
            applications: settings.collect(),
            placement: placement(),
            start_rate: StartRate::per_second(config.berth.start_rate),
            egress_allow: egress_allow(config),
            timings: args.timings,
            keep_logs: false,
        };
        let agent = Agent::open(agent_config, runtime.clone())
            .await
            .map_err(|error| CliError::failure("open the node agent", error))?;
        let timings = Arc::default();
        instances::print_events(agent.events(), printer.clone(), Arc::clone(&timings));
        expire(snapshots, printer).await;
        let engines = Mutex::new(Engines::named("e"));
        Ok(Self { runtime, images, agent, applications, keys, engines, timings })
    }

    /// The socket for the next workerd process. What the current one deletes from now on only
    /// detaches, so that its instances live on under the next.
    ///
    /// `upstream` says where the process serves requests: so the agent sees when somebody else ends
    /// it, which must not end its instances either.
    pub(crate) async fn next_engine(
        &self,
        upstream: watch::Receiver<Option<PathBuf>>,
    ) -> Result<PathBuf, CliError> {
        self.engines.lock().await.next(&self.agent, upstream)
    }

    /// Whether the process that [`Self::next_engine`] was for serves; otherwise the one before it
    /// does.
    pub(crate) async fn deployed(&self, serves: bool) {
        self.engines.lock().await.deployed(serves);
    }

    /// Makes the images anew and stops the instances of those that changed or not: the next request
    /// for each object starts a fresh one.
    pub(crate) async fn rebuild(&self, stop: &CancellationToken) -> Result<(), CliError> {
        let made = self.images.make(&self.applications, stop).await?;
        for ((application, key), made) in self.applications.iter().zip(&self.keys).zip(made) {
            let Made { image, choices } = made;
            self.agent
                .restart_application(key, image, choices, patience(application.stop_grace))
                .await
                .map_err(|error| CliError::failure("restart the instances", error))?;
        }
        Ok(())
    }

    /// From now on what workerd deletes only detaches: [`Self::close`] stops the instances itself,
    /// and kindly.
    pub(crate) async fn stop_serving(&self) {
        self.engines.lock().await.drain();
    }

    /// Where the time of all cold starts went, if it was asked for.
    pub(crate) fn timings(&self) -> Option<String> {
        self.timings.lock().expect("no holder of this lock panics").summary()
    }

    /// Ends, and leaves every instance running for the next `berth dev`.
    pub(crate) async fn leave(self) {
        drop(self.engines);
        self.agent.detach().await;
        self.runtime.close().await;
    }

    /// Stops and removes every instance. The workerd process has ended before.
    pub(crate) async fn close(self) {
        drop(self.engines);
        let grace = self.applications.iter().map(|application| application.stop_grace).max();
        self.agent.shutdown(StopAll { grace: patience(grace.unwrap_or_default()) }).await;
        self.runtime.close().await;
    }
}

/// Removes the snapshots that nobody has restored for long. Nothing depends on that it is done now.
async fn expire(snapshots: Snapshots, printer: &Printer) {
    let work = move || {
        let now = jiff::Timestamp::now().as_second();
        snapshots.expire(now, SNAPSHOT_TTL, &commands::snapshots::images_in_use())
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(removed)) if removed.is_empty() => {}
        Ok(Ok(removed)) => printer.info(format_args!(
            "Removed {} snapshots that nobody restored for 30 days",
            removed.len()
        )),
        Ok(Err(error)) => printer.warning(format_args!("old snapshots stay: failed to {error}")),
        Err(error) => printer.warning(format_args!("old snapshots stay: {error}")),
    }
}

fn patience(grace: Duration) -> Duration {
    grace.min(STOP_PATIENCE)
}

async fn open_runtime(
    applications: &[Application],
    paths: &paths::Session,
    printer: &Printer,
) -> Result<Runtime, CliError> {
    let disk = |application: &Application| application.instance_type.limits().disk_mb;
    let config = RuntimeConfig {
        dir: paths.instances.clone(),
        cgroup: format!("berth/dev-{}", paths.key),
        parked: PARKED,
        disks: applications.iter().map(disk).collect(),
        layers: vec![paths::Shared::under(&paths::home()).images],
    };
    sandboxes::open(config, printer).await
}

fn images(
    config: &Config,
    args: &DevArgs,
    runtime: &Runtime,
    printer: &Printer,
) -> Result<Images, CliError> {
    let store = ImageStore::open(paths::Shared::under(&paths::home()).images)
        .map_err(|error| CliError::failure("open the image store", error))?;
    let mut mirrors: BTreeMap<String, String> = config.berth.registry_mirrors.clone();
    mirrors.extend(args.mirrors.by_host());
    let handle = tokio::runtime::Handle::current();
    Ok(Images {
        store,
        run: SandboxRunStep { runtime: runtime.clone(), allow: egress_allow(config), handle },
        mirrors,
        build_args: args.build_args.clone(),
        printer: printer.clone(),
    })
}

/// The unique key of each application's Durable Object class; the configuration has made sure that
/// there is one.
fn unique_keys(config: &Config, applications: &[Application]) -> Vec<String> {
    let key = |application: &Application| {
        let class = config.classes.iter().find(|class| class.name == application.class_name);
        class.map(|class| class.unique_key.clone()).unwrap_or_default()
    };
    applications.iter().map(key).collect()
}

fn settings_of(application: &Application, key: &str, made: Made) -> ApplicationRuntime {
    ApplicationRuntime {
        application: application.clone(),
        id: application_id(key),
        unique_key: key.to_owned(),
        image_name: Some(application.name.clone()),
        image: made.image,
        choices: made.choices,
        version: 0,
        staged: None,
    }
}

/// `berth.egress_allow`, which the configuration has checked.
pub(crate) fn egress_allow(config: &Config) -> Vec<Network> {
    config.berth.egress_allow.iter().filter_map(|text| text.parse().ok()).collect()
}

/// A UUID that stays the same for the same application.
fn application_id(key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

/// One machine is one place. The country is the code that means "unknown".
pub(crate) fn placement() -> Placement {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Placement { country: "XX".into(), location: "local".into(), region: "local".into(), node: name }
}
