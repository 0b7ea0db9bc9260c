//! An engine that starts nothing: the floor under every other one.
//!
//! It speaks the slice of Docker's API that workerd uses and says at once that all is done. All its
//! containers are one server that runs on the host already, behind one port of the sidecar's
//! protocol. What a request takes here, workerd and the npm class take.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, ensure};
use e2e::{PATIENCE, eventually};
use fs_err as fs;

use super::session::Engine;
use crate::http::{read_body, read_head};
use crate::programs::Program;

/// Where the sidecar and the server listen on the host: below the ports that connections are given.
const SIDECAR: &str = "127.0.0.1:8081";
const SERVER: &str = "127.0.0.1:8080";

/// The engine, its sidecar and its server.
#[derive(Debug)]
pub(crate) struct Bare {
    _sidecar: Program,
    _server: Program,
    socket: PathBuf,
}

impl Bare {
    /// Starts it with its socket in `dir`. It ends with this process.
    pub(crate) fn start(dir: &Path, server: &Path, sidecar: &Path) -> Result<Self> {
        let server = start_server(dir, server)?;
        let mut command = Command::new(sidecar);
        command.args(["--http-ingress-address", SIDECAR]);
        let sidecar = start(&mut command, &dir.join("sidecar.log"), SIDECAR)?;
        let socket = dir.join("bare.sock");
        let listener = UnixListener::bind(&socket).context("listen for the bare engine")?;
        let containers = Arc::new(Containers::default());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let containers = Arc::clone(&containers);
                thread::spawn(move || {
                    // A client that goes away is no reason to stop.
                    let _ = serve(&stream, &containers);
                });
            }
        });
        Ok(Self { _sidecar: sidecar, _server: server, socket })
    }

    pub(crate) fn engine(&self) -> Engine {
        Engine::Socket { name: "bare", socket: self.socket.clone() }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
    }
}

/// Runs the containers' server on the host, on its port 8080.
pub(crate) fn start_server(dir: &Path, server: &Path) -> Result<Program> {
    start(&mut Command::new(server), &dir.join("server.log"), SERVER)
}

/// Starts a program and waits until it listens.
fn start(command: &mut Command, log: &Path, address: &str) -> Result<Program> {
    let mut program = Program::start(command, log)?;
    let listens = eventually(PATIENCE, || match program.ended() {
        Ok(None) => TcpStream::connect(address).is_ok().then_some(true),
        Ok(Some(_)) | Err(_) => Some(false),
    });
    let said = || fs::read_to_string(log).unwrap_or_default();
    ensure!(listens == Some(true), "{command:?} does not listen on {address}:\n{}", said());
    Ok(program)
}

/// Whether a container runs, by name.
#[derive(Debug, Default)]
struct Containers {
    running: Mutex<BTreeMap<String, bool>>,
    changed: Condvar,
}

impl Containers {
    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, bool>) -> T) -> T {
        let result = change(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
        result
    }

    /// Returns once the container has ended or is gone.
    fn wait(&self, name: &str) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let runs =
            |running: &mut BTreeMap<String, bool>| running.get(name).is_some_and(|runs| *runs);
        drop(self.changed.wait_while(running, runs));
    }
}

fn serve(stream: &UnixStream, containers: &Containers) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(head) = read_head(&mut reader)? {
        read_body(&mut reader, &head)?;
        let mut words = head.start_line.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (status, body) = answer(method, target, containers);
        let length = body.len();
        let head = format!("HTTP/1.1 {status} -\r\nContent-Type: application/json\r\n");
        let length =
            if status == 204 { String::new() } else { format!("Content-Length: {length}\r\n") };
        (&mut &*stream).write_all(format!("{head}{length}\r\n{body}").as_bytes())?;
    }
    Ok(())
}

/// The answer to one call of workerd.
fn answer(method: &str, target: &str, containers: &Containers) -> (u16, String) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (method, parts.as_slice()) {
        ("GET", ["volumes"]) => (200, r#"{"Volumes":[]}"#.to_owned()),
        ("GET", ["networks", _]) => {
            let network = r#"{"IPAM":{"Config":[{"Subnet":"127.0.0.0/8","Gateway":"127.0.0.1"}]}}"#;
            (200, network.to_owned())
        }
        ("POST", ["images", "create"]) => (200, String::new()),
        ("GET", ["images", ..]) => (200, r#"{"Id":"sha256:0","Size":0}"#.to_owned()),
        ("POST", ["containers", "create"]) => {
            let name = query.split('&').find_map(|pair| pair.strip_prefix("name="));
            let name = name.unwrap_or_default().to_owned();
            let id = format!(r#"{{"Id":"{name}"}}"#);
            containers.change(|all| all.insert(name, false));
            (201, id)
        }
        ("GET", ["containers", name, "json"]) => {
            inspect(containers.change(|all| all.get(*name).copied()))
        }
        ("POST", ["containers", name, "start"]) => set(containers, name, true),
        ("POST", ["containers", name, "kill"]) => set(containers, name, false),
        ("POST", ["containers", name, "wait"]) => {
            containers.wait(name);
            (200, r#"{"StatusCode":137}"#.to_owned())
        }
        ("DELETE", ["containers", name]) => match containers.change(|all| all.remove(*name)) {
            Some(_) => (204, String::new()),
            None => not_found(),
        },
        _ => (501, format!(r#"{{"message":"the bare engine has no {method} {path}"}}"#)),
    }
}

fn inspect(running: Option<bool>) -> (u16, String) {
    let Some(running) = running else { return not_found() };
    let status = if running { "running" } else { "exited" };
    let port = SIDECAR.rsplit(':').next().unwrap_or_default();
    let ports = format!(r#"{{"39001/tcp":[{{"HostIp":"127.0.0.1","HostPort":"{port}"}}]}}"#);
    let state = format!(r#""State":{{"Status":"{status}"}},"Config":{{"Image":""}}"#);
    (200, format!(r#"{{{state},"NetworkSettings":{{"Ports":{ports}}}}}"#))
}

fn set(containers: &Containers, name: &str, running: bool) -> (u16, String) {
    let found = containers.change(|all| all.get_mut(name).map(|now| *now = running));
    if found.is_some() { (204, String::new()) } else { not_found() }
}

fn not_found() -> (u16, String) {
    (404, r#"{"message":"No such container"}"#.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_runs_from_its_start_to_its_end() {
        let containers = Containers::default();
        let status = |method, target| answer(method, target, &containers).0;
        assert_eq!(status("GET", "/containers/a/json"), 404);
        assert_eq!(status("POST", "/containers/create?name=a"), 201);
        assert_eq!(status("POST", "/containers/a/start"), 204);
        let (_, inspected) = answer("GET", "/containers/a/json", &containers);
        let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
        assert_eq!(inspected["State"]["Status"], "running");
        assert_eq!(status("POST", "/containers/a/kill?signal=SIGTERM"), 204);
        assert_eq!(status("POST", "/containers/a/wait"), 200);
        assert_eq!(status("DELETE", "/containers/a?force=true"), 204);
        assert_eq!(status("DELETE", "/containers/a?force=true"), 404);
    }
}
