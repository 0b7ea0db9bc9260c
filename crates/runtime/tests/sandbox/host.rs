//! The tests' fixture: a runtime in a directory and a cgroup of its own, and an image with one
//! program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use model::InstanceType;
use runtime::{ExitStatus, Output, Process, Runtime, RuntimeConfig, Sandbox, SandboxSpec};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// No state that a test waits for takes longer, also on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Host {
    pub(crate) runtime: Runtime,
    pub(crate) dir: PathBuf,
    pub(crate) cgroup: Processes,
    temporary: tempfile::TempDir,
}

const BUSY: std::io::ErrorKind = std::io::ErrorKind::ResourceBusy;

/// A cgroup's name; whatever still runs in it when this is dropped is ended. Sandboxes outlive whoever
/// started them, and a test that failed has destroyed none.
pub(crate) struct Processes(String);

impl Processes {
    pub(crate) fn new() -> Self {
        Self(format!("berth-test/{}", uuid::Uuid::new_v4().simple()))
    }
}

impl std::ops::Deref for Processes {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for dir in cgroups(&self.0) {
            for entry in fs_err::read_dir(dir).into_iter().flatten().flatten() {
                let procs = fs_err::read_to_string(entry.path().join("cgroup.procs"));
                let pids = procs.unwrap_or_default();
                for pid in pids.lines().filter_map(|pid| pid.parse().ok()) {
                    let pid = rustix::process::Pid::from_raw(pid).unwrap();
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
        }
        // Their cgroups can go when the kernel has let go of them.
        let deadline = std::time::Instant::now() + DEADLINE;
        for dir in cgroups(&self.0) {
            for entry in fs_err::read_dir(&dir).into_iter().flatten().flatten() {
                let busy = || fs_err::remove_dir(entry.path()).is_err_and(|e| e.kind() == BUSY);
                while busy() && std::time::Instant::now() < deadline {
                    std::thread::yield_now();
                }
            }
            let _ = fs_err::remove_dir(&dir);
            let _ = fs_err::remove_dir(dir.parent().unwrap());
        }
    }
}

/// Whether sandboxes can be made at all; says so when not.
#[expect(clippy::print_stderr, reason = "nothing is skipped silently")]
pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: sandboxes need root");
    }
    root
}

impl Host {
    pub(crate) async fn open() -> Self {
        Self::with_parked(1).await
    }

    pub(crate) async fn with_parked(parked: usize) -> Self {
        Self::open_in(&std::env::temp_dir(), parked).await
    }

    /// One whose sandboxes live somewhere below `base`.
    pub(crate) async fn open_in(base: &Path, parked: usize) -> Self {
        let temporary = tempfile::tempdir_in(base).unwrap();
        let cgroup = Processes::new();
        let dir = temporary.path().join("instances");
        let runtime = open(&dir, &cgroup, parked).await;
        Self { runtime, dir, cgroup, temporary }
    }

    /// An image with `/bin/probe`, a few files, and nothing else.
    pub(crate) fn image(&self) -> PathBuf {
        image(self.temporary.path())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temporary.path().join(name)
    }

    pub(crate) fn spec(&self, args: &[&str]) -> SandboxSpec {
        spec(self.image(), args)
    }

    pub(crate) async fn start(&self, args: &[&str]) -> (Sandbox, Output) {
        self.start_spec(self.spec(args)).await
    }

    pub(crate) async fn start_spec(&self, spec: SandboxSpec) -> (Sandbox, Output) {
        let parked = self.runtime.prepare().await.unwrap();
        self.runtime.start(parked, spec).await.unwrap()
    }

    /// Runs a program to its end: status, standard output, standard error.
    pub(crate) async fn run(&self, args: &[&str]) -> (ExitStatus, String, String) {
        self.run_spec(self.spec(args)).await
    }

    pub(crate) async fn run_spec(&self, spec: SandboxSpec) -> (ExitStatus, String, String) {
        let (sandbox, output) = self.start_spec(spec).await;
        let (stdout, stderr) = read_all(output).await;
        let status = within(sandbox.wait()).await;
        sandbox.destroy().await.unwrap();
        (status, stdout, stderr)
    }

    /// What a program printed, which must have ended well.
    pub(crate) async fn said(&self, args: &[&str]) -> String {
        let (status, stdout, stderr) = self.run(args).await;
        assert_eq!(status.code, 0, "{args:?}: {stdout}{stderr}");
        stdout.trim_end().to_owned()
    }

    /// Closes and makes sure that nothing is left.
    pub(crate) async fn close(self) {
        self.runtime.close().await;
        let left: Vec<_> = fs_err::read_dir(&self.dir).unwrap().collect();
        assert!(left.is_empty(), "left in the directory: {left:?}");
        assert_eq!(cgroups(&self.cgroup), Vec::<PathBuf>::new(), "left in cgroups");
    }
}

pub(crate) async fn open(dir: &Path, cgroup: &str, parked: usize) -> Runtime {
    Runtime::open(config(dir, cgroup, parked)).await.unwrap()
}

pub(crate) fn config(dir: &Path, cgroup: &str, parked: usize) -> RuntimeConfig {
    RuntimeConfig {
        dir: dir.to_owned(),
        cgroup: cgroup.to_owned(),
        parked,
        ..RuntimeConfig::default()
    }
}

pub(crate) fn image(base: &Path) -> PathBuf {
    let layer = base.join("image");
    if layer.exists() {
        return layer;
    }
    for dir in ["bin", "etc", "tmp", "home/app"] {
        fs_err::create_dir_all(layer.join(dir)).unwrap();
    }
    fs_err::copy(probe(), layer.join("bin/probe")).unwrap();
    let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:App:/home/app:/bin/sh\n";
    fs_err::write(layer.join("etc/passwd"), passwd).unwrap();
    fs_err::write(layer.join("etc/group"), "root:x:0:\napp:x:1001:\nvideo:x:44:app\n").unwrap();
    fs_err::write(layer.join("etc/hosts"), "of the image").unwrap();
    fs_err::write(layer.join("not-executable"), "x").unwrap();
    layer
}

pub(crate) fn spec(image: PathBuf, args: &[&str]) -> SandboxSpec {
    SandboxSpec {
        layers: vec![image],
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

pub(crate) fn process(args: &[&str]) -> Process {
    let mut all = vec!["/bin/probe".to_owned()];
    all.extend(args.iter().map(|&arg| arg.to_owned()));
    Process { args: all, ..Process::default() }
}

pub(crate) async fn read_all(mut output: Output) -> (String, String) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    within(output.stdout.read_to_end(&mut stdout)).await.unwrap();
    within(output.stderr.read_to_end(&mut stderr)).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(stdout), text(stderr))
}

/// Awaits something that must happen.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it happens before the deadline")
}

/// Connects as soon as the program listens.
pub(crate) async fn connect(sandbox: &Sandbox, port: u16) -> TcpStream {
    within(async {
        loop {
            match sandbox.connect(port).await {
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
                    tokio::task::yield_now().await;
                }
                result => break result.unwrap(),
            }
        }
    })
    .await
}

pub(crate) async fn answer(sandbox: &Sandbox, port: u16) -> String {
    let mut answer = String::new();
    within(connect(sandbox, port).await.read_to_string(&mut answer)).await.unwrap();
    answer
}

/// All cgroup directories at or below that name, in every hierarchy.
pub(crate) fn cgroups(name: &str) -> Vec<PathBuf> {
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap();
    let points = mounts.lines().filter(|line| line.contains(" - cgroup"));
    let points = points.filter_map(|line| line.split(' ').nth(4));
    points.map(|point| Path::new(point).join(name)).filter(|dir| dir.exists()).collect()
}

/// The test program, compiled once; where there is no compiler, `BERTH_TEST_PROBE` says where it is.
fn probe() -> &'static Path {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    PROBE.get_or_init(|| {
        if let Some(made) = std::env::var_os("BERTH_TEST_PROBE") {
            return made.into();
        }
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let built = dir.join(format!("probe-{}", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("sandbox/probe.rs");
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let status = Command::new(rustc)
            .args(["--edition=2024", "-O", "-Ctarget-feature=+crt-static", "-Cpanic=abort", "-o"])
            .arg(&built)
            .arg(source)
            .status()
            .unwrap();
        assert!(status.success(), "the test program compiles");
        let path = dir.join("probe");
        fs_err::rename(built, &path).unwrap();
        path
    })
}
