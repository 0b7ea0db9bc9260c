//! Where chaos happens: the project, its homes, and the `berth dev` that is killed and started again.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::{Process, eventually, processes};
use fs_err as fs;
use rustix::process::Signal;

use super::plan::{Kill, Victim};
use crate::http;
use crate::programs::{Program, run};
use crate::{repository, say};

/// Where each `berth dev` listens; the network is the run's own.
pub(super) const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8787);
/// A first start installs a toolchain and builds an image.
const FIRST_START: Duration = Duration::from_secs(300);
/// A later start has both.
const START: Duration = Duration::from_secs(90);
/// A stop ends every instance.
const STOP: Duration = Duration::from_secs(60);
/// What a process leaves that was killed goes within this time.
const GONE: Duration = Duration::from_secs(15);
/// The Worker's secret: nobody may see it but the Worker and its instances.
pub(super) const SECRET: &str = "hush-this-is-the-secret-of-chaos";
/// Environment of what the tests run as, not of the project.
const FOREIGN: [&str; 2] = ["CLOUDFLARE_ENV", "BERTH_REGISTRY_MIRRORS"];

/// What is prepared once and kept between runs: the project with its packages, and a toolchain.
#[derive(Debug, Clone)]
pub(super) struct Workshop {
    berth: PathBuf,
    dir: PathBuf,
}

impl Workshop {
    /// Where it lies.
    pub(super) fn folder(&self) -> &Path {
        &self.dir
    }

    /// That of the build which this program comes from; `berth` is another binary than that build's.
    pub(super) fn find(berth: Option<&Path>) -> Result<Self> {
        let this = std::env::current_exe().context("find this program")?;
        let target = this.ancestors().nth(2).context("this program lies in no build's output")?;
        let berth = berth.map_or_else(|| target.join("release/berth"), Path::to_owned);
        Ok(Self { berth, dir: target.join("chaos") })
    }

    fn project(&self) -> PathBuf {
        self.dir.join("project")
    }

    fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    /// Makes all that needs a network.
    pub(super) fn prepare(&self) -> Result<()> {
        ensure!(rustix::process::geteuid().is_root(), "chaos makes namespaces: run it as root");
        ensure!(self.berth.exists(), "there is no {}: build it first", self.berth.display());
        let source = repository::root().join("crates/xtask/tests/chaos/project");
        let project = self.project();
        fs::create_dir_all(&project)?;
        run(Command::new("cp").args(["-rpT"]).arg(&source).arg(&project))?;
        say("chaos: install the project's packages");
        let mut npm = Command::new("npm");
        run(npm.args(["ci", "--no-audit", "--no-fund", "--silent"]).current_dir(&project))?;
        say("chaos: compile the instances' program");
        fs::create_dir_all(project.join("build"))?;
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-o"]);
        run(rustc.arg(project.join("build/server")).arg(project.join("server/main.rs")))?;
        say("chaos: a first `berth dev` installs the toolchain");
        let stage = Stage {
            berth: self.berth.clone(),
            project,
            home: self.home(),
            state: self.dir.join("state"),
            logs: self.dir.clone(),
            temporary: self.dir.clone(),
        };
        fs::create_dir_all(&stage.home)?;
        let port = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a port")?;
        let address = port.local_addr().context("find a port")?;
        drop(port);
        let mut berth = stage.spawn(0, address)?;
        berth.wait_until_ready(FIRST_START)?;
        berth.stop()
    }
}

/// The folders of one run.
#[derive(Debug)]
pub(super) struct Stage {
    berth: PathBuf,
    pub(super) project: PathBuf,
    pub(super) home: PathBuf,
    pub(super) state: PathBuf,
    /// One log for each start.
    pub(super) logs: PathBuf,
    pub(super) temporary: PathBuf,
}

impl Stage {
    /// Makes the run's own copy of the project and a home of its own, all in `dir`.
    pub(super) fn make(workshop: &Workshop, dir: &Path) -> Result<Self> {
        let stage = Self {
            berth: workshop.berth.clone(),
            project: dir.join("p"),
            home: dir.join("h"),
            state: dir.join("s"),
            logs: dir.join("l"),
            temporary: dir.join("t"),
        };
        for dir in [&stage.home, &stage.logs, &stage.temporary] {
            fs::create_dir(dir)?;
        }
        run(Command::new("cp").args(["-rpT"]).arg(workshop.project()).arg(&stage.project))?;
        fs::write(stage.project.join(".dev.vars"), format!("SECRET={SECRET}\n"))?;
        run(Command::new("chmod").arg("600").arg(stage.project.join(".dev.vars")))?;
        symlink(workshop.home().join("toolchain"), stage.home.join("toolchain"))?;
        Ok(stage)
    }

    /// Starts `berth dev`; `number` names its log.
    pub(super) fn start(&self, number: usize) -> Result<Berth> {
        self.spawn(number, ADDRESS)
    }

    fn spawn(&self, number: usize, address: SocketAddr) -> Result<Berth> {
        let log = self.logs.join(format!("{number:04}.log"));
        let mut command = Command::new(&self.berth);
        command.arg("dev").arg(&self.project).arg("--persist-to").arg(&self.state);
        command.arg("--ip").arg(address.ip().to_string());
        command.arg("--port").arg(address.port().to_string());
        command.env("BERTH_HOME", &self.home).env("TMPDIR", &self.temporary);
        for name in FOREIGN {
            command.env_remove(name);
        }
        let program = Program::start(&mut command, &log)?;
        Ok(Berth { program, log, address })
    }

    /// Changes the Worker's code.
    pub(super) fn change_code(&self, version: u64) -> Result<()> {
        let path = self.project.join("src/index.js");
        let text = fs::read_to_string(&path)?;
        let line = text.lines().find(|line| line.starts_with("const VERSION = "));
        let line = line.context("the Worker has no version")?;
        let changed = text.replace(line, &format!("const VERSION = {version};"));
        // As editors do: a reader never finds half a file.
        let beside = path.with_extension("new");
        fs::write(&beside, changed)?;
        fs::rename(&beside, &path)?;
        Ok(())
    }

    /// What all `berth dev`s of this run have printed.
    pub(super) fn said(&self) -> String {
        let Ok(entries) = fs::read_dir(&self.logs) else { return String::new() };
        let mut paths: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        paths.iter().map(|path| fs::read_to_string(path).unwrap_or_default()).collect()
    }
}

/// A `berth dev`.
#[derive(Debug)]
pub(super) struct Berth {
    program: Program,
    pub(super) log: PathBuf,
    address: SocketAddr,
}

impl Berth {
    /// Waits until the Worker answers.
    pub(super) fn ready(&mut self) -> Result<()> {
        self.wait_until_ready(START)
    }

    fn wait_until_ready(&mut self, patience: Duration) -> Result<()> {
        let (program, address) = (&mut self.program, self.address);
        let ready = eventually(patience, || match program.ended() {
            Ok(None) => {
                let reply = http::get_within(START, address, "/").ok()?;
                (reply.status == 200).then_some(true)
            }
            Ok(Some(_)) | Err(_) => Some(false),
        });
        match ready {
            Some(true) => Ok(()),
            Some(false) => bail!("`berth dev` ended; it said:\n{}", self.said()),
            None => bail!("`berth dev` did not get ready; it said:\n{}", self.said()),
        }
    }

    pub(super) fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Whether it has printed this.
    pub(super) fn has_said(&self, text: &str) -> bool {
        fs::read_to_string(&self.log).is_ok_and(|log| log.contains(text))
    }

    pub(super) fn interrupt(&self) {
        if let Some(process) = self.program.process() {
            process.signal(Signal::INT);
        }
    }

    /// Stops it as Ctrl-C does; it must end well.
    pub(super) fn stop(mut self) -> Result<()> {
        self.interrupt();
        let ended = eventually(STOP, || self.program.ended().transpose());
        let status =
            ended.with_context(|| format!("`berth dev` did not stop:\n{}", self.said()))??;
        ensure!(status.success(), "`berth dev` ended with {status}:\n{}", self.said());
        Ok(())
    }

    /// Kills it and waits until all that must go with it is gone: workerd, esbuild, the launcher and
    /// every init without a program.
    pub(super) fn kill(self) -> Result<()> {
        drop(self.program);
        let gone = eventually(GONE, || strays().is_empty().then_some(()));
        ensure!(gone.is_some(), "`berth dev` was killed and left: {}", strays().join(", "));
        Ok(())
    }

    /// The process that a kill is meant for, unless there is none now.
    pub(super) fn victim(&self, kill: Kill) -> Option<Process> {
        let berth = self.program.process();
        let all = processes();
        let children: Vec<&Process> = all
            .iter()
            .filter(|process| berth.as_ref().is_some_and(|berth| process.parent == berth.pid))
            .collect();
        let named = |name: &str| children.iter().find(|p| p.name == name).map(|p| (*p).clone());
        let runs = |init: &Process| all.iter().any(|process| process.parent == init.pid);
        let nth = |mut of: Vec<Process>| {
            let count = u64::try_from(of.len()).ok().filter(|count| *count > 0)?;
            Some(of.swap_remove(usize::try_from(kill.nth % count).ok()?))
        };
        let inits = |running: bool| {
            let inits = all.iter().filter(|process| process.name == "berth-init");
            inits.filter(|init| runs(init) == running).cloned().collect()
        };
        match kill.victim {
            Victim::Berth => berth,
            Victim::Workerd => named("workerd"),
            Victim::Launcher => named("berth-launcher"),
            Victim::ParkedInit => nth(inits(false)),
            Victim::RunningInit => nth(inits(true)),
            Victim::Program => nth(all.iter().filter(|p| p.name == "server").cloned().collect()),
        }
    }
}

/// Processes that do not outlive a `berth dev`. What an instance consists of does.
fn strays() -> Vec<String> {
    let all = processes();
    let is_stray = |process: &&Process| match process.name.as_str() {
        "berth-init" => !all.iter().any(|other| other.parent == process.pid),
        "berth" | "workerd" | "esbuild" | "berth-launcher" => true,
        _ => false,
    };
    let strays = all.iter().filter(is_stray);
    strays.map(|process| format!("{} (process {})", process.name, process.pid)).collect()
}
