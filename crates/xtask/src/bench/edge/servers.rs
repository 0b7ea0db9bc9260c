//! The two proxies, and the backend behind both.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{eventually, processes};
use fs_err as fs;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::bench::memory::proportional_size;
use crate::programs::{Program, run};
use crate::repository;

const START: Duration = Duration::from_secs(30);
/// Ten thousand tunnels have two ends in each program.
const FILES: u64 = 40_000;
/// Files that a proxy has open beside them, with room.
const SPARE: u64 = 500;

/// Where everything of a run lies; the backend ends when it is dropped.
#[derive(Debug)]
pub(super) struct Stage {
    dir: tempfile::TempDir,
    /// How many files each program may have open.
    files: u64,
    _backend: Program,
}

/// A proxy that answers; it ends when dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) label: &'static str,
    /// Its ports.
    pub(super) plain: u16,
    pub(super) tls: u16,
    program: Program,
}

impl Stage {
    pub(super) fn new() -> Result<Self> {
        let limit = getrlimit(Resource::Nofile);
        let most = limit.maximum.map_or(FILES, |maximum| maximum.min(FILES));
        setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..limit })?;
        let dir = tempfile::Builder::new().prefix("berth-bench-edge-").tempdir()?;
        run(Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
            ])
            .args(["-days", "2", "-subj", "/CN=localhost", "-keyout"])
            .arg(dir.path().join("tls.key"))
            .arg("-out")
            .arg(dir.path().join("tls.pem")))?;
        let socket = dir.path().join("backend.sock");
        let mut command = Command::new(alone());
        command.arg("backend").arg(&socket);
        let backend = Program::start(&mut command, &dir.path().join("backend.log"))?;
        eventually(START, || UnixStream::connect(&socket).ok()).context("the backend starts")?;
        Ok(Self { dir, files: most, _backend: backend })
    }

    /// How many tunnels a proxy can have at once, at most `wanted`: each has two ends in it.
    pub(super) fn tunnels(&self, wanted: usize) -> usize {
        let room = self.files.saturating_sub(SPARE) / 2;
        usize::try_from(room).map_or(wanted, |room| room.min(wanted))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn start_edge(&self) -> Result<Proxy> {
        let [plain, tls] = [free_port()?, free_port()?];
        let mut command = Command::new(alone());
        command.arg("proxy").arg(self.path("backend.sock"));
        command.args([plain, tls].map(|port| format!("127.0.0.1:{port}")));
        command.args(["tls.pem", "tls.key"].map(|name| self.path(name)));
        Proxy::start("edge", [plain, tls], &mut command, &self.path("edge.log"))
    }

    /// As nginx's documentation advises for a proxy with kept connections; one worker for each
    /// processor, and no log, as the edge.
    pub(super) fn start_nginx(&self) -> Result<Proxy> {
        let [plain, tls] = [free_port()?, free_port()?];
        let dir = self.dir.path().display();
        let text = format!(
            r#"
daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.log crit; user root;
worker_processes auto; worker_rlimit_nofile {FILES};
events {{ worker_connections {FILES}; }}
http {{
  access_log off; keepalive_requests 10000000;
  client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir};
  uwsgi_temp_path {dir}; scgi_temp_path {dir};
  upstream backend {{ server unix:{dir}/backend.sock; keepalive 64; keepalive_requests 10000000; }}
  map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
  server {{
    listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl http2;
    ssl_certificate {dir}/tls.pem; ssl_certificate_key {dir}/tls.key;
    location / {{
      proxy_pass http://backend; proxy_http_version 1.1; proxy_read_timeout 1h;
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
    }}
  }}
}}
"#
        );
        let config = self.path("nginx.conf");
        fs::write(&config, text)?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(config);
        Proxy::start("nginx", [plain, tls], &mut command, &self.path("nginx-out.log"))
    }
}

impl Proxy {
    fn start(
        label: &'static str,
        [plain, tls]: [u16; 2],
        command: &mut Command,
        log: &std::path::Path,
    ) -> Result<Self> {
        let program = Program::start(command, log)?;
        let there = || TcpStream::connect((Ipv4Addr::LOCALHOST, tls)).ok();
        let started = eventually(START, there);
        ensure!(started.is_some(), "{label} did not start: {}", fs::read_to_string(log)?);
        Ok(Self { label, plain, tls, program })
    }

    /// Of its process and those that it started, in KiB.
    pub(super) fn memory(&self) -> f64 {
        let Some(own) = self.program.process() else { return f64::NAN };
        let all = processes().into_iter();
        let of_it = all.filter(|process| process.pid == own.pid || process.parent == own.pid);
        of_it.filter_map(|process| proportional_size(process.pid)).sum()
    }
}

fn alone() -> PathBuf {
    repository::root().join("target/release/examples/edge_alone")
}

/// One that nobody listens on.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a port")?;
    Ok(listener.local_addr()?.port())
}
