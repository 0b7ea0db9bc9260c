//! One running sandbox.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use rustix::fs::{Mode, OFlags};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::connection::Connection;
use crate::events::Events;
use crate::footprint::Footprint;
use crate::network::{self, EgressSockets};
use crate::runtime;
use crate::{
    DestroyError, EgressUdp, Exec, ExecError, ExecStreams, ExitStatus, Process, SandboxHandle,
    Stats, exec, process_info,
};

/// A running sandbox; clones are the same one. Dropping all of them stops nothing: it goes on
/// without an agent until it is adopted.
#[derive(Debug, Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    handle: SandboxHandle,
    events: Arc<Events>,
    main: OwnedFd,
    main_pid: u32,
    /// Taken at the end, because they would keep the network namespace.
    network: Mutex<Option<Network>>,
    /// The mount of its disk; taken at the end, because it would keep that.
    disk: Mutex<Option<OwnedFd>>,
    runtime: Weak<runtime::Inner>,
    follower: AbortHandle,
    /// Held while outbound connections begin to be routed.
    routing: tokio::sync::Mutex<()>,
    /// Held during a removal; true once it is done.
    destroyed: tokio::sync::Mutex<bool>,
}

#[derive(Debug)]
struct Network {
    netns: Arc<OwnedFd>,
    egress: Option<EgressSockets>,
}

/// What a sandbox is made from.
pub(crate) struct Running {
    pub(crate) handle: SandboxHandle,
    pub(crate) footprint: Footprint,
    pub(crate) connection: Connection,
    /// pidfd of its PID 1.
    pub(crate) init: OwnedFd,
    /// pidfd of its main program.
    pub(crate) main: OwnedFd,
    pub(crate) netns: OwnedFd,
    pub(crate) egress: Option<EgressSockets>,
    pub(crate) disk: Option<OwnedFd>,
}

impl Sandbox {
    pub(crate) fn new(running: Running, runtime: &Arc<runtime::Inner>) -> io::Result<Self> {
        let Running { handle, footprint, connection, init, main, netns, egress, disk } = running;
        // A program that has ended already has no pid any more.
        let main_pid = process_info::pid_of(main.as_fd())?.unwrap_or(0);
        runtime.known().insert(handle.id.clone());
        let events = Arc::new(Events::new(footprint, connection, init));
        let follower = tokio::spawn(events.clone().follow()).abort_handle();
        let network = Mutex::new(Some(Network { netns: Arc::new(netns), egress }));
        let inner = Inner {
            handle,
            events,
            main,
            main_pid,
            network,
            disk: Mutex::new(disk),
            runtime: Arc::downgrade(runtime),
            follower,
            routing: tokio::sync::Mutex::default(),
            destroyed: tokio::sync::Mutex::new(false),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

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
        self.inner.main_pid
    }

    /// The main program's end; when this returns, nothing runs in the sandbox any more. May be
    /// awaited by many.
    pub async fn wait(&self) -> ExitStatus {
        self.inner.events.wait().await
    }

    /// How the sandbox ended, if it has.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.inner.events.exit_status()
    }

    /// Sends a signal to the main program; succeeds when it has ended already.
    ///
    /// # Errors
    /// The number is no signal.
    pub async fn signal(&self, signal: i32) -> io::Result<()> {
        process_info::signal(self.inner.main.as_fd(), signal)
    }

    /// Ends everything inside at once (SIGKILL). Does not wait.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn kill(&self) -> io::Result<()> {
        self.inner.events.kill()
    }

    /// Starts a further program inside; returns once it was executed.
    ///
    /// # Errors
    /// It could not be executed, or the sandbox has ended.
    pub async fn exec(&self, process: Process, streams: ExecStreams) -> Result<Exec, ExecError> {
        exec::start(&self.inner.events, &process, streams).await
    }

    /// Connects to `port` on the sandbox's 127.0.0.1, or its ::1 when that refuses.
    ///
    /// # Errors
    /// `ConnectionRefused` when nothing listens; `NotConnected` when the sandbox has ended.
    pub async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        let netns = self.network().as_ref().map(|network| network.netns.clone());
        let netns = netns.filter(|_| self.exit_status().is_none());
        network::connect(&*netns.ok_or(io::ErrorKind::NotConnected)?, port).await
    }

    /// Routes outbound connections to [`Self::egress_tcp`] and [`Self::egress_udp`] from now on, as if
    /// the sandbox had been started with internet; harmless when they are already.
    ///
    /// # Errors
    /// The kernel cannot redirect them, or the sandbox has ended.
    pub async fn route_egress(&self) -> Result<(), ExecError> {
        let _turn = self.inner.routing.lock().await;
        let netns = match &*self.network() {
            None => return Err(ExecError::Ended),
            Some(network) if network.egress.is_some() => return Ok(()),
            Some(network) => Arc::clone(&network.netns),
        };
        // First the sockets: what is routed finds them.
        let failed = |source| ExecError::Setup { step: "listen for egress".to_owned(), source };
        let sockets = EgressSockets::open(&netns).map_err(failed)?;
        self.inner.events.route_egress().await.ok_or(ExecError::Ended)??;
        if let Some(network) = &mut *self.network() {
            network.egress = Some(sockets);
        }
        Ok(())
    }

    /// The listener that every outbound TCP connection ends in; `local_addr` of an accepted stream
    /// is its original destination. Each call gives another handle of the same socket, which holds
    /// the sandbox's network namespace: drop it when the sandbox has ended.
    ///
    /// # Errors
    /// `Unsupported` if its outbound connections are not routed, `NotConnected` if it has been
    /// destroyed.
    pub fn egress_tcp(&self) -> io::Result<TcpListener> {
        self.egress(|sockets| TcpListener::from_std(sockets.tcp.try_clone()?))
    }

    /// Where every outbound datagram ends.
    ///
    /// # Errors
    /// As of [`Self::egress_tcp`].
    pub fn egress_udp(&self) -> io::Result<EgressUdp> {
        self.egress(EgressUdp::new)
    }

    fn egress<T>(&self, open: impl FnOnce(&EgressSockets) -> io::Result<T>) -> io::Result<T> {
        let network = self.network();
        let network = network.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        open(network.egress.as_ref().ok_or(io::ErrorKind::Unsupported)?)
    }

    fn network(&self) -> MutexGuard<'_, Option<Network>> {
        self.inner.network.lock().expect("no code panics while it holds the lock")
    }

    /// Limits CPU time to `vcpu` CPUs; `None` is full speed. No-op where the host has no CPU
    /// controller (see [`Runtime::warnings`](crate::Runtime::warnings)).
    ///
    /// # Errors
    /// The cgroup could not be written.
    pub fn set_cpu_quota(&self, vcpu: Option<f64>) -> io::Result<()> {
        self.inner.events.footprint().cgroup.set_cpu_quota(vcpu)
    }

    /// What the sandbox uses; zero where the host has no controller for it.
    ///
    /// # Errors
    /// A cgroup file could not be read.
    pub fn stats(&self) -> io::Result<Stats> {
        self.inner.events.footprint().cgroup.stats()
    }

    /// The directory that takes the sandbox's writes (overlayfs's upper directory), with owners as
    /// they are on disk: root's files are uid 0, and what was deleted is a whiteout, as in an image's
    /// layer. `/proc/self/fd/<n>` is a path to it. Read only: the sandbox runs on it. The descriptor
    /// holds the disk behind it, so drop it before the sandbox is destroyed.
    ///
    /// # Errors
    /// The sandbox has been destroyed.
    pub fn upper_dir(&self) -> io::Result<OwnedFd> {
        match &*self.disk() {
            Some(disk) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                Ok(rustix::fs::openat(disk, "upper", flags, Mode::empty())?)
            }
            None => self.inner.events.footprint().open_upper(),
        }
    }

    fn disk(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        self.inner.disk.lock().expect("no code panics while it holds the lock")
    }

    /// Ends everything inside, waits for it and removes cgroups, directories and sockets. Calling
    /// it again, also on a clone and at the same time, is harmless.
    ///
    /// # Errors
    /// Something could not be removed; the rest was.
    pub async fn destroy(self) -> Result<(), DestroyError> {
        let mut destroyed = self.inner.destroyed.lock().await;
        if *destroyed {
            return Ok(());
        }
        let failed = |source| DestroyError { step: "end the sandbox".to_owned(), source };
        self.inner.events.kill().map_err(failed)?;
        self.inner.events.wait().await;
        drop(self.network().take());
        let disk = self.disk().take();
        let events = self.inner.events.clone();
        let removed = tokio::task::spawn_blocking(move || {
            // Unmounted now, unless somebody still reads it.
            drop(disk);
            events.footprint().remove()
        });
        let removed = removed.await;
        removed.map_err(|e| failed(e.into()))??;
        if let Some(runtime) = self.inner.runtime.upgrade() {
            runtime.known().remove(self.id());
        }
        *destroyed = true;
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Closes the connection, so init knows that it is on its own.
        self.follower.abort();
        if let Some(runtime) = self.runtime.upgrade() {
            runtime.known().remove(&self.handle.id);
        }
    }
}
