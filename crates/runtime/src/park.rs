//! Making a parked sandbox: our half of what init does in its `park`.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use init::message::{Event, Fork};
use tokio::sync::watch;

use crate::cgroup::Cgroup;
use crate::connection::{self, Connection};
use crate::disk::{Disks, Projects};
use crate::footprint::{self, Footprint};
use crate::runtime::{Inner, RuntimeError};
use crate::starts::Underway;
use crate::user_ids::{self, Reservation};
use crate::{EgressUnsupported, SandboxHandle, launcher, process_info};

/// How many projects are tried for one that has no files. A file system counts what was removed for a
/// moment longer, and there are 28,000 projects.
const PROJECT_ATTEMPTS: u32 = 64;

/// A sandbox that waits for its program. Dropping it removes it.
#[derive(Debug)]
pub struct Parked {
    /// Taken by the start.
    parts: Option<Parts>,
    removals: Removals,
    /// Whether somebody wants to start it.
    underway: Option<Underway>,
}

/// Counts removals that go on in the background, so that closing can wait for them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Removals(Arc<watch::Sender<usize>>);

impl Removals {
    fn spawn(&self, parts: Parts, tokio: &tokio::runtime::Handle) {
        let count = self.0.clone();
        count.send_modify(|n| *n += 1);
        tokio.spawn(async move {
            parts.remove().await;
            count.send_modify(|n| *n -= 1);
        });
    }

    pub(crate) async fn finished(&self) {
        // The sender is ours, so this cannot fail.
        let _ = self.0.subscribe().wait_for(|n| *n == 0).await;
    }
}

/// What a parked sandbox is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) footprint: Footprint,
    pub(crate) connection: Connection,
    pub(crate) handle: SandboxHandle,
    pub(crate) pidfd: OwnedFd,
    /// Reading ends of the main program's output.
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    pub(crate) netns: OwnedFd,
    no_egress: Option<String>,
}

impl Parked {
    /// Whether internet can be had in this sandbox.
    ///
    /// # Errors
    /// The kernel cannot redirect connections.
    pub fn egress(&self) -> Result<(), EgressUnsupported> {
        match self.parts.as_ref().and_then(|parts| parts.no_egress.as_ref()) {
            Some(reason) => Err(EgressUnsupported { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Whether its init still waits.
    pub(crate) fn is_alive(&self) -> bool {
        self.parts.as_ref().is_some_and(|parts| !process_info::has_ended(parts.pidfd.as_fd()))
    }

    /// From now on it is for a start.
    pub(crate) fn underway(mut self, underway: Underway) -> Self {
        self.underway = Some(underway);
        self
    }

    pub(crate) fn into_parts(mut self) -> (Parts, Option<Underway>) {
        (self.parts.take().expect("only this and drop take the parts"), self.underway.take())
    }

    /// Ends and removes it.
    pub(crate) async fn remove(mut self) {
        if let Some(parts) = self.parts.take() {
            parts.remove().await;
        }
    }

    /// Makes one. Runs to its end even if the caller goes away.
    pub(crate) async fn make(runtime: Arc<Inner>) -> Result<Self, RuntimeError> {
        let made = tokio::spawn(async move {
            // A whole `Parked`, so that one nobody waits for any more is removed.
            let parts = Some(make(&runtime).await?);
            Ok(Self { parts, removals: runtime.removals.clone(), underway: None })
        });
        made.await.map_err(|e| RuntimeError::step("park a sandbox", e.into()))?
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(tokio) => self.removals.spawn(parts, &tokio),
            // Its init ends with the connection; the next runtime's sweep finds the rest.
            Err(_) => drop(parts),
        }
    }
}

impl Parts {
    pub(crate) async fn remove(self) {
        let Self { footprint, connection, pidfd, netns, .. } = self;
        drop((connection, netns));
        let _ = process_info::kill(pidfd.as_fd());
        let _ = process_info::ended(pidfd.as_fd()).await;
        let removed = tokio::task::spawn_blocking(move || footprint.remove()).await;
        if let Ok(Err(e)) = removed {
            tracing::warn!("failed to {e}");
        }
    }
}

/// The descriptors a fork needs, and the fork.
struct Made {
    footprint: Footprint,
    record: OwnedFd,
    listener: OwnedFd,
    ours: OwnedFd,
    user_ids: Option<Reservation>,
}

async fn make(runtime: &Arc<Inner>) -> Result<Parts, RuntimeError> {
    match make_once(runtime).await {
        // Once more, with the launcher that came after.
        Err(RuntimeError::Step { source, .. }) if launcher::has_died(&source) => {
            make_once(runtime).await
        }
        made => made,
    }
}

async fn make_once(runtime: &Arc<Inner>) -> Result<Parts, RuntimeError> {
    let at = |step: &'static str| move |e| RuntimeError::step(step, e);
    let inner = runtime.clone();
    let prepared = tokio::task::spawn_blocking(move || prepare(&inner)).await;
    let made = prepared.map_err(|e| e.into()).flatten().map_err(at("prepare a sandbox's files"))?;
    match fork(runtime, &made).await {
        Ok((pid, pidfd)) => wait_until_parked(made, pid, pidfd).await,
        Err(e) => {
            // A fork that nobody knows of ends when it finds its connection closed.
            let Made { footprint, record, listener, ours, user_ids } = made;
            drop((record, listener, ours, user_ids));
            let _ = tokio::task::spawn_blocking(move || footprint.remove()).await;
            Err(RuntimeError::step("fork a sandbox", e))
        }
    }
}

/// Directory, socket, cgroups, user ids and the disk's project.
fn prepare(runtime: &Inner) -> io::Result<Made> {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let cgroup = Cgroup::create(&runtime.hierarchies, &runtime.config.cgroup, &id)?;
    let dir = runtime.config.dir.join(&id);
    let writable = !matches!(runtime.disks, Some(Disks::Mounted(_)));
    let (footprint, record) = Footprint::create(dir, id, cgroup, writable)?;
    match equip(runtime, &footprint) {
        Ok((user_ids, listener, ours)) => Ok(Made { footprint, record, listener, ours, user_ids }),
        Err(e) => {
            let _ = footprint.remove();
            Err(e)
        }
    }
}

/// User ids, and both ends of the socket.
fn equip(
    runtime: &Inner,
    footprint: &Footprint,
) -> io::Result<(Option<Reservation>, OwnedFd, OwnedFd)> {
    let user_ids = runtime.user_namespaces.then(|| reserve(runtime, footprint)).transpose()?;
    let dir = File::open(&footprint.dir)?;
    Ok((user_ids, connection::listen(dir.as_fd())?, connection::connect(dir.as_fd())?))
}

/// User ids, and the project that goes with them if disks have one.
fn reserve(runtime: &Inner, footprint: &Footprint) -> io::Result<Reservation> {
    let projects = runtime.disks.as_ref().and_then(Disks::projects);
    for _ in 0..PROJECT_ATTEMPTS {
        let reservation = user_ids::reserve(uuid::Uuid::new_v4().as_u64_pair().1)?;
        let claim = |projects: &Projects| projects.claim(&footprint.dir, reservation.ids);
        if projects.map_or(Ok(true), claim)? {
            return Ok(reservation);
        }
    }
    let what = "find a project without files: remove what ended instances have left";
    Err(io::Error::new(io::ErrorKind::ResourceBusy, what))
}

async fn fork(runtime: &Inner, made: &Made) -> io::Result<(u32, OwnedFd)> {
    let cgroup = &made.footprint.cgroup;
    let (v2, v1) = cgroup.join()?;
    let oom_event = cgroup.oom_event();
    let fork = Fork {
        dir: made.footprint.dir.as_os_str().as_bytes().to_vec(),
        cgroup: v2.is_some(),
        cgroup_procs: u8::try_from(v1.len()).expect("at most six"),
        oom_event: oom_event.is_some(),
        user_ids: made.user_ids.as_ref().map(|reservation| reservation.ids),
        shm_bytes: model::limits::SHM_BYTES,
        cgroup_v1: runtime.hierarchies.shown_inside(),
    };
    let mut fds = vec![made.listener.as_fd(), made.record.as_fd()];
    let lock = made.user_ids.as_ref().map(|reservation| &reservation.lock);
    fds.extend(v2.iter().chain(&v1).chain(&oom_event).chain(lock).map(AsFd::as_fd));
    runtime.launcher.fork(fork, &fds).await
}

async fn wait_until_parked(made: Made, pid: u32, pidfd: OwnedFd) -> Result<Parts, RuntimeError> {
    let Made { footprint, ours, .. } = made;
    let error = match wait_for_event(ours).await {
        Ok((connection, Event::Parked { no_egress }, fds)) => {
            match (introduce(&footprint, pid), <[OwnedFd; 3]>::try_from(fds)) {
                (Ok(handle), Ok([stdout, stderr, netns])) => {
                    return Ok(Parts {
                        footprint,
                        connection,
                        handle,
                        pidfd,
                        stdout,
                        stderr,
                        netns,
                        no_egress,
                    });
                }
                (Err(e), _) => RuntimeError::step("write the sandbox's handle", e),
                _ => RuntimeError::step("park a sandbox", io::ErrorKind::InvalidData.into()),
            }
        }
        Ok((_, Event::Failed { failure, .. }, _)) => {
            RuntimeError::step(&failure.what, io::Error::from_raw_os_error(failure.errno))
        }
        Ok(_) => RuntimeError::step("park a sandbox", io::ErrorKind::InvalidData.into()),
        Err(e) => RuntimeError::step("park a sandbox", e),
    };
    let _ = process_info::kill(pidfd.as_fd());
    let _ = process_info::ended(pidfd.as_fd()).await;
    let _ = tokio::task::spawn_blocking(move || footprint.remove()).await;
    Err(error)
}

/// Writes down who the sandbox is, while there is time.
fn introduce(footprint: &Footprint, pid: u32) -> io::Result<SandboxHandle> {
    let handle = SandboxHandle {
        id: footprint.id.clone(),
        pid,
        start_time: process_info::start_time(pid)?,
        dir: footprint.dir.clone(),
        cgroups: footprint.cgroup.dirs().cloned().collect(),
        work: None,
    };
    footprint::write_handle(&handle)?;
    Ok(handle)
}

async fn wait_for_event(socket: OwnedFd) -> io::Result<(Connection, Event, Vec<OwnedFd>)> {
    let connection = Connection::new(socket)?;
    let (event, fds) = connection.receive().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((connection, event, fds))
}
