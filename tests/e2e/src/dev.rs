//! A running `berth dev`.

use std::ops::Deref;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::berth::Berth;
use crate::client::Client;
use crate::leftovers::Footprint;
use crate::lines::Lines;
use crate::process::Process;
use crate::project::Project;
use crate::terminal::Terminal;
use crate::wait::{PATIENCE, eventually};

/// A first start installs the toolchain, pulls and builds images.
const START: Duration = Duration::from_secs(300);
/// Stopping waits for instances: ten seconds unless a project asks for more.
const STOP: Duration = Duration::from_secs(60);
/// Precedes the address once requests are answered.
const READY: &str = "Ready on http://";

/// `berth dev` on a project, on a free port. It is a [`Client`] of the address it listens on. When
/// dropped it is stopped; a failed test shows what it said.
#[derive(Debug)]
pub struct Dev {
    child: Child,
    process: Process,
    lines: Lines,
    client: Client,
    terminal: Option<Terminal>,
    project: Project,
}

impl Dev {
    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// It does not get ready; the message holds what it said.
    #[must_use]
    pub fn start(project: &Project) -> Self {
        Self::start_with(project, &[])
    }

    /// The same with further arguments.
    ///
    /// # Panics
    /// It does not get ready; the message holds what it said.
    #[must_use]
    pub fn start_with(project: &Project, args: &[&str]) -> Self {
        Self::run(Self::command(project).args(args), project, None)
    }

    /// The same in a terminal, where [`Dev::press`] works.
    ///
    /// # Panics
    /// It does not get ready; the message holds what it said.
    #[must_use]
    pub fn start_in_terminal(project: &Project) -> Self {
        let (terminal, program) = Terminal::open().expect("open a terminal");
        Self::run(Self::command(project), project, Some((terminal, program)))
    }

    /// `berth dev` on a free port, not started yet.
    #[must_use]
    pub fn command(project: &Project) -> Berth {
        Berth::new(project, ["dev", "--port", "0"])
    }

    /// Starts a command made of [`Dev::command`] and waits until it is ready.
    ///
    /// # Panics
    /// It does not get ready; the message holds what it said.
    #[must_use]
    pub fn start_command(command: Berth, project: &Project) -> Self {
        Self::run(command, project, None)
    }

    fn run(
        berth: Berth,
        project: &Project,
        terminal: Option<(Terminal, std::os::fd::OwnedFd)>,
    ) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "the end-to-end tests start containers: run them as root"
        );
        let lines = Lines::default();
        let mut command = berth.into_command();
        let (terminal, mut child) = match terminal {
            Some((terminal, program)) => {
                let copy = || Stdio::from(program.try_clone().expect("share the terminal"));
                command.stdin(copy()).stdout(copy()).stderr(copy());
                lines.gather(terminal.output().expect("read the terminal"));
                (Some(terminal), command.spawn().expect("start berth dev"))
            }
            None => {
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                let mut child = command.spawn().expect("start berth dev");
                lines.gather(child.stdout.take().expect("stdout is a pipe"));
                lines.gather(child.stderr.take().expect("stderr is a pipe"));
                (None, child)
            }
        };
        drop(command);
        let ready = eventually(START, || {
            let ended = child.try_wait().expect("look after berth dev").is_some();
            lines.with(READY).pop().map(Some).or(ended.then_some(None))
        });
        let Some(Some(line)) = ready else {
            let _ = child.kill();
            panic!("berth dev did not get ready:\n{lines}");
        };
        let (_, address) = line.split_once(READY).expect("the line holds the address");
        let client = Client::new(address.trim().trim_end_matches('/'));
        let process = Process::with_pid(child.id()).expect("berth dev runs");
        Self { child, process, lines, client, terminal, project: project.clone() }
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits for a line that contains `text` and returns it.
    ///
    /// # Panics
    /// None comes; the message holds all lines that did.
    #[track_caller]
    pub fn wait_for_line(&self, text: &str) -> String {
        self.wait_for_lines(text, 1)
    }

    /// Waits until `count` lines contain `text` and returns the last.
    ///
    /// # Panics
    /// They don't come; the message holds all lines that did.
    #[track_caller]
    pub fn wait_for_lines(&self, text: &str, count: usize) -> String {
        self.lines.wait(text, count, PATIENCE).unwrap_or_else(|| {
            panic!("{count} × {text:?} did not come within {PATIENCE:?}:\n{}", self.lines)
        })
    }

    /// All lines so far that contain `text`.
    #[must_use]
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        self.lines.with(text)
    }

    /// Presses keys in its terminal.
    ///
    /// # Panics
    /// It was not started in one.
    pub fn press(&mut self, keys: &str) {
        let terminal = self.terminal.as_mut().expect("it runs in a terminal");
        terminal.press(keys).expect("press a key");
    }

    /// What it holds on this machine now. For sessions with a home of their own.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        Footprint::of(self.child.id(), &[self.project.home().join("dev")])
    }

    /// Stops it with Ctrl-C's signal and asserts that it ends well.
    ///
    /// # Panics
    /// It does not end, or not with exit code 0.
    pub fn stop(mut self) {
        self.process.signal(Signal::INT);
        self.ends_with(0);
    }

    /// The same; returns all it said.
    ///
    /// # Panics
    /// It does not end, or not with exit code 0.
    #[must_use]
    pub fn stop_and_say(mut self) -> Vec<String> {
        self.process.signal(Signal::INT);
        self.ends_with(0);
        self.lines.with("")
    }

    /// Waits until it ends by itself with that exit code.
    ///
    /// # Panics
    /// It ends otherwise or not at all.
    pub fn ends_with(&mut self, code: i32) {
        let child = &mut self.child;
        let ended = eventually(STOP, || child.try_wait().expect("look after berth dev"));
        let status = ended.unwrap_or_else(|| panic!("berth dev did not end:\n{}", self.lines));
        assert_eq!(status.code(), Some(code), "{status}\n{}", self.lines);
    }

    /// Kills it, as a crash or the kernel would, and nothing it started.
    ///
    /// # Panics
    /// It can't be killed.
    pub fn kill(mut self) {
        self.child.kill().expect("kill berth dev");
        self.child.wait().expect("wait for berth dev");
    }
}

impl Deref for Dev {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.process.end(&mut self.child, &self.lines, "berth dev", STOP);
    }
}
