//! Running `berth` to its end, as a person or a script would.

use std::ffi::OsStr;
use std::fmt;
use std::io::{Seek as _, Write as _};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::cache::berth_binary;
use crate::lines::without_colours;
use crate::project::Project;
use crate::registry::Registry;
use crate::user;
use crate::wait::eventually;

/// A command that ends by itself ends within this time; some install a toolchain or run a build.
const PATIENCE: Duration = Duration::from_secs(180);

/// One command line of `berth` in a project's folder.
#[derive(Debug)]
pub struct Berth {
    command: Command,
}

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code.
    pub code: i32,
    /// Its stdout.
    pub stdout: String,
    /// Its stderr, without colours.
    pub stderr: String,
}

impl Berth {
    /// `berth <args>` in the project's folder, with the base images' registry in place of Docker
    /// Hub.
    pub fn new<A: AsRef<OsStr>>(project: &Project, args: impl IntoIterator<Item = A>) -> Self {
        if user::is_ordinary() {
            project.open_to_all();
            let wrapper = user::with_ids_and_cgroups(project.path());
            let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
            return Self::wrapped(project, &wrapper, &[]).args(args).env("HOME", project.home());
        }
        Self::run_by(Command::new(berth_binary()), project).args(args)
    }

    /// The same, run by another program, as whatever user it chooses: `wrapper <berth> <args>`.
    ///
    /// # Panics
    /// The binary cannot be copied into the project.
    pub fn wrapped(project: &Project, wrapper: &[&str], args: &[&str]) -> Self {
        let (program, first) = wrapper.split_first().expect("a wrapper has a name");
        // Other users may not be let into the folder of the build.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let binary = project.path().join(format!("berth-of-all-{number}"));
        // By another process: a file that this one has open for writing can be open for a moment in the
        // fork of a test beside this one, and then cannot be executed.
        let copied = Command::new("cp").arg(berth_binary()).arg(&binary).status();
        assert!(copied.is_ok_and(|status| status.success()), "copy berth into the project");
        let mut command = Command::new(program);
        command.args(first).arg(binary);
        Self::run_by(command, project).args(args)
    }

    fn run_by(mut command: Command, project: &Project) -> Self {
        let mirrors = format!("docker.io={}", Registry::of_base_images().url());
        command
            .current_dir(project.path())
            .env("BERTH_HOME", project.home())
            .env("BERTH_REGISTRY_MIRRORS", mirrors)
            .env_remove("CLOUDFLARE_ENV")
            .stdin(Stdio::null());
        Self { command }
    }

    /// Further arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// A variable of the command's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// What it reads from standard input.
    ///
    /// # Panics
    /// It cannot be kept.
    #[must_use]
    pub fn input(mut self, text: &str) -> Self {
        let mut file = tempfile::tempfile().expect("make a file of the input");
        file.write_all(text.as_bytes()).and_then(|()| file.rewind()).expect("keep the input");
        self.command.stdin(file);
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// It can't be run, or does not end in time.
    #[must_use]
    pub fn run(mut self) -> Outcome {
        let child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.unwrap_or_else(|error| panic!("run {:?}: {error}", self.command));
        let process = crate::process::Process::with_pid(child.id());
        let output = thread::spawn(move || child.wait_with_output());
        let ended = eventually(PATIENCE, || output.is_finished().then_some(()));
        if ended.is_none()
            && let Some(process) = process
        {
            process.signal(rustix::process::Signal::INT);
        }
        let output = output.join().expect("the waiting thread ends").expect("wait for berth");
        let outcome = Outcome::from(output);
        assert!(ended.is_some(), "{:?} did not end within {PATIENCE:?}: {outcome}", self.command);
        outcome
    }

    pub(crate) fn into_command(self) -> Command {
        self.command
    }
}

impl Outcome {
    /// Asserts the exit code and that stderr contains each text.
    ///
    /// # Panics
    /// It ended otherwise.
    #[track_caller]
    pub fn assert_fails(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, code, "{self}");
        for text in texts {
            assert!(self.stderr.contains(text), "stderr does not say {text:?}: {self}");
        }
        assert!(!self.stderr.contains("panicked"), "{self}");
    }

    /// Asserts exit code 0.
    ///
    /// # Panics
    /// It ended otherwise.
    #[track_caller]
    pub fn assert_succeeds(&self) {
        assert_eq!(self.code, 0, "{self}");
    }

    /// Its stdout as JSON.
    ///
    /// # Panics
    /// It failed, or that is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        self.assert_succeeds();
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: without_colours(&String::from_utf8_lossy(&output.stderr)),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}\nstdout: {}\nstderr: {}", self.code, self.stdout, self.stderr)
    }
}
