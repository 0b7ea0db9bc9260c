//! A child process that cannot outlive this program, with a race-free handle for signals.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::net::unix::pipe;
use tokio::sync::{oneshot, watch};

use crate::sys::die_with_parent;

/// A running or ended child.
#[derive(Debug)]
pub(super) struct Child {
    pid: u32,
    pidfd: OwnedFd,
    exit: watch::Receiver<Option<ExitStatus>>,
}

/// What the child writes.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) stdout: pipe::Receiver,
    pub(super) stderr: pipe::Receiver,
}

type Spawned = io::Result<(u32, OwnedFd, OwnedFd, OwnedFd)>;

impl Child {
    /// Starts the command in a process group of its own, so that Ctrl-C in a terminal reaches us
    /// alone and we decide what happens.
    ///
    /// A thread of its own spawns the child and waits for it: the death signal is bound to the
    /// thread that forked, and this one lives exactly as long as the child.
    pub(super) async fn spawn(mut command: Command) -> io::Result<(Self, Pipes)> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        die_with_parent(&mut command);
        let (started, start) = oneshot::channel();
        let (ended, exit) = watch::channel(None);
        std::thread::Builder::new()
            .name("workerd".to_owned())
            .spawn(move || spawn_and_wait(command, started, &ended))?;
        let gone = |_| io::Error::other("the thread that starts workerd ended");
        let (pid, pidfd, stdout, stderr) = start.await.map_err(gone)??;
        // From here on, dropping it ends the child.
        let child = Self { pid, pidfd, exit };
        let pipes = Pipes {
            stdout: pipe::Receiver::from_owned_fd(stdout)?,
            stderr: pipe::Receiver::from_owned_fd(stderr)?,
        };
        Ok((child, pipes))
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal; one that has ended is left alone.
    pub(super) fn signal(&self, signal: Signal) {
        if let Err(error) = pidfd_send_signal(&self.pidfd, signal) {
            tracing::debug!(pid = self.pid, %error, "signal");
        }
    }

    /// Waits for the end. May be dropped and called again.
    pub(super) async fn exited(&mut self) -> Option<ExitStatus> {
        // An error means that waiting failed, which leaves no status.
        self.exit.wait_for(Option::is_some).await.ok().and_then(|status| *status)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.exit.borrow().is_none() {
            self.signal(Signal::KILL);
        }
    }
}

fn spawn_and_wait(
    mut command: Command,
    started: oneshot::Sender<Spawned>,
    ended: &watch::Sender<Option<ExitStatus>>,
) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            // Whoever asked may be gone; then nobody misses the answer.
            let _ = started.send(Err(error));
            return;
        }
    };
    let stdout = child.stdout.take().map(OwnedFd::from);
    let stderr = child.stderr.take().map(OwnedFd::from);
    let pid = child.id();
    // Not yet waited for, so the ID is still this child's.
    let pidfd = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(rustix::io::Errno::SRCH)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
    let handles = match (pidfd, stdout, stderr) {
        (Ok(pidfd), Some(stdout), Some(stderr)) => Ok((pid, pidfd, stdout, stderr)),
        (Err(error), ..) => Err(error.into()),
        _ => Err(io::Error::other("the child has no pipes")),
    };
    let failed = handles.is_err();
    if started.send(handles).is_err() || failed {
        // Nobody will hold the handle, so nobody else will end the child.
        let _ = child.kill();
    }
    match child.wait() {
        Ok(status) => {
            ended.send_replace(Some(status));
        }
        Err(error) => tracing::error!(pid, %error, "wait"),
    }
}
