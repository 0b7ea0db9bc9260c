//! What is made before anything is measured, and outside the namespaces, where there is a network.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use rustix::process::geteuid;

use super::options::Options;
use super::session::{Engine, LITE, Session};
use crate::prerequisites::is_there;
use crate::programs::run;
use crate::{repository, say};

/// Longest path of Berth's home in bytes: its sockets' names must fit behind it.
const LONGEST_HOME: usize = 50;
/// What the bench cannot run without, and the Debian packages that have it.
const TOOLS: [(&str, &str); 4] =
    [("setpriv", "util-linux"), ("unshare", "util-linux"), ("ip", "iproute2"), ("npm", "npm")];
/// Programs of the peer.
const DOCKER: [&str; 3] = ["dockerd", "containerd", "iptables"];

/// Where prepared things lie. Kept between runs.
#[derive(Debug, Clone)]
pub(crate) struct Workshop {
    /// The build's output.
    target: PathBuf,
    dir: PathBuf,
}

impl Workshop {
    /// That of the build which this program comes from.
    pub(crate) fn find() -> Result<Self> {
        let this = std::env::current_exe().context("find this program")?;
        let target = this.ancestors().nth(2).context("this program lies in no build's output")?;
        Ok(Self { target: target.to_owned(), dir: target.join("bench") })
    }

    /// For what is made once and kept.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn berth(&self) -> PathBuf {
        self.target.join("release/berth")
    }

    pub(crate) fn start_bench(&self) -> PathBuf {
        self.target.join("release/examples/start_bench")
    }

    /// The bench's project, its packages installed.
    pub(crate) fn project(&self) -> PathBuf {
        self.dir.join("project")
    }

    /// The server in the containers.
    pub(crate) fn server(&self) -> PathBuf {
        self.project().join("build/server")
    }

    /// The stand-in for workerd's sidecar.
    pub(crate) fn sidecar(&self) -> PathBuf {
        self.dir.join("sidecar")
    }

    /// Berth's home: toolchain and images.
    pub(crate) fn home(&self) -> PathBuf {
        let home = self.dir.join("home");
        if home.as_os_str().len() <= LONGEST_HOME { home } else { "/var/tmp/berth-bench".into() }
    }

    /// Builds and installs all that a run needs.
    pub(crate) fn prepare(&self, scratch: &Path) -> Result<()> {
        ensure!(geteuid().is_root(), "the bench makes namespaces: run it as root");
        for (tool, package) in TOOLS {
            ensure!(is_there(tool), "`{tool}` is missing (Debian: apt-get install {package})");
        }
        say("bench: build berth and the runtime's start_bench");
        self.cargo(&["-p", "berth"])?;
        self.cargo(&["-p", "berth-runtime", "--example", "start_bench"])?;
        self.copy_project()?;
        say("bench: compile the sidecar's stand-in");
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-o"]);
        run(rustc.arg(self.sidecar()).arg(repository::root().join("benches/sidecar/main.rs")))?;
        say("bench: a first `berth dev` installs the toolchain and builds the image");
        let port = free_port()?;
        Session::start(self, &Engine::Berth(LITE), scratch, port)?.stop()
    }

    fn cargo(&self, what: &[&str]) -> Result<()> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = repository::command(cargo);
        command.args(["build", "--quiet", "--release"]).args(what);
        run(command.env("CARGO_TARGET_DIR", &self.target))
    }

    /// Copies the project out of the repository and installs its packages, unless they are there.
    fn copy_project(&self) -> Result<()> {
        let source = repository::root().join("benches/project");
        let project = self.project();
        fs::create_dir_all(&project)?;
        let lock = |dir: &Path| fs::read(dir.join("package-lock.json")).ok();
        let installed = lock(&project) == lock(&source) && project.join("node_modules").exists();
        // Times come along: the server is not compiled again.
        run(Command::new("cp").args(["-rpT"]).arg(&source).arg(&project))?;
        if installed {
            return Ok(());
        }
        say("bench: install the project's packages");
        run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&project))
    }
}

/// Whether this run has its peer: none was asked for, or it is here, or it can be installed.
pub(crate) fn find_peer(options: &Options) -> Result<bool> {
    if options.peer.is_none() {
        return Ok(false);
    }
    let missing = || DOCKER.into_iter().find(|program| !is_there(program));
    if missing().is_some() && options.install_peer {
        say("bench: install the peer");
        run(Command::new("apt-get").args(["install", "-y", "docker.io", "iptables"]))?;
    }
    if let Some(program) = missing() {
        say(&format!(
            "bench: `{program}` is missing: this run has no peer (--install-peer installs it)"
        ));
    }
    Ok(missing().is_none())
}

fn free_port() -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a port")?;
    listener.local_addr().context("find a port")
}
