//! One running sandbox.

use std::io;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};

use crate::{EgressUdp, Exec, ExecError, ExecStreams, ExitStatus, Process, SandboxHandle};

/// A running sandbox; clones are the same one. Dropping all of them stops nothing.
#[derive(Debug, Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    handle: SandboxHandle,
}

/// What a sandbox uses and used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// CPU time used in microseconds.
    pub cpu_usec: u64,
    /// Time in microseconds that the CPU quota held its threads back.
    pub throttled_usec: u64,
    /// Memory in use in bytes, without page cache that can be dropped.
    pub memory_bytes: u64,
    /// Processes the kernel ended because memory was used up.
    pub oom_kills: u64,
    /// Processes and threads alive.
    pub pids: u64,
}

/// Something of a sandbox could not be removed. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub struct DestroyError {
    /// What was being done.
    pub step: String,
    /// Why it failed.
    pub source: io::Error,
}

impl Sandbox {
    /// The sandbox's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.handle.id
    }

    /// Enough to adopt the sandbox from another process.
    #[must_use]
    pub fn handle(&self) -> SandboxHandle {
        self.inner.handle.clone()
    }

    /// The main program's pid as the host sees it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        0
    }

    /// The main program's end; when this returns, nothing runs in the sandbox any more. May be
    /// awaited by many.
    pub async fn wait(&self) -> ExitStatus {
        std::future::pending().await
    }

    /// How the sandbox ended, if it has.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        None
    }

    /// Sends a signal to the main program; succeeds when it has ended already.
    ///
    /// # Errors
    /// The number is no signal.
    pub async fn signal(&self, _signal: i32) -> io::Result<()> {
        Ok(())
    }

    /// Ends everything inside at once (SIGKILL). Does not wait.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn kill(&self) -> io::Result<()> {
        Ok(())
    }

    /// Starts a further program inside; returns once it was executed.
    ///
    /// # Errors
    /// It could not be executed, or the sandbox has ended.
    pub async fn exec(&self, _process: Process, _streams: ExecStreams) -> Result<Exec, ExecError> {
        std::future::pending().await
    }

    /// Connects to `port` on the sandbox's 127.0.0.1, or its ::1 when that refuses.
    ///
    /// # Errors
    /// `ConnectionRefused` when nothing listens; `NotConnected` when the sandbox has ended.
    pub async fn connect(&self, _port: u16) -> io::Result<TcpStream> {
        std::future::pending().await
    }

    /// The listener that every outbound TCP connection ends in; `local_addr` of an accepted stream
    /// is its original destination. Each call gives another handle of the same socket.
    ///
    /// # Errors
    /// The sandbox was started without internet, or has ended.
    pub fn egress_tcp(&self) -> io::Result<TcpListener> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Where every outbound datagram ends.
    ///
    /// # Errors
    /// The sandbox was started without internet, or has ended.
    pub fn egress_udp(&self) -> io::Result<EgressUdp> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Limits CPU time to `vcpu` CPUs; `None` is full speed. No-op where the host has no CPU
    /// controller (see [`Runtime::warnings`](crate::Runtime::warnings)).
    ///
    /// # Errors
    /// The cgroup could not be written.
    pub fn set_cpu_quota(&self, _vcpu: Option<f64>) -> io::Result<()> {
        Ok(())
    }

    /// What the sandbox uses; zero where the host has no controller for it.
    ///
    /// # Errors
    /// A cgroup file could not be read.
    pub fn stats(&self) -> io::Result<Stats> {
        Ok(Stats::default())
    }

    /// Ends everything inside, waits for it and removes cgroups, directories and sockets. Calling
    /// it again is harmless.
    ///
    /// # Errors
    /// Something could not be removed; the rest was.
    pub async fn destroy(self) -> Result<(), DestroyError> {
        std::future::pending().await
    }
}
