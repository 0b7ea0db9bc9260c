//! A running `berth docker serve`, the `docker` command that asks it, and `berth-docker`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fs_err as fs;
use rustix::process::Signal;

use crate::berth::{Berth, Outcome};
use crate::cache::{berth_binary, own_dir};
use crate::leftovers::Footprint;
use crate::lines::Lines;
use crate::packages::docker_command;
use crate::process::Process;
use crate::project::Project;
use crate::registry::Registry;
use crate::wait::{PATIENCE, eventually};

/// How long it may take to listen, or to end with containers that heed no signal.
const START: Duration = Duration::from_secs(60);
const LISTENING: &str = "Listening on unix://";

/// `berth docker serve` with a socket of its own. When dropped it is stopped.
#[derive(Debug)]
pub struct Engine {
    child: Child,
    lines: Lines,
    socket: PathBuf,
    project: Project,
}

impl Engine {
    /// Starts it with the project's home and waits until it listens.
    ///
    /// # Panics
    /// It does not listen; the message holds what it said.
    #[must_use]
    pub fn start(project: &Project) -> Self {
        let socket = project.path().join("d.sock");
        let mut command = Command::new(berth_binary());
        command.args(["docker", "serve", "--socket"]).arg(&socket);
        surroundings(&mut command, project);
        let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.expect("start berth docker serve");
        let lines = Lines::default();
        lines.gather(child.stdout.take().expect("stdout is a pipe"));
        lines.gather(child.stderr.take().expect("stderr is a pipe"));
        let listening = eventually(START, || {
            let ended = child.try_wait().expect("look after the engine").is_some();
            lines.with(LISTENING).pop().map(Some).or(ended.then_some(None))
        });
        let engine = Self { child, lines, socket, project: project.clone() };
        assert!(matches!(listening, Some(Some(_))), "it does not listen:\n{}", engine.lines);
        engine
    }

    /// Its address, for `DOCKER_HOST`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The real `docker` command, asking this engine.
    #[must_use]
    pub fn docker<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Tool {
        let mut tool = Tool::new(docker_command(), &self.project);
        tool.0.env("DOCKER_HOST", self.host()).env("DOCKER_BUILDKIT", "0").args(args);
        tool
    }

    /// `berth-docker`, asking this engine where it asks one.
    #[must_use]
    pub fn berth_docker<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Tool {
        let mut tool = Tool::berth_docker(&self.project, args);
        tool.0.env("DOCKER_HOST", self.host());
        tool
    }

    /// What it holds on this machine now. For engines with a home of their own.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        Footprint::of(self.child.id(), &[self.project.home().join("docker/i")])
    }

    /// All lines so far that contain `text`.
    #[must_use]
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        self.lines.with(text)
    }

    /// Kills it, as a crash would, and nothing it started.
    ///
    /// # Panics
    /// It can't be killed.
    pub fn kill(mut self) {
        self.child.kill().expect("kill the engine");
        self.child.wait().expect("wait for the engine");
    }

    /// Stops it and asserts that it ends well.
    ///
    /// # Panics
    /// It does not end, or not with exit code 0.
    pub fn stop(mut self) {
        self.signal();
        let child = &mut self.child;
        let ended = eventually(START, || child.try_wait().expect("look after the engine"));
        let status = ended.unwrap_or_else(|| panic!("it did not end:\n{}", self.lines));
        assert_eq!(status.code(), Some(0), "{status}\n{}", self.lines);
    }

    fn signal(&self) {
        if let Some(process) = Process::with_pid(self.child.id()) {
            process.signal(Signal::TERM);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        self.signal();
        let child = &mut self.child;
        let ended = eventually(START, || child.try_wait().is_ok_and(|s| s.is_some()).then_some(()));
        if ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A command that ends by itself.
#[derive(Debug)]
pub struct Tool(Command);

impl Tool {
    fn new(program: impl AsRef<OsStr>, project: &Project) -> Self {
        let mut command = Command::new(program);
        surroundings(&mut command, project);
        Self(command)
    }

    /// Any program in a project's folder.
    #[must_use]
    pub fn program<A: AsRef<OsStr>>(
        program: &Path,
        project: &Project,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let mut tool = Self::new(program, project);
        tool.0.args(args);
        tool
    }

    /// `berth-docker` in a project's folder, without any engine.
    #[must_use]
    pub fn berth_docker<A: AsRef<OsStr>>(
        project: &Project,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let mut tool = Self::new(berth_docker_binary(), project);
        tool.0.args(args);
        tool
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// It can't be run.
    #[must_use]
    pub fn run(self) -> Outcome {
        self.run_with("")
    }

    /// The same, with that on its standard input.
    ///
    /// # Panics
    /// It can't be run.
    #[must_use]
    pub fn run_with(mut self, input: impl Into<Vec<u8>>) -> Outcome {
        let input = input.into();
        self.0.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.0.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.0));
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        std::thread::spawn(move || {
            // A program that reads nothing may have ended.
            let _ = std::io::Write::write_all(&mut stdin, &input);
        });
        let process = Process::with_pid(child.id());
        let waiting = std::thread::spawn(move || child.wait_with_output());
        let ended = eventually(3 * PATIENCE, || waiting.is_finished().then_some(()));
        if let (None, Some(process)) = (ended, process) {
            process.kill();
        }
        let output = waiting.join().expect("the waiting thread ends").expect("wait for a command");
        let outcome = Outcome::from(output);
        assert!(ended.is_some(), "{:?} did not end: {outcome}", self.0);
        outcome
    }

    /// Runs it and gives its standard output, its last line feed left out.
    ///
    /// # Panics
    /// It fails.
    #[must_use]
    #[track_caller]
    pub fn says(self) -> String {
        let outcome = self.run();
        outcome.assert_succeeds();
        outcome.stdout.trim_end_matches('\n').to_owned()
    }

    /// Starts it; its output can be waited for.
    ///
    /// # Panics
    /// It can't be run.
    #[must_use]
    pub fn start(mut self) -> Background {
        self.0.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.0.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.0));
        let lines = Lines::default();
        lines.gather(child.stdout.take().expect("stdout is a pipe"));
        lines.gather(child.stderr.take().expect("stderr is a pipe"));
        Background { child, lines: Arc::new(lines) }
    }
}

impl From<Berth> for Tool {
    fn from(berth: Berth) -> Self {
        Self(berth.into_command())
    }
}

/// A command that runs on; killed when dropped.
#[derive(Debug)]
pub struct Background {
    child: Child,
    lines: Arc<Lines>,
}

impl Background {
    /// Waits for a line that contains `text` and returns it.
    ///
    /// # Panics
    /// None comes.
    #[must_use]
    #[track_caller]
    pub fn wait_for_line(&self, text: &str, patience: Duration) -> String {
        let line = self.lines.wait(text, 1, patience);
        line.unwrap_or_else(|| panic!("{text:?} did not come:\n{}", self.lines))
    }

    /// Waits for a line that contains one of `texts` and returns it.
    ///
    /// # Panics
    /// None comes.
    #[must_use]
    #[track_caller]
    pub fn wait_for_one_of(&self, texts: &[&str], patience: Duration) -> String {
        let line =
            eventually(patience, || texts.iter().find_map(|text| self.lines.with(text).pop()));
        line.unwrap_or_else(|| panic!("none of {texts:?} came:\n{}", self.lines))
    }

    /// All lines so far that contain `text`.
    #[must_use]
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        self.lines.with(text)
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// It can't be looked after.
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.child.try_wait().expect("look after a command");
        status.map(|status| status.code().unwrap_or(-1))
    }

    /// Interrupts it, as Ctrl-C does, and waits for its end.
    ///
    /// # Panics
    /// It does not end.
    pub fn interrupt(mut self) -> Option<i32> {
        if let Some(process) = Process::with_pid(self.child.id()) {
            process.signal(Signal::INT);
        }
        let child = &mut self.child;
        let ended = eventually(PATIENCE, || child.try_wait().expect("look after a command"));
        ended.unwrap_or_else(|| panic!("it did not end:\n{}", self.lines)).code()
    }

    /// All it said.
    #[must_use]
    pub fn said(&self) -> String {
        self.lines.to_string()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        for process in Process::descendants_of(self.child.id()) {
            process.kill();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `berth-docker`: a link to the `berth` under test.
///
/// # Panics
/// It can't be made.
#[must_use]
pub fn berth_docker_binary() -> PathBuf {
    static LINK: OnceLock<PathBuf> = OnceLock::new();
    LINK.get_or_init(|| {
        let absolute = |path: PathBuf| std::path::absolute(path).expect("the folder is there");
        let (berth, folder) = (absolute(berth_binary()), absolute(own_dir()));
        fs::create_dir_all(&folder).expect("make the cache");
        let link = folder.join("berth-docker");
        // In one step: tests of another process may be using it.
        let new = link.with_extension(std::process::id().to_string());
        fs::os::unix::fs::symlink(berth, &new).expect("make a link");
        fs::rename(new, &link).expect("move the link into its place");
        link
    })
    .clone()
}

/// The project's folder and home, the registry of base images, and no other configuration.
pub(crate) fn surroundings(command: &mut Command, project: &Project) {
    let mirrors = format!("docker.io={}", Registry::of_base_images().url());
    command
        .current_dir(project.path())
        .env("BERTH_HOME", project.home())
        .env("BERTH_REGISTRY_MIRRORS", mirrors)
        .env("DOCKER_CONFIG", project.path().join(".docker"))
        .env_remove("DOCKER_HOST");
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_string_lossy().starts_with("CLOUDFLARE_")) {
        command.env_remove(name);
    }
}
