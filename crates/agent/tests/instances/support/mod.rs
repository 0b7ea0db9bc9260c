//! A node with one application, and a client that speaks as workerd does: raw HTTP, a new
//! connection for each call.

mod client;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use agent::{Agent, AgentConfig, AgentEvent, ApplicationRuntime, EngineSocket, StartRate};
use image::{Digest, Image, ImageConfig, ImageStore, Snapshots};
use model::{Application, ApplicationImages, ImageSource, InstanceType, Placement};
use runtime::{Runtime, RuntimeConfig};

pub(crate) use client::{Client, Frames};

/// Ends a test early where sandboxes cannot be made.
macro_rules! needs_root {
    () => {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return;
        }
    };
}
pub(crate) use needs_root;

/// Nothing a test waits for takes longer, on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a future that must not take for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took too long"),
    }
}

/// A node to be set up.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) command: Vec<&'static str>,
    pub(crate) entrypoint: Vec<&'static str>,
    pub(crate) env: Vec<&'static str>,
    pub(crate) max_instances: u32,
    pub(crate) stop_grace: Duration,
    pub(crate) start_rate: StartRate,
    pub(crate) egress_allow: Vec<&'static str>,
    pub(crate) has_image: bool,
    /// Whether the image is one of the store's.
    pub(crate) stored: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            command: vec!["/app", "serve"],
            entrypoint: vec![],
            env: vec![],
            max_instances: 100,
            stop_grace: Duration::from_secs(900),
            start_rate: StartRate::default(),
            egress_allow: vec![],
            has_image: true,
            stored: false,
        }
    }
}

/// A running node. Its directory outlives its agents.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) agent: Agent,
    pub(crate) socket: EngineSocket,
    runtime: Runtime,
    setup: Setup,
    dir: tempfile::TempDir,
    /// The image store, which outlives everything.
    store: tempfile::TempDir,
    cgroup: String,
    restarts: u32,
}

impl Node {
    /// A node whose image runs `command`.
    pub(crate) async fn running(command: &[&'static str]) -> Self {
        Self::start(Setup { command: command.to_vec(), ..Setup::default() }).await
    }

    /// A node.
    pub(crate) async fn start(setup: Setup) -> Self {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().file_name().unwrap().to_str().unwrap().trim_start_matches('.');
        let cgroup = format!("berth/agent-test-{name}");
        let store = tempfile::tempdir().unwrap();
        let (runtime, agent) = open(&setup, dir.path(), store.path(), &cgroup).await;
        let socket = agent.engine_socket("w").unwrap();
        Self { agent, socket, runtime, setup, dir, store, cgroup, restarts: 0 }
    }

    /// Ends the agent as a restart would, changes what it is set up with, and opens the next one.
    pub(crate) async fn restart(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        soon("detach", self.agent.detach()).await;
        soon("close", self.runtime.clone().close()).await;
        change(&mut self.setup);
        let (runtime, agent) =
            open(&self.setup, self.dir.path(), self.store.path(), &self.cgroup).await;
        // The old socket removes its file when it goes, so the new one has another name.
        self.restarts += 1;
        let socket = agent.engine_socket(&format!("w{}", self.restarts)).unwrap();
        (self.runtime, self.agent, self.socket) = (runtime, agent, socket);
        self
    }

    /// A client as one Durable Object has it; `object` tells objects apart.
    pub(crate) fn client(&self, object: u8) -> Client {
        Client::new(self.socket.path().to_owned(), object)
    }

    /// The node's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Stops everything and makes sure that nothing is left.
    pub(crate) async fn end(self) {
        soon("shutdown", self.agent.shutdown(agent::StopAll::default())).await;
        assert!(self.agent.instances().is_empty());
        assert_eq!(soon("leftovers", self.runtime.leftovers()).await.unwrap(), []);
        soon("close", self.runtime.clone().close()).await;
        fs_err::remove_file(self.socket.path()).unwrap();
        // Sandboxes that were prepared and not used are removed on the side.
        let gone = async {
            while !files_below(self.dir.path()).is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let left = tokio::time::timeout(PATIENCE, gone).await;
        assert!(left.is_ok(), "{:?}", files_below(self.dir.path()));
    }
}

/// A test that failed leaves no program running: instances outlive their agent on purpose.
impl Drop for Node {
    fn drop(&mut self) {
        for pid in self.agent.instances().into_iter().filter_map(|instance| instance.pid) {
            let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
            pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
        }
    }
}

async fn open(setup: &Setup, dir: &Path, store: &Path, cgroup: &str) -> (Runtime, Agent) {
    let config = RuntimeConfig {
        dir: dir.join("sandboxes"),
        cgroup: cgroup.to_owned(),
        parked: 2,
        ..RuntimeConfig::default()
    };
    let runtime = soon("opening the runtime", Runtime::open(config)).await.unwrap();
    let store = ImageStore::open(store).unwrap();
    let mut application = application(setup);
    if setup.stored {
        application.image = Some(stored_image(&store, setup));
    }
    let config = AgentConfig {
        dir: dir.join("agent"),
        snapshots: Snapshots::new(store, "test"),
        applications: vec![application],
        placement: Placement {
            country: "DE".to_owned(),
            location: "test".to_owned(),
            region: "EEUR".to_owned(),
            node: "node-1".to_owned(),
        },
        start_rate: setup.start_rate,
        egress_allow: setup.egress_allow.iter().map(|text| text.parse().unwrap()).collect(),
        timings: false,
        keep_logs: false,
    };
    let agent = soon("opening the agent", Agent::open(config, runtime.clone())).await.unwrap();
    (runtime, agent)
}

/// The application of a setup.
pub(crate) fn application(setup: &Setup) -> ApplicationRuntime {
    ApplicationRuntime {
        application: Application {
            name: "hello".to_owned(),
            class_name: "MyContainer".to_owned(),
            images: ApplicationImages::One(ImageSource::Reference("test".to_owned())),
            instance_type: InstanceType::Lite,
            max_instances: setup.max_instances,
            stop_grace: setup.stop_grace,
        },
        id: "application-id".to_owned(),
        unique_key: "app-MyContainer".to_owned(),
        image_name: Some("test".to_owned()),
        image: setup.has_image.then(|| image(setup)),
        choices: BTreeMap::new(),
        version: 0,
        staged: None,
    }
}

/// An image of one layer that holds the test program as `/app`.
pub(crate) fn image(setup: &Setup) -> Image {
    let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    Image {
        digest: Digest::of(setup.command.join(" ").as_bytes()),
        config: ImageConfig {
            entrypoint: own(&setup.entrypoint),
            cmd: own(&setup.command),
            env: own(&setup.env),
            labels: BTreeMap::new(),
            ..ImageConfig::default()
        },
        layers: vec![layer().to_owned()],
        size: 1,
    }
}

/// The same image, built in the store.
fn stored_image(store: &ImageStore, setup: &Setup) -> Image {
    struct NoRun;
    impl image::RunStep for NoRun {
        fn run(
            &self,
            _: &image::RunRequest,
            _: &mut dyn FnMut(image::Stream, &[u8]),
        ) -> Result<i32, image::RunStepError> {
            unreachable!("the Dockerfile has no RUN")
        }
    }
    let context = tempfile::tempdir().unwrap();
    fs_err::copy(layer().join("app"), context.path().join("app")).unwrap();
    fs_err::write(context.path().join("file"), "of the image").unwrap();
    fs_err::create_dir(context.path().join("tmp")).unwrap();
    let command = serde_json::to_string(&setup.command).unwrap();
    let text = format!(
        "FROM scratch\nCOPY app /app\nCOPY file /file-of-the-image\nCOPY tmp /tmp/\nCMD {command}\n"
    );
    let dockerfile = context.path().join("Dockerfile");
    fs_err::write(&dockerfile, text).unwrap();
    let mut request = image::BuildRequest::new(dockerfile, context.path());
    request.tags = vec!["test".parse().unwrap()];
    store.build(&request, &NoRun, &image::Silent).unwrap()
}

/// The directory with the program, made once for each text of the program.
fn layer() -> &'static Path {
    static LAYER: OnceLock<PathBuf> = OnceLock::new();
    LAYER.get_or_init(|| {
        let source = include_str!("../../fixtures/app.rs");
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let layer = target.join(format!("layer-{}", Digest::of(source.as_bytes()).short()));
        if !layer.join("app").exists() {
            let new = target.join(format!("layer-{}", std::process::id()));
            fs_err::create_dir_all(new.join("tmp")).unwrap();
            let made = std::process::Command::new("rustc")
                .args(["--edition=2024", "-Copt-level=1", "-Ctarget-feature=+crt-static", "-o"])
                .arg(new.join("app"))
                .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/app.rs"))
                .status()
                .unwrap();
            assert!(made.success());
            fs_err::rename(&new, &layer).unwrap();
        }
        layer
    })
}

/// Every file below a directory, for the sake of a readable failure.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// The next event that `wanted` takes.
pub(crate) async fn event<T>(
    events: &mut agent::Events,
    what: &str,
    wanted: impl Fn(AgentEvent) -> Option<T>,
) -> T {
    let search = async {
        loop {
            let event = events.next().await.unwrap_or_else(|| panic!("no {what}"));
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    };
    soon(what, search).await
}
