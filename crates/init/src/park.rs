//! Parking: everything of a sandbox that depends on neither image nor program, done beforehand.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use berth_init::message::{Event, Failure, Fork};
use berth_init::wire;
use rustix::fs::{Mode, OFlags};
use rustix::net::SocketFlags;
use rustix::process::DumpableBehavior;

use crate::failure::Step;
use crate::network;
use crate::stage::{self, Stage};
use crate::sys::{self, ChildStack};
use crate::userns::UserNamespace;

/// Size of the pipes for the main program's output: how much it may print while no agent reads.
const PIPE_BYTES: usize = 256 * 1024;

/// A parked sandbox as its PID 1 holds it.
pub(crate) struct Parked {
    /// Accepts the agent that adopts.
    pub(crate) listener: OwnedFd,
    /// The agent that asked for this sandbox.
    pub(crate) connection: OwnedFd,
    /// Where the end is recorded.
    pub(crate) record: OwnedFd,
    /// Says when memory is used up, on cgroup v1.
    pub(crate) oom_event: Option<OwnedFd>,
    /// Readable when a child ended.
    pub(crate) child_signal: OwnedFd,
    /// Mounts waiting for their root.
    pub(crate) stage: Stage,
    /// `/dev/null`.
    pub(crate) null: OwnedFd,
    /// Both ends of standard output and of standard error.
    pub(crate) pipes: [(OwnedFd, OwnedFd); 2],
    /// For programs to be started.
    pub(crate) stack: ChildStack,
    /// Our own network namespace, for the agent.
    pub(crate) netns: OwnedFd,
    /// What programs are to be in.
    pub(crate) namespace: Option<Rc<UserNamespace>>,
    /// Why outbound connections cannot be redirected, if they cannot.
    pub(crate) no_egress: Option<String>,
}

/// Becomes a parked sandbox and says so; `None` when that failed, which was then said too.
pub(crate) fn park(
    fork: &Fork,
    fds: Vec<OwnedFd>,
    namespace: Option<UserNamespace>,
) -> Option<Parked> {
    let mut fds = fds.into_iter();
    let (listener, record) = (fds.next()?, fds.next()?);
    // The runtime connected before it asked for the fork.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let connection = rustix::net::accept_with(&listener, flags).ok()?;
    match enter(
        fork,
        fds.collect(),
        listener,
        record,
        connection.as_fd().try_clone_to_owned().ok()?,
        namespace,
    ) {
        Ok(parked) => {
            let no_egress = parked.no_egress.clone();
            let fds = [parked.pipes[0].0.as_fd(), parked.pipes[1].0.as_fd(), parked.netns.as_fd()];
            wire::send(&connection, &Event::Parked { no_egress }, &fds).ok()?;
            Some(parked)
        }
        Err(failure) => {
            let _ = wire::send(&connection, &Event::Failed { exec: 0, failure }, &[]);
            None
        }
    }
}

/// Joins, hides, mounts and connects.
fn enter(
    fork: &Fork,
    fds: Vec<OwnedFd>,
    listener: OwnedFd,
    record: OwnedFd,
    connection: OwnedFd,
    namespace: Option<UserNamespace>,
) -> Result<Parked, Failure> {
    let child_signal = sys::child_signal().step("watch for children")?;
    if let Some(namespace) = &namespace {
        // All that is made below, and by overlayfs in our name, belongs to root inside.
        namespace.own_new_files().step("make files for root inside")?;
    }
    // After that, because a change of ids undoes it.
    protect();
    let mut fds = fds.into_iter().skip(usize::from(fork.cgroup));
    for procs in fds.by_ref().take(fork.cgroup_procs.into()) {
        rustix::io::write(&procs, b"0").step("join a cgroup")?;
    }
    let oom_event = if fork.oom_event { fds.next() } else { None };
    // Only now: a cgroup namespace takes as its root the cgroups its maker is in.
    sys::unshare_cgroup().step("make a cgroup namespace")?;

    network::prepare()?;
    let no_egress = network::redirect_egress().err().map(|e| e.to_string());
    let netns = open("/proc/self/ns/net", OFlags::RDONLY).step("open the network namespace")?;
    let null = open("/dev/null", OFlags::RDWR).step_on("open", "/dev/null")?;
    let pipes = [pipe()?, pipe()?];
    // Last, because the host's files are out of sight afterwards.
    let root = Path::new(OsStr::from_bytes(&fork.dir)).join("root");
    let stage = stage::build(&root, fork, namespace.as_ref())?;
    Ok(Parked {
        listener,
        connection,
        record,
        oom_event,
        child_signal,
        stage,
        null,
        pipes,
        stack: ChildStack::new().step("make a stack")?,
        netns,
        namespace: namespace.map(Rc::new),
        no_egress,
    })
}

/// Keeps what runs inside from reaching us, and the kernel from choosing us when memory is short.
fn protect() {
    hide_memory();
    let _ = rustix::thread::set_name(c"berth-init");
    // Without CAP_SYS_RESOURCE this is refused; the record of an end by lack of memory may then be
    // missing, and the runtime looks at the cgroup's counters instead.
    let _ = write_file("/proc/self/oom_score_adj", b"-1000");
}

/// Not dumpable: no process inside, not even root's, may open our memory, descriptors or executable
/// through /proc/1 (CVE-2016-9962; and CVE-2019-5736, for which our executable also is a sealed memfd:
/// no file of the host that could be overwritten).
pub(crate) fn hide_memory() {
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Failure> {
    let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).step("make a pipe")?;
    // Above the limit for users, the default size has to do.
    let _ = rustix::pipe::fcntl_setpipe_size(&pipe.0, PIPE_BYTES);
    Ok(pipe)
}

fn open(path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
}

/// Writes a file of /proc or /sys in one piece.
pub(crate) fn write_file(path: &str, bytes: &[u8]) -> io::Result<()> {
    let file = open(path, OFlags::WRONLY)?;
    rustix::io::write(&file, bytes)?;
    Ok(())
}
