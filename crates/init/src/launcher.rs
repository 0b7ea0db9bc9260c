//! The launcher: forks parked sandboxes for the runtime, on its standard input.
//!
//! It is a process of its own because fork cost grows with the parent's memory: 4 ms at 512 MiB
//! (`runtime.md` §2). It ends when the runtime does; what it forked does not.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use berth_init::message::{Fork, Forked};
use berth_init::wire::{self, Receiver};
use rustix::fs::{Mode, OFlags};

use crate::sys;
use crate::{park, supervise};

/// Serves until the runtime closes its end.
pub(crate) fn run() -> ExitCode {
    let Some(control) = take_control() else { return ExitCode::FAILURE };
    let mut receiver = Receiver::default();
    while let Ok(Some((fork, fds))) = receiver.receive::<Fork>(&control) {
        let cgroup = if fork.cgroup { fds.get(2).map(AsFd::as_fd) } else { None };
        let sent = match sys::fork(sys::NAMESPACES, cgroup) {
            Ok(sys::Fork::Child) => {
                drop(control);
                return init(&fork, fds);
            }
            Ok(sys::Fork::Parent { pid, pidfd }) => {
                wire::send(&control, &Forked::Pid(pid), &[pidfd.as_fd()])
            }
            Err(e) => wire::send(&control, &Forked::Failed(e.raw_os_error().unwrap_or(0)), &[]),
        };
        if sent.is_err() {
            break;
        }
    }
    ExitCode::SUCCESS
}

/// Moves the control socket away from descriptor 0 and detaches from the terminal and its signals.
fn take_control() -> Option<OwnedFd> {
    let control = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3).ok()?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).ok()?;
    rustix::stdio::dup2_stdin(&null).ok()?;
    // A session of its own: Ctrl-C in the runtime's terminal must reach no sandbox. This fails only
    // for a process that leads one already.
    let _ = rustix::process::setsid();
    rustix::process::chdir("/").ok()?;
    let _ = rustix::thread::set_name(c"berth-launcher");
    sys::ignore_children();
    Some(control)
}

/// The fork's life as PID 1.
fn init(fork: &Fork, fds: Vec<OwnedFd>) -> ExitCode {
    match park::park(fork, fds) {
        Some(parked) => supervise::run(parked),
        None => ExitCode::FAILURE,
    }
}
