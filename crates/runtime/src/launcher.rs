//! Our end of the launcher: starting it, asking it for parked sandboxes, starting it again.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::process::Stdio;

use init::message::{Answer, Failure, Fork, Order, Probe};
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

    /// Forks a parked sandbox; its PID 1's pid and pidfd. If the launcher died over this very question
    /// nobody knows whether it did fork: that is an error for which [`has_died`] holds, to be asked
    /// again with new descriptors.
    pub(crate) async fn fork(
        &self,
        fork: Fork,
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<(u32, OwnedFd)> {
        match self.ask(&Order::Fork(fork), fds).await? {
            (Answer::Forked(pid), fds) => {
                Ok((pid, fds.into_iter().next().ok_or(io::ErrorKind::InvalidData)?))
            }
            (Answer::Failed(failure), _) => Err(failed(&failure)),
            (Answer::Probed, _) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Whether sandboxes can have user namespaces.
    pub(crate) async fn probe(&self, probe: Probe) -> io::Result<()> {
        match self.ask(&Order::Probe(probe), &[]).await? {
            (Answer::Probed, _) => Ok(()),
            (Answer::Failed(failure), _) => Err(failed(&failure)),
            (Answer::Forked(_), _) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// A launcher that has died is replaced: what it forked goes on without it. Must not be dropped
    /// halfway: the answer would be taken for the next question's.
    async fn ask(
        &self,
        order: &Order,
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<(Answer, Vec<OwnedFd>)> {
        let mut running = self.running.lock().await;
        let current = match &mut *running {
            Some(current) => current,
            none => none.insert(Running::start(&self.program)?),
        };
        let result = current.ask(order, fds).await;
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

    async fn ask(
        &self,
        order: &Order,
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<(Answer, Vec<OwnedFd>)> {
        self.connection.send(order, fds).await?;
        self.connection.receive().await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

fn failed(failure: &Failure) -> io::Error {
    let source = io::Error::from_raw_os_error(failure.errno);
    io::Error::new(source.kind(), format!("{}: {source}", failure.what))
}

/// Whether a question was not answered because the launcher is no more.
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
