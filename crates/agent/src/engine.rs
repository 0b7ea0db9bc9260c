//! A Docker engine for the `docker` command, for scripts and for `wrangler dev`: the Engine API on
//! a unix socket, over one image store and one agent.
//!
//! What a workerd asks for is answered by [`crate::docker_api`], as under `berth dev`; only the
//! applications are not known beforehand. Everything else is here: images, containers that no
//! Durable Object owns ([`containers`]), builds. What cannot be done is refused by name.

mod api;
mod auth;
mod build;
mod containers;
mod create;
mod error;
mod events;
mod exit;
mod filters;
mod image_calls;
mod images;
mod lifecycle;
mod list;
mod logs;
mod names;
mod networks;
mod ports;
mod progress;
mod record;
mod reply;
mod streams;
mod system;
mod template;
mod top;
mod transfer;
mod view;
mod volumes;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use image::Snapshots;
use model::{InstanceType, Placement};
use runtime::Runtime;
use tokio::net::UnixListener;
use tokio_util::task::AbortOnDropHandle;

use crate::agent::{Agent, AgentConfig, AgentError, StopAll};
use crate::application::{Applications, OpenApplications, StartRate};
use crate::docker_api::Api;
use crate::socket::{self, SocketError};
use containers::Containers;
use events::EngineEvents;
use volumes::NamedVolumes;

pub use api::is_sidecar;
pub use auth::{log_in, registry_host};
pub use error::EngineError;
pub use images::{Images, Removed};
pub use list::duration as duration_text;
pub use progress::{Message, Messages, size as size_text};
pub use record::images_in_use;
pub use system::machine as machine_info;
pub use template::{Template, TemplateError};
pub use transfer::Transfer;

pub(crate) use api::fuzz;
pub(crate) use logs::{in_folder as log_in_folder, of_instance as log_of};
pub(crate) use template::fuzz as fuzz_template;

/// The newest version of the Engine API that is spoken, and the oldest.
pub const API_VERSIONS: (&str, &str) = ("1.43", "1.24");

/// What an engine is opened with.
#[derive(Debug)]
pub struct EngineConfig {
    /// Its containers, volumes and records are below it; the runtime's directory is another one.
    pub dir: PathBuf,
    /// The images, and how they are pulled and built.
    pub images: Images,
    /// Where the node stands.
    pub placement: Placement,
    /// Berth's version.
    pub version: &'static str,
}

/// An engine; clones are the same one.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    agent: Agent,
    api: Arc<Api>,
    images: Arc<Images>,
    containers: Containers,
    volumes: NamedVolumes,
    events: EngineEvents,
    version: &'static str,
    dir: PathBuf,
}

/// The machine's own resources.
#[derive(Debug, Clone, Copy)]
struct Machine {
    vcpu: f64,
    memory_mib: u64,
}

/// A socket that is served. Dropping it closes the socket and removes its file.
#[derive(Debug)]
pub struct EngineServer {
    path: PathBuf,
    _task: AbortOnDropHandle<()>,
}

/// Between SIGTERM and SIGKILL for an object's container that workerd signals: it kills itself what
/// does not end.
const STOP_GRACE: Duration = Duration::from_secs(15 * 60);

impl Machine {
    fn this() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let info = rustix::system::sysinfo();
        #[expect(clippy::useless_conversion, reason = "the fields' widths differ by architecture")]
        let memory = u64::from(info.totalram).saturating_mul(u64::from(info.mem_unit.max(1)));
        let vcpu = u32::try_from(cpus).map_or(1.0, f64::from);
        Self { vcpu, memory_mib: (memory / (1024 * 1024)).max(64) }
    }

    fn instance_type(self) -> InstanceType {
        InstanceType::Custom { vcpu: self.vcpu, memory_mib: self.memory_mib, disk_mb: DISK_MB }
    }
}

/// How long the end of a container that was stopped may take to be written down.
const RECORD_PATIENCE: Duration = Duration::from_secs(5);

/// What a container may write.
const DISK_MB: u64 = 20_000;

impl Engine {
    /// Opens the engine and takes up what an earlier one, which was killed, left running.
    ///
    /// # Errors
    /// Its directory cannot be used.
    pub async fn open(config: EngineConfig, runtime: Runtime) -> Result<Self, AgentError> {
        let machine = Machine::this();
        let rate = StartRate::default();
        let open =
            OpenApplications { instance_type: machine.instance_type(), stop_grace: STOP_GRACE };
        let applications = Applications::opened(open, rate);
        let containers =
            Containers::load(&config.dir, &applications).map_err(AgentError::Directory)?;
        build::clear_contexts(&config.dir).map_err(AgentError::Directory)?;
        let volumes =
            NamedVolumes::open(config.dir.join("volumes")).map_err(AgentError::Directory)?;
        let agent_config = AgentConfig {
            dir: config.dir.clone(),
            snapshots: Snapshots::new(config.images.store().clone(), "docker"),
            applications: Vec::new(),
            placement: config.placement,
            start_rate: rate,
            egress_allow: config.images.egress_allow().to_vec(),
            timings: false,
            // A container of people's keeps its log until it is removed.
            keep_logs: false,
        };
        let agent = Agent::open_with(agent_config, applications, runtime).await?;
        let inner = Arc::new(Inner {
            api: Arc::clone(&agent.api),
            agent,
            images: Arc::new(config.images),
            containers,
            volumes,
            events: EngineEvents::default(),
            version: config.version,
            dir: config.dir,
        });
        inner.take_up().await;
        Ok(Self { inner })
    }

    /// Serves the Engine API at that path, for the owner of this process alone.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn serve(&self, path: &Path) -> Result<EngineServer, SocketError> {
        let listener = socket::listen(path)?;
        let task = AbortOnDropHandle::new(tokio::spawn(self.clone().accept(listener)));
        Ok(EngineServer { path: path.to_owned(), _task: task })
    }

    async fn accept(self, listener: UnixListener) {
        let serve = move |stream, peer| api::serve(stream, Arc::clone(&self.inner), peer);
        socket::accept(listener, Arc::default(), serve).await;
    }

    /// Stops every container and ends; the containers' records and volumes stay.
    pub async fn close(self, grace: Duration) {
        self.inner.agent.shutdown(StopAll { grace }).await;
        for container in self.inner.containers.all() {
            // How it ended is written down by whoever follows it.
            let mut life = container.life.subscribe();
            let ended = life.wait_for(|life| life.status != record::Status::Running);
            let _ = tokio::time::timeout(RECORD_PATIENCE, ended).await;
        }
    }
}

impl Drop for EngineServer {
    fn drop(&mut self) {
        let _ = fs_err::remove_file(&self.path);
    }
}
