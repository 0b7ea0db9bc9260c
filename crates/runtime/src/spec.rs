//! What a sandbox is asked to be. Plain data; nothing here touches the system.

use std::path::PathBuf;

use model::Limits;

/// Everything [`Runtime::start`](crate::Runtime::start) needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct SandboxSpec {
    /// Read-only directories of the image, topmost first. Empty for an image `FROM scratch`.
    pub layers: Vec<PathBuf>,
    /// Where writes go. `None`: the sandbox gets its own directory, removed by `destroy`. `Some`:
    /// the directory is the caller's, is made if missing and stays (an image's `RUN` step); a
    /// working directory beside it, `<upper>.work`, is made and removed.
    pub upper: Option<PathBuf>,
    /// The main program.
    pub process: Process,
    /// Whether the main program is PID 1, as `/sbin/init` or s6-overlay's `/init` insist on. It then
    /// has a PID namespace of its own inside the sandbox's; the sandbox's init stays outside and does
    /// all it does otherwise, but orphans inside are the program's to reap. A PID 1 gets no signal
    /// that it has no handler for, SIGKILL excepted.
    pub pid1: bool,
    /// Host name seen inside, at most 64 bytes.
    pub hostname: String,
    /// Memory (without swap) and pids, in force from the first instruction. The CPU quota is not
    /// applied here but by [`Sandbox::set_cpu_quota`](crate::Sandbox::set_cpu_quota), once the
    /// program is ready.
    pub limits: Limits,
    /// Whether connections can leave: they end in
    /// [`Sandbox::egress_tcp`](crate::Sandbox::egress_tcp) and `egress_udp`. Without, there is no
    /// route at all and `connect` fails with `ENETUNREACH`.
    pub internet: bool,
    /// Host directories or files shown inside.
    pub mounts: Vec<BindMount>,
    /// Fresh memory file systems.
    pub tmpfs: Vec<TmpfsMount>,
}

/// One program to run inside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// Program and arguments; the program is looked up in `PATH` of `env` when it has no slash.
    pub args: Vec<String>,
    /// Environment as `NAME=value`; `PATH` and `HOME` get Docker's defaults when absent.
    pub env: Vec<String>,
    /// Working directory, absolute; empty means `/`. The main program's is made when missing.
    pub cwd: String,
    /// `""`, `name`, `uid`, `name:group`, `uid:gid`: resolved against the image's `/etc/passwd` and
    /// `/etc/group`.
    pub user: String,
    /// A terminal of that many columns and rows instead of pipes.
    pub terminal: Option<(u16, u16)>,
}

/// A host path shown inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindMount {
    /// Directory or file of the host.
    pub source: PathBuf,
    /// Absolute path inside; made when missing.
    pub target: String,
    /// Whether writes are refused.
    pub read_only: bool,
}

/// A memory file system inside, counted against the sandbox's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TmpfsMount {
    /// Absolute path inside; made when missing.
    pub target: String,
    /// Largest size in bytes.
    pub size: u64,
    /// Permission bits of its root, for example `0o1777`.
    pub mode: u32,
}
