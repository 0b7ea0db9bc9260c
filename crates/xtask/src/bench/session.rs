//! One `berth dev` on the bench's project, with one of the engines behind its workerd.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use e2e::eventually;
use fs_err as fs;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::prepare::Workshop;
use super::{ADDRESS, Inside};
use crate::http;
use crate::programs::Program;

/// A first start installs a toolchain and builds an image.
const START: Duration = Duration::from_secs(300);
/// A stop ends every instance; Docker Engine takes its time for a hundred.
const STOP: Duration = Duration::from_secs(300);
/// What a session prepares in the background once it is ready is done after this time.
const SETTLE: Duration = Duration::from_secs(1);

/// Of what a session printed, this much is shown when something fails.
const SHOWN_LINES: usize = 15;
const LONGEST_LINE: usize = 240;

/// Names of the images that are not Berth's; the configuration wants a registry in front.
pub(crate) const SERVER_IMAGE: &str = "bench.invalid/server:1";
pub(crate) const SIDECAR_IMAGE: &str = "bench.invalid/sidecar:1";

/// The project's own instance type: a sixteenth of a processor.
pub(crate) const LITE: &str = "lite";
/// One processor.
pub(crate) const ONE_PROCESSOR: &str = "standard-2";

/// What starts the containers.
#[derive(Debug, Clone)]
pub(crate) enum Engine {
    /// Berth's own node agent, with instances of this type.
    Berth(&'static str),
    /// An engine that speaks Docker's API on this socket.
    Socket { name: &'static str, socket: PathBuf },
}

/// A `berth dev` that answers requests.
#[derive(Debug)]
pub(crate) struct Session {
    program: Program,
    address: SocketAddr,
    log: PathBuf,
}

impl Session {
    /// Starts it and waits until it answers. Its Durable Objects are new.
    pub(crate) fn start(
        workshop: &Workshop,
        engine: &Engine,
        scratch: &Path,
        address: SocketAddr,
    ) -> Result<Self> {
        let config = write_config(workshop, engine)?;
        let home = workshop.home();
        let mut session = Self::launch(workshop, engine.name(), &config, &home, scratch, address)?;
        session.wait_until_ready()?;
        thread::sleep(SETTLE);
        Ok(session)
    }

    /// Starts it with containers of a registry's image and waits for nothing.
    pub(crate) fn of_image(inside: &Inside, image: &str, home: &Path) -> Result<Self> {
        let container = json!({ "image": image });
        let config = changed_config(&inside.workshop, "image", &container, None)?;
        Self::launch(&inside.workshop, "image", &config, home, &inside.dir, ADDRESS)
    }

    fn launch(
        workshop: &Workshop,
        name: &str,
        config: &Path,
        home: &Path,
        scratch: &Path,
        address: SocketAddr,
    ) -> Result<Self> {
        let number = fs::read_dir(scratch)?.count();
        let log = scratch.join(format!("{number}-{name}.log"));
        let mut command = Command::new(workshop.berth());
        command.arg("dev").arg(config).arg("--persist-to").arg(scratch.join(format!("o{number}")));
        command.arg("--ip").arg(address.ip().to_string());
        command.arg("--port").arg(address.port().to_string());
        command.current_dir(workshop.project()).env("BERTH_HOME", home);
        command.env_remove("CLOUDFLARE_ENV");
        let program = Program::start(&mut command, &log)?;
        Ok(Self { program, address, log })
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.program.ended(), Ok(None))
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let answered = eventually(START, || match self.program.ended() {
            Ok(None) => {
                let reply = http::get(self.address, "/").ok()?;
                (reply.status == 200).then_some(true)
            }
            Ok(Some(_)) | Err(_) => Some(false),
        });
        match answered {
            Some(true) => Ok(()),
            Some(false) => bail!("berth dev ended; it said:\n{}", self.said()),
            None => bail!("berth dev did not get ready; it said:\n{}", self.said()),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The last lines that it printed.
    pub(crate) fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<String> =
            text.lines().map(|line| line.chars().take(LONGEST_LINE).collect()).collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }

    /// Stops it as Ctrl-C does.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.interrupt();
        let ended = eventually(STOP, || self.program.ended().transpose());
        ended.with_context(|| format!("berth dev did not stop; it said:\n{}", self.said()))??;
        Ok(())
    }

    fn interrupt(&self) {
        if let Some(process) = self.program.process() {
            process.signal(Signal::INT);
        }
    }
}

impl Drop for Session {
    /// After a failure: its own clean-up is better than none.
    fn drop(&mut self) {
        self.interrupt();
        eventually(STOP, || self.program.ended().transpose());
    }
}

impl Engine {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Berth(_) => "berth",
            Self::Socket { name, .. } => name,
        }
    }
}

/// The project's configuration, changed for the engine.
fn write_config(workshop: &Workshop, engine: &Engine) -> Result<PathBuf> {
    let project = workshop.project();
    match engine {
        Engine::Berth(LITE) => Ok(project.join("wrangler.jsonc")),
        Engine::Berth(instance_type) => {
            let containers = json!({ "instance_type": instance_type });
            changed_config(workshop, instance_type, &containers, None)
        }
        Engine::Socket { name, socket } => {
            let socket = format!("unix://{}", socket.display());
            let engine = json!({ "container_engine": { "localDocker": {
                "socketPath": socket, "containerEgressInterceptorImage": SIDECAR_IMAGE,
            }}});
            changed_config(workshop, name, &json!({ "image": SERVER_IMAGE }), Some(engine))
        }
    }
}

/// The same with these fields of its container, and with `dev` if it is given.
fn changed_config(
    workshop: &Workshop,
    name: &str,
    container: &Value,
    dev: Option<Value>,
) -> Result<PathBuf> {
    let project = workshop.project();
    let config = fs::read_to_string(project.join("wrangler.jsonc"))?;
    let mut config: Value = serde_json::from_str(&config).context("read wrangler.jsonc as JSON")?;
    for (field, value) in container.as_object().into_iter().flatten() {
        config["containers"][0][field] = value.clone();
    }
    if let Some(dev) = dev {
        config["dev"] = dev;
    }
    let file = project.join(format!("wrangler.{name}.jsonc"));
    fs::write(&file, serde_json::to_vec_pretty(&config)?)?;
    Ok(file)
}
