//! A runtime in a directory and a cgroup of its own, and an image with one hostile program.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::InstanceType;
use runtime::{
    ExecStreams, ExitStatus, Output, Process, Runtime, RuntimeConfig, Sandbox, SandboxSpec,
};
use tokio::io::AsyncReadExt;

use crate::{Answers, attacker};

/// No state that a test waits for takes longer, also on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A runtime and what it needs.
#[derive(Debug)]
pub struct Host {
    /// The runtime.
    pub runtime: Runtime,
    /// Where its sandboxes live.
    pub dir: PathBuf,
    /// Its cgroup.
    pub cgroup: Processes,
    temporary: tempfile::TempDir,
}

/// A cgroup's name; whatever still runs in it when this is dropped is ended: sandboxes outlive who
/// started them, and a test that failed has destroyed none.
#[derive(Debug)]
pub struct Processes(String);

impl Deref for Processes {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        for dir in cgroups(&self.0) {
            let entries = fs_err::read_dir(&dir).into_iter().flatten().flatten();
            for entry in entries.filter(|entry| entry.path().is_dir()) {
                let procs = || fs_err::read_to_string(entry.path().join("cgroup.procs"));
                while fs_err::remove_dir(entry.path()).is_err() && Instant::now() < deadline {
                    let pids = procs().unwrap_or_default();
                    pids.lines().filter_map(|pid| pid.parse().ok()).for_each(kill);
                    std::thread::yield_now();
                }
            }
            let _ = fs_err::remove_dir(&dir);
            let _ = dir.parent().map(fs_err::remove_dir);
        }
    }
}

fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

impl Host {
    /// Opens a runtime that parks nothing beforehand.
    ///
    /// # Panics
    /// It cannot be opened.
    pub async fn open() -> Self {
        let temporary = tempfile::Builder::new().prefix("escape-").tempdir().expect("a directory");
        let cgroup = Processes(format!("berth-escape/{}", uuid::Uuid::new_v4().simple()));
        let dir = temporary.path().join("instances");
        let config = RuntimeConfig {
            dir: dir.clone(),
            cgroup: cgroup.to_string(),
            ..RuntimeConfig::default()
        };
        let runtime = Runtime::open(config).await.expect("open a runtime");
        Self { runtime, dir, cgroup, temporary }
    }

    /// A path beside the runtime's directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.temporary.path().join(name)
    }

    /// The image: one layer with `/bin/attacker`, two users and nothing else. A test may add to it.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        let layer = self.path("image");
        if layer.exists() {
            return layer;
        }
        for dir in ["bin", "etc", "tmp", "home/app"] {
            fs_err::create_dir_all(layer.join(dir)).expect("make a directory of the image");
        }
        fs_err::copy(attacker(), layer.join("bin/attacker")).expect("copy the attacker");
        let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:App:/home/app:/bin/sh\n";
        fs_err::write(layer.join("etc/passwd"), passwd).expect("write a file of the image");
        layer
    }

    /// What a start with these arguments of the attacker needs.
    #[must_use]
    pub fn spec(&self, args: &[&str]) -> SandboxSpec {
        SandboxSpec {
            layers: vec![self.image()],
            upper: None,
            process: process(args),
            pid1: false,
            hostname: "instance".to_owned(),
            limits: InstanceType::Lite.limits(),
            internet: false,
            mounts: Vec::new(),
            tmpfs: Vec::new(),
        }
    }

    /// Starts a sandbox.
    ///
    /// # Panics
    /// It does not start.
    pub async fn start(&self, spec: SandboxSpec) -> (Sandbox, Output) {
        let parked = self.runtime.prepare().await.expect("park a sandbox");
        self.runtime.start(parked, spec).await.expect("start a sandbox")
    }

    /// Runs one to its end: how it ended, and what it printed.
    ///
    /// # Panics
    /// It does not start, or not end.
    pub async fn run(&self, spec: SandboxSpec) -> (ExitStatus, String) {
        let (sandbox, output) = self.start(spec).await;
        let (stdout, stderr) = read_all(output).await;
        let status = within(sandbox.wait()).await;
        sandbox.destroy().await.expect("remove a sandbox");
        (status, stdout + &stderr)
    }

    /// What becomes of the attempts in a sandbox, as its root.
    ///
    /// # Panics
    /// The attacker does not answer.
    pub async fn inside(&self, attempts: &[&str]) -> Answers {
        self.inside_as("", attempts).await
    }

    /// The same as another user of the image.
    ///
    /// # Panics
    /// The attacker does not answer.
    pub async fn inside_as(&self, user: &str, attempts: &[&str]) -> Answers {
        let mut spec = self.spec(&[&["try"], attempts].concat());
        user.clone_into(&mut spec.process.user);
        let (_, text) = self.run(spec).await;
        Answers::parse(attempts, &text)
    }

    /// The same by a further program of a running sandbox.
    ///
    /// # Panics
    /// The attacker does not answer.
    pub async fn executed(sandbox: &Sandbox, attempts: &[&str]) -> Answers {
        let streams = ExecStreams { stdout: true, stderr: true, ..ExecStreams::default() };
        let process = process(&[&["try"], attempts].concat());
        let mut exec = sandbox.exec(process, streams).await.expect("execute the attacker");
        let mut text = String::new();
        let stdout = exec.stdout.as_mut().expect("asked for");
        within(stdout.read_to_string(&mut text)).await.expect("read what the attacker says");
        within(exec.wait()).await;
        Answers::parse(attempts, &text)
    }

    /// Closes and makes sure that nothing is left.
    ///
    /// # Panics
    /// Something is.
    pub async fn close(self) {
        self.runtime.close().await;
        let left: Vec<_> = fs_err::read_dir(&self.dir).expect("look at the directory").collect();
        assert!(left.is_empty(), "left in the directory: {left:?}");
        assert_eq!(cgroups(&self.cgroup), Vec::<PathBuf>::new(), "left in cgroups");
    }
}

/// The attacker with these arguments.
#[must_use]
pub fn process(args: &[&str]) -> Process {
    let args = ["/bin/attacker"].iter().chain(args).map(|&arg| arg.to_owned()).collect();
    Process { args, ..Process::default() }
}

/// Standard output and standard error to their ends.
///
/// # Panics
/// They do not end, or cannot be read.
pub async fn read_all(mut output: Output) -> (String, String) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    within(output.stdout.read_to_end(&mut stdout)).await.expect("read standard output");
    within(output.stderr.read_to_end(&mut stderr)).await.expect("read standard error");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(stdout), text(stderr))
}

/// Awaits something that must happen.
///
/// # Panics
/// It does not, before [`DEADLINE`].
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it happens before the deadline")
}

/// All directories of that cgroup, in every hierarchy.
///
/// # Panics
/// There is no /proc.
#[must_use]
pub fn cgroups(name: &str) -> Vec<PathBuf> {
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").expect("read the mounts");
    let points = mounts.lines().filter(|line| line.contains(" - cgroup"));
    let points = points.filter_map(|line| line.split(' ').nth(4));
    points.map(|point| Path::new(point).join(name)).filter(|dir| dir.exists()).collect()
}
