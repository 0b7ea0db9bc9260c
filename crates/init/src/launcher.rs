//! The launcher: forks parked sandboxes for the runtime, on its standard input.
//!
//! It is a process of its own because fork cost grows with the parent's memory: 4 ms at 512 MiB
//! (`runtime.md` §2). It ends when the runtime does; what it forked does not.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use berth_init::message::{Answer, Failure, Fork, Order};
use berth_init::wire::{self, Receiver};
use rustix::fs::{Mode, OFlags};

use crate::failure::Step;
use crate::userns::{self, UserNamespace};
use crate::{park, supervise, sys};

/// Serves until the runtime closes its end.
pub(crate) fn run() -> ExitCode {
    let Some(control) = take_control() else { return ExitCode::FAILURE };
    let mut receiver = Receiver::default();
    while let Ok(Some((order, mut fds))) = receiver.receive::<Order>(&control) {
        let forked = match order {
            Order::Fork(fork) => match self::fork(&fork, &mut fds) {
                Ok((sys::Fork::Child, namespace)) => {
                    drop(control);
                    return init(&fork, fds, namespace);
                }
                Ok((sys::Fork::Parent { pid, pidfd }, _)) => Ok(Some((pid, pidfd))),
                Err(failure) => Err(failure),
            },
            Order::Probe(probe) => userns::probe(&probe).map(|()| None),
        };
        let sent = match forked {
            Ok(Some((pid, pidfd))) => wire::send(&control, &Answer::Forked(pid), &[pidfd.as_fd()]),
            Ok(None) => wire::send(&control, &Answer::Probed, &[]),
            Err(failure) => wire::send(&control, &Answer::Failed(failure), &[]),
        };
        if sent.is_err() {
            break;
        }
    }
    ExitCode::SUCCESS
}

/// Forks an init. Its user namespace is made by us, so that no process inside has to and PID 2 stays
/// free for the program.
fn fork(
    fork: &Fork,
    fds: &mut Vec<OwnedFd>,
) -> Result<(sys::Fork, Option<UserNamespace>), Failure> {
    let namespace = match fork.user_ids {
        Some(ids) => {
            let reservation = fds.pop();
            Some(UserNamespace::create(ids, reservation).step("make a user namespace")?)
        }
        None => None,
    };
    let cgroup = if fork.cgroup { fds.get(2).map(AsFd::as_fd) } else { None };
    Ok((sys::fork(sys::NAMESPACES, cgroup).step("fork a sandbox")?, namespace))
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
fn init(fork: &Fork, fds: Vec<OwnedFd>, namespace: Option<UserNamespace>) -> ExitCode {
    match park::park(fork, fds, namespace) {
        Some(parked) => supervise::run(parked),
        None => ExitCode::FAILURE,
    }
}
