//! The peer: Docker Engine, started by hand from nothing, and its API.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::eventually;
use fs_err as fs;
use serde_json::Value;

use super::session::{Engine, SERVER_IMAGE, SIDECAR_IMAGE};
use crate::enclosure;
use crate::http::{Connection, request};
use crate::programs::Program;

const START: Duration = Duration::from_secs(60);

/// A running engine with the bench's images. Its containers end with the enclosure.
#[derive(Debug)]
pub(crate) struct Docker {
    // Dropped in this order.
    _dockerd: Program,
    _containerd: Program,
    socket: PathBuf,
    pub(crate) version: String,
}

impl Docker {
    /// Starts both daemons with their data in `dir`, and gives them the images.
    pub(crate) fn start(dir: &Path, server: &Path, sidecar: &Path) -> Result<Self> {
        let home = dir.join("docker");
        fs::create_dir(&home)?;
        let containerd = start_containerd(&home)?;
        let socket = home.join("docker.sock");
        let mut dockerd = Command::new("dockerd");
        dockerd.arg("--data-root").arg(home.join("data"));
        dockerd.arg("--exec-root").arg(home.join("exec"));
        dockerd.arg("--pidfile").arg(home.join("pid"));
        dockerd.arg("--containerd").arg(home.join("containerd.sock"));
        dockerd.arg("--host").arg(format!("unix://{}", socket.display()));
        // Without it, the bridge network of a fresh engine names no gateway, and workerd needs one.
        dockerd.args(["--bip", "172.17.0.1/16"]);
        dockerd.arg("--cgroup-parent").arg(Path::new("/").join(enclosure::cgroup(dir)));
        let log = home.join("dockerd.log");
        let dockerd = Program::start(&mut dockerd, &log)?;
        let mut docker =
            Self { _dockerd: dockerd, _containerd: containerd, socket, version: String::new() };
        let version = eventually(START, || docker.call("GET", "/version", b"").ok());
        let version = version.with_context(|| {
            format!(
                "dockerd did not start; it said:\n{}",
                fs::read_to_string(log).unwrap_or_default()
            )
        })?;
        docker.version = version["Version"].as_str().unwrap_or("?").to_owned();
        docker.import(server, SERVER_IMAGE, "CMD")?;
        docker.import(sidecar, SIDECAR_IMAGE, "ENTRYPOINT")?;
        Ok(docker)
    }

    pub(crate) fn engine(&self) -> Engine {
        Engine::Socket { name: "docker", socket: self.socket.clone() }
    }

    /// A kept connection to the API.
    pub(crate) fn connect(&self) -> Result<Api> {
        let connection = Connection::open_unix(&self.socket).context("connect to dockerd")?;
        Ok(Api { connection })
    }

    fn call(&self, method: &str, target: &str, body: &[u8]) -> Result<Value> {
        self.connect()?.call(method, target, body)
    }

    /// An image of one file, which is the program that it runs.
    fn import(&self, program: &Path, name: &str, instruction: &str) -> Result<()> {
        let dir = program.parent().context("the program lies in a folder")?;
        let file = program.file_name().and_then(|file| file.to_str()).context("a plain name")?;
        let tar = Command::new("tar").arg("-C").arg(dir).args(["-c", file]).output();
        let tar = tar.context("run tar")?;
        ensure!(tar.status.success(), "tar: {}", String::from_utf8_lossy(&tar.stderr));
        let (repository, tag) = name.split_once(':').context("an image has a tag")?;
        // `CMD ["/server"]`, escaped for a query.
        let change = format!("{instruction}%20%5B%22%2F{file}%22%5D");
        let target =
            format!("/images/create?fromSrc=-&repo={repository}&tag={tag}&changes={change}");
        self.connect()?.send("POST", &target, &tar.stdout)?;
        Ok(())
    }
}

fn start_containerd(home: &Path) -> Result<Program> {
    let socket = home.join("containerd.sock");
    let mut containerd = Command::new("containerd");
    containerd.arg("--root").arg(home.join("containerd"));
    containerd.arg("--state").arg(home.join("containerd-state"));
    containerd.arg("--address").arg(&socket);
    let log = home.join("containerd.log");
    let containerd = Program::start(&mut containerd, &log)?;
    let connected = eventually(START, || UnixStream::connect(&socket).ok());
    if connected.is_none() {
        let said = fs::read_to_string(log).unwrap_or_default();
        bail!("containerd did not start; it said:\n{said}");
    }
    Ok(containerd)
}

/// One connection to the engine.
#[derive(Debug)]
pub(crate) struct Api {
    connection: Connection<UnixStream>,
}

impl Api {
    /// A call whose answer is JSON, or nothing.
    pub(crate) fn call(&mut self, method: &str, target: &str, body: &[u8]) -> Result<Value> {
        let answer = self.send(method, target, body)?;
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer).with_context(|| format!("read {method} {target}"))
    }

    fn send(&mut self, method: &str, target: &str, body: &[u8]) -> Result<Vec<u8>> {
        let reply = self.connection.call(&request(method, target, body));
        let reply = reply.with_context(|| format!("{method} {target}"))?;
        let text = String::from_utf8_lossy(&reply.body);
        ensure!(reply.status < 400, "{method} {target}: {} {text}", reply.status);
        Ok(reply.body)
    }
}
