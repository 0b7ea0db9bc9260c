//! What a sandbox's init tells us, and who waits for it.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard};

use init::message::{Event, Exec, Failure, Request};
use init::record::Record;
use tokio::sync::{oneshot, watch};

use crate::connection::Connection;
use crate::footprint::Footprint;
use crate::{ExitStatus, process_info};

/// The connection to one init.
#[derive(Debug)]
pub(crate) struct Events {
    footprint: Footprint,
    connection: Connection,
    init: OwnedFd,
    exit: watch::Sender<Option<ExitStatus>>,
    execs: Mutex<Execs>,
    /// Who waits for outbound connections to be routed; one at a time.
    routing: Mutex<Option<oneshot::Sender<Result<(), Failure>>>>,
}

#[derive(Debug, Default)]
struct Execs {
    last_id: u64,
    /// Nothing will be answered any more.
    closed: bool,
    pending: HashMap<u64, Pending>,
}

/// An exec that has not ended.
#[derive(Debug)]
struct Pending {
    started: Option<oneshot::Sender<Result<Executed, Failure>>>,
    exit: watch::Sender<Option<ExitStatus>>,
}

/// An exec's program runs.
#[derive(Debug)]
pub(crate) struct Executed {
    /// Its pid inside.
    pub(crate) pid: u32,
    /// Its pidfd, and its terminal.
    pub(crate) fds: Vec<OwnedFd>,
}

impl Events {
    pub(crate) fn new(footprint: Footprint, connection: Connection, init: OwnedFd) -> Self {
        let (exit, execs, routing) = (watch::Sender::new(None), Mutex::default(), Mutex::default());
        Self { footprint, connection, init, exit, execs, routing }
    }

    pub(crate) fn footprint(&self) -> &Footprint {
        &self.footprint
    }

    /// The sandbox's end.
    pub(crate) async fn wait(&self) -> ExitStatus {
        wait(self.exit.subscribe()).await
    }

    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// SIGKILL to PID 1, which takes all others of its namespace with it.
    pub(crate) fn kill(&self) -> io::Result<()> {
        process_info::kill(self.init.as_fd())
    }

    /// Asks for a further program; `None` if the sandbox has ended or does meanwhile.
    pub(crate) async fn exec(
        &self,
        mut exec: Exec,
        fds: &[OwnedFd],
    ) -> Option<(Result<Executed, Failure>, watch::Receiver<Option<ExitStatus>>)> {
        let (started, answer) = oneshot::channel();
        let exit = watch::Sender::new(None);
        let exited = exit.subscribe();
        exec.id = self.execs().add(Pending { started: Some(started), exit })?;
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        let request = Request::Exec(Box::new(exec));
        self.connection.send(&request, &fds).await.ok()?;
        Some((answer.await.ok()?, exited))
    }

    /// Asks for outbound connections to be routed; `None` if the sandbox has ended or does meanwhile.
    /// One call at a time.
    pub(crate) async fn route_egress(&self) -> Option<Result<(), Failure>> {
        let (routed, answer) = oneshot::channel();
        *self.routing() = Some(routed);
        self.connection.send(&Request::RouteEgress, &[]).await.ok()?;
        answer.await.ok()
    }

    /// Listens until the sandbox has ended.
    pub(crate) async fn follow(self: std::sync::Arc<Self>) {
        let mut reported = None;
        while let Ok(Some((event, fds))) = self.connection.receive::<Event>().await {
            if let Event::Exited { status, oom } = event {
                reported = Some((status, oom));
            } else {
                self.dispatch(event, fds);
            }
        }
        self.execs().close();
        drop(self.routing().take());
        // The connection may also have gone to another agent: the sandbox's end is its init's.
        if let Err(e) = process_info::ended(self.init.as_fd()).await {
            tracing::error!("failed to wait for sandbox {}: {e}", self.footprint.id);
        }
        let status = match (reported, self.footprint.record()) {
            (Some((status, oom)), _) | (None, Record::Exited { status, oom, .. }) => {
                self.footprint.status(status, oom)
            }
            (None, _) => ExitStatus::killed(self.footprint.cgroup.oom_kills() > 0),
        };
        self.exit.send_replace(Some(status));
    }

    fn dispatch(&self, event: Event, fds: Vec<OwnedFd>) {
        let mut execs = self.execs();
        match event {
            Event::Executed { exec, pid } => execs.answer(exec, Ok(Executed { pid, fds })),
            Event::Failed { exec, failure } => {
                execs.answer(exec, Err(failure));
                execs.pending.remove(&exec);
            }
            Event::ExecExited { exec, status } => {
                if let Some(pending) = execs.pending.remove(&exec) {
                    pending.exit.send_replace(Some(ExitStatus::new(status, false)));
                }
            }
            Event::EgressRouted { failure } => {
                if let Some(routed) = self.routing().take() {
                    let _ = routed.send(failure.map_or(Ok(()), Err));
                }
            }
            Event::Parked { .. }
            | Event::Started { .. }
            | Event::Adopted { .. }
            | Event::Exited { .. } => {}
        }
    }

    fn routing(&self) -> MutexGuard<'_, Option<oneshot::Sender<Result<(), Failure>>>> {
        self.routing.lock().expect("no code panics while it holds the lock")
    }

    fn execs(&self) -> MutexGuard<'_, Execs> {
        self.execs.lock().expect("no code panics while it holds the lock")
    }
}

impl Execs {
    /// Gives an exec its id.
    fn add(&mut self, pending: Pending) -> Option<u64> {
        if self.closed {
            return None;
        }
        self.last_id += 1;
        self.pending.insert(self.last_id, pending);
        Some(self.last_id)
    }

    fn answer(&mut self, exec: u64, answer: Result<Executed, Failure>) {
        if let Some(started) = self.pending.get_mut(&exec).and_then(|p| p.started.take()) {
            // Nobody may be waiting any more; the program then runs unobserved.
            let _ = started.send(answer);
        }
    }

    /// Execs end with their sandbox.
    fn close(&mut self) {
        self.closed = true;
        for (_, pending) in self.pending.drain() {
            pending.exit.send_replace(Some(ExitStatus::killed(false)));
        }
    }
}

/// Waits for a status to be there.
pub(crate) async fn wait(mut exit: watch::Receiver<Option<ExitStatus>>) -> ExitStatus {
    match exit.wait_for(Option::is_some).await {
        Ok(status) => status.expect("waited for"),
        // The follower was dropped with the whole runtime: as good as ended.
        Err(_) => ExitStatus::killed(false),
    }
}
