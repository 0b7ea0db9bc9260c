//! The messages, as plain data. Paths are bytes: they need not be UTF-8.

use serde::{Deserialize, Serialize};

/// Port of the agent's sockets inside a sandbox: where TPROXY sends outbound connections. Above the
/// kernel's own range for outgoing connections (32768–60999).
pub const EGRESS_PORT: u16 = 61_080;

/// Mark of packets sent by the agent's sockets inside a sandbox: never redirected to them again.
pub const EGRESS_MARK: u32 = 0x6265_7274;

/// Runtime → launcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Park a sandbox.
    Fork(Fork),
    /// Find out whether sandboxes can have user namespaces.
    Probe(Probe),
}

/// Launcher → runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// PID 1 of the sandbox, as the launcher sees it. Descriptor: its pidfd.
    Forked(u32),
    /// What did not work.
    Failed(Failure),
    /// They can.
    Probed,
}

/// Ids of the host's users and groups that are a sandbox's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserIds {
    /// Root inside.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// What user namespaces are needed for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Ids to try it with.
    pub user_ids: UserIds,
    /// Directories whose files sandboxes show as theirs.
    pub dirs: Vec<Vec<u8>>,
}

/// Runtime → launcher: park a sandbox. Descriptors: the listener of its control socket, its record
/// file, then as the fields say, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// The sandbox's directory; `<dir>/root` is a mount point.
    pub dir: Vec<u8>,
    /// Whether a cgroup v2 directory follows, to be born in.
    pub cgroup: bool,
    /// How many `cgroup.procs` files of cgroup v1 follow, to be written to.
    pub cgroup_procs: u8,
    /// Whether an eventfd follows that says when memory is used up (cgroup v1).
    pub oom_event: bool,
    /// The sandbox's own ids, if it gets a user namespace; a descriptor follows that keeps them
    /// reserved while it is open.
    pub user_ids: Option<UserIds>,
    /// Size of `/dev/shm`.
    pub shm_bytes: u64,
    /// cgroup v1 controllers to show below `/sys/fs/cgroup`, by their mount's name and options.
    pub cgroup_v1: Vec<(String, String)>,
}

/// Runtime → init.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Become a sandbox that runs this. Once only.
    Start(Box<Start>),
    /// Run a further program. Descriptors: those of stdin, stdout and stderr that are set.
    Exec(Box<Exec>),
    /// Route outbound connections to the agent's sockets, as if started with `internet`.
    RouteEgress,
}

/// Init → runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Ready for `Start`. Descriptors: the reading ends of stdout and stderr, the network namespace.
    Parked {
        /// Why outbound connections cannot be redirected, if they cannot.
        no_egress: Option<String>,
    },
    /// The sandbox could not be parked, started, or a program executed; init ends unless this
    /// answers an `Exec`.
    Failed {
        /// The `Exec` this answers, 0 for the sandbox itself.
        exec: u64,
        /// What went wrong.
        failure: Failure,
    },
    /// The main program was executed. Descriptors: its pidfd; the terminal when it has one.
    Started {
        /// Mount points that the image lacked and init made, in order.
        created: Vec<String>,
    },
    /// First message on a connection that adopts. Descriptors: as of `Parked`, then of `Started`.
    Adopted {
        /// Whether the main program has a terminal, whose descriptor then follows.
        terminal: bool,
        /// Whether its outbound connections are routed to the agent's sockets.
        internet: bool,
        /// Whether it has a disk, whose mount then is the last descriptor.
        disk: bool,
    },
    /// A further program was executed. Descriptors: its pidfd; the terminal when it has one.
    Executed {
        /// The `Exec` this answers.
        exec: u64,
        /// The program's pid inside.
        pid: u32,
    },
    /// A further program ended.
    ExecExited {
        /// The `Exec` it came from.
        exec: u64,
        /// How.
        status: Status,
    },
    /// The main program ended; init ends now, and everything with it.
    Exited {
        /// How.
        status: Status,
        /// Whether memory was used up (known to init on cgroup v1 only).
        oom: bool,
    },
    /// Answers a `RouteEgress`.
    EgressRouted {
        /// Why outbound connections are not routed, if they are not.
        failure: Option<Failure>,
    },
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// A step that did not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which kind of step.
    pub kind: FailureKind,
    /// What was being done, or for [`FailureKind::Exec`], `User` and `Cwd` to what.
    pub what: String,
    /// The errno, 0 if there is none.
    pub errno: i32,
}

/// Which kind of step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// Namespaces, mounts, network, limits.
    Setup,
    /// The user is not in the image.
    User,
    /// The working directory cannot be entered.
    Cwd,
    /// The program cannot be executed.
    Exec,
}

/// Everything a parked sandbox lacks. Descriptors, as the fields say: detached mounts that nothing
/// propagates to, because a parked sandbox sees nothing of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// How many read-only layers. Their descriptors come first, topmost first.
    pub layers: u16,
    /// Where writes go. Its descriptor is next.
    pub writable: Writable,
    /// Host name.
    pub hostname: String,
    /// Text of `/etc/hosts`.
    pub hosts: String,
    /// Text of `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// Whether outbound connections are routed to the agent's sockets.
    pub internet: bool,
    /// Whether the main program is PID 1 of a namespace of its own, with init outside.
    pub pid1: bool,
    /// What of the host to show. Their descriptors are last.
    pub binds: Vec<Bind>,
    /// Memory file systems to mount.
    pub tmpfs: Vec<Tmpfs>,
    /// What every program inside may not do.
    pub confinement: Confinement,
    /// The main program.
    pub process: Process,
    /// Whether a last descriptor follows: the main program's standard input. Else it is `/dev/null`.
    pub stdin: bool,
}

/// Two directories of one mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writable {
    /// Name of the upper directory.
    pub upper: Vec<u8>,
    /// Name of overlayfs's working directory.
    pub work: Vec<u8>,
    /// Whether the mount is a disk of the sandbox's own, to be handed to agents that adopt.
    pub disk: bool,
    /// Whether writes need not survive a crash of the host.
    pub volatile: bool,
}

/// A file or directory of the host shown inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// Absolute path inside.
    pub target: String,
    /// Whether writes are refused.
    pub read_only: bool,
}

/// A memory file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tmpfs {
    /// Absolute path inside.
    pub target: String,
    /// Size in bytes.
    pub size: u64,
    /// Permission bits of its root.
    pub mode: u32,
}

/// What every program inside may not do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Capabilities that are left to root, one bit each.
    pub capabilities: u64,
    /// seccomp filter, 8 bytes for each instruction in the machine's order; empty for none.
    pub seccomp: Vec<u8>,
    /// Soft and hard limit of open files.
    pub open_files: u64,
}

/// A program to execute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Program and arguments.
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Working directory, absolute.
    pub cwd: String,
    /// As in a Dockerfile's `USER`.
    pub user: String,
    /// Columns and rows of a terminal.
    pub terminal: Option<(u16, u16)>,
}

/// A further program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// Number chosen by the runtime, not 0; answers carry it.
    pub id: u64,
    /// The program.
    pub process: Process,
    /// Which of stdin, stdout and stderr follow as descriptors; the others are `/dev/null`.
    pub streams: [bool; 3],
}
