//! Who calls an engine socket, and whether it is leaving: what a leaving workerd deletes, its
//! successor may want.
//!
//! Whoever stops workerd on purpose says so before ([`EngineProcess::drain`]). When somebody else
//! sends it SIGTERM, it first stops to accept requests and then deletes its containers: so a process
//! that wants to delete one and no longer listens is leaving (`workerd.md` §1.2).

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::net::UnixStream;

use crate::docker_api::Caller;

/// Says where the process serves requests; `None` while it does not.
type Ingress = Box<dyn Fn() -> Option<PathBuf> + Send + Sync>;

/// What is known of the process an engine socket is for.
#[derive(Default)]
pub(crate) struct EngineProcess {
    draining: AtomicBool,
    ingress: OnceLock<Ingress>,
    /// The process that was found to be leaving; the next one on this socket is another.
    leaving: AtomicI32,
}

/// One connection's other end.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    uid: u32,
    pid: Option<i32>,
    process: Arc<EngineProcess>,
}

impl EngineProcess {
    /// What it deletes from now on goes on running for a while.
    pub(crate) fn drain(&self, draining: bool) {
        self.draining.store(draining, Ordering::Release);
    }

    /// Where it serves requests; only the first answer counts.
    pub(crate) fn serves_at(&self, ingress: Ingress) {
        let _ = self.ingress.set(ingress);
    }
}

impl Peer {
    /// Who is at the other end.
    pub(crate) fn of(stream: &UnixStream, process: &Arc<EngineProcess>) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let process = Arc::clone(process);
        Ok(Self { uid: credentials.uid(), pid: credentials.pid(), process })
    }

    /// The caller, as far as is known without asking it.
    pub(crate) fn caller(&self) -> Caller {
        let leaving = self.process.leaving.load(Ordering::Acquire);
        let draining =
            self.process.draining.load(Ordering::Acquire) || self.pid.is_some_and(|p| p == leaving);
        Caller { uid: self.uid, draining }
    }

    /// Finds out whether it has begun to leave, which it never takes back.
    pub(crate) async fn has_begun_to_leave(&self) -> bool {
        let Some(path) = self.process.ingress.get().and_then(|ingress| ingress()) else {
            return false;
        };
        let left = match UnixStream::connect(&path).await {
            Ok(_) => false,
            Err(error) => {
                matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
            }
        };
        if let (true, Some(pid)) = (left, self.pid) {
            tracing::info!(pid, "workerd is leaving: its containers stay for the next one");
            self.process.leaving.store(pid, Ordering::Release);
        }
        left
    }
}

impl std::fmt::Debug for EngineProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineProcess")
            .field("draining", &self.draining)
            .field("leaving", &self.leaving)
            .finish_non_exhaustive()
    }
}
