//! Our end of the launcher: starting it, asking it for parked sandboxes, starting it again.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::process::Stdio;

use init::message::{Fork, Forked};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::connection::Connection;

/// The static `berth-init` that the build script made.
const BINARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/berth-init"));

/// The launcher process.
#[derive(Debug)]
pub(crate) struct Launcher {
    program: OwnedFd,
    /// Locked for one question and its answer.
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    connection: Connection,
    /// Reaped by tokio, also after this is dropped.
    process: Child,
}

impl Launcher {
    /// Starts the process.
    pub(crate) fn start() -> io::Result<Self> {
        let program = sealed_program()?;
        let running = Mutex::new(Some(Running::start(&program)?));
        Ok(Self { program, running })
    }

    /// Forks a parked sandbox; its PID 1's pid and pidfd. A launcher that has died is replaced: what
    /// it forked goes on without it. If it died over this very question nobody knows whether it did
    /// fork: that is an error for which [`has_died`] holds, to be asked again with new descriptors.
    /// Must not be dropped halfway: the answer would be taken for the next question's.
    pub(crate) async fn fork(
        &self,
        fork: &Fork,
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<(u32, OwnedFd)> {
        let mut running = self.running.lock().await;
        let current = match &mut *running {
            Some(current) => current,
            none => none.insert(Running::start(&self.program)?),
        };
        let result = current.fork(fork, fds).await;
        if result.as_ref().is_err_and(has_died) {
            tracing::warn!("the launcher has died; starting another");
            *running = Some(Running::start(&self.program)?);
        }
        result
    }

    /// Ends the process and waits for it.
    pub(crate) async fn stop(&self) {
        if let Some(Running { connection, mut process }) = self.running.lock().await.take() {
            drop(connection);
            let _ = process.wait().await;
        }
    }

    /// The process's pid, while it runs.
    pub(crate) async fn pid(&self) -> Option<u32> {
        self.running.lock().await.as_ref().and_then(|running| running.process.id())
    }
}

impl Running {
    fn start(program: &OwnedFd) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        let process = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
            .env_clear()
            .arg0("berth-launcher")
            .stdin(theirs)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { connection: Connection::new(ours)?, process })
    }

    async fn fork(&self, fork: &Fork, fds: &[BorrowedFd<'_>]) -> io::Result<(u32, OwnedFd)> {
        self.connection.send(fork, fds).await?;
        match self.connection.receive().await? {
            Some((Forked::Pid(pid), fds)) => {
                let pidfd = fds.into_iter().next().ok_or(io::ErrorKind::InvalidData)?;
                Ok((pid, pidfd))
            }
            Some((Forked::Failed(errno), _)) => Err(io::Error::from_raw_os_error(errno)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Whether a fork failed because the launcher is no more.
pub(crate) fn has_died(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected | UnexpectedEof)
}

/// The program as memory that nobody can change: a sandbox that gets hold of `/proc/1/exe` finds no
/// file of the host behind it (CVE-2019-5736).
fn sealed_program() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // `EXEC` says that we mean to execute it (Linux 6.3); older kernels do not know the flag.
    let memory = rustix::fs::memfd_create("berth-init", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create("berth-init", flags))?;
    let mut memory = File::from(memory);
    memory.write_all(BINARY)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&memory, seals)?;
    Ok(memory.into())
}
