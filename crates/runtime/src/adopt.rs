//! Taking up a running sandbox after a restart of the agent.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use init::message::Event;
use init::record::Record;

use crate::connection::{self, Connection};
use crate::footprint::Footprint;
use crate::network::EgressSockets;
use crate::runtime::Runtime;
use crate::sandbox::Running;
use crate::start::output;
use crate::{ExitStatus, Output, Sandbox, SandboxHandle, inside, process_info};

/// How long an init may take to answer; it does nothing that takes long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A sandbox could not be adopted. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// It ended meanwhile. Its directory is still there: call
    /// [`Runtime::remove`] once the record is dealt with.
    #[error("adopt sandbox {id}: it ended with code {}", status.code)]
    Exited {
        /// The sandbox.
        id: String,
        /// How it ended.
        status: ExitStatus,
        /// What it printed that nobody had read.
        stdout: Vec<u8>,
        /// The same of standard error.
        stderr: Vec<u8>,
    },
    /// There is no trace of it.
    #[error("adopt sandbox {0}: it is gone")]
    Gone(String),
    /// Its init could not be talked to.
    #[error("{step}: {source}")]
    Step {
        /// What was being done.
        step: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl AdoptError {
    fn step(step: &str, source: io::Error) -> Self {
        Self::Step { step: step.to_owned(), source }
    }
}

impl Runtime {
    /// Takes up a running sandbox that another process started.
    ///
    /// # Errors
    /// It ended meanwhile, or there is no trace of it.
    pub async fn adopt(&self, handle: SandboxHandle) -> Result<(Sandbox, Output), AdoptError> {
        if !handle.dir.exists() {
            return Err(AdoptError::Gone(handle.id));
        }
        let footprint = self.inner.footprint(&handle);
        let Some(init) = process_info::open(handle.pid, handle.start_time) else {
            return Err(exited(&footprint));
        };
        inside::resume(&handle.cgroups);
        match tokio::time::timeout(ANSWER_TIMEOUT, take_up(&footprint)).await {
            Ok(Ok(taken)) => self.adopted(handle, footprint, init, taken),
            Ok(Err(_)) | Err(_) if process_info::has_ended(init.as_fd()) => Err(exited(&footprint)),
            Ok(Err(e)) if ending(&e) => {
                // Its main program has ended and init is about to.
                let _ = process_info::ended(init.as_fd()).await;
                Err(exited(&footprint))
            }
            Ok(Err(e)) => Err(AdoptError::step("talk to the sandbox's init", e)),
            Err(_) => {
                Err(AdoptError::step("talk to the sandbox's init", io::ErrorKind::TimedOut.into()))
            }
        }
    }

    fn adopted(
        &self,
        handle: SandboxHandle,
        footprint: Footprint,
        init: OwnedFd,
        taken: Taken,
    ) -> Result<(Sandbox, Output), AdoptError> {
        let at = |step: &'static str| move |e| AdoptError::step(step, e);
        let Taken { connection, stdout, stderr, netns, main, terminal, disk, internet } = taken;
        let egress = match internet {
            true => Some(EgressSockets::open(&netns).map_err(at("listen for egress"))?),
            false => None,
        };
        let output = output(stdout, stderr, terminal).map_err(at("read the program's output"))?;
        let running = Running { handle, footprint, connection, init, main, netns, egress, disk };
        let sandbox = Sandbox::new(running, &self.inner).map_err(at("watch the sandbox"))?;
        Ok((sandbox, output))
    }
}

/// What an init hands to the agent that adopts it.
struct Taken {
    connection: Connection,
    stdout: OwnedFd,
    stderr: OwnedFd,
    netns: OwnedFd,
    main: OwnedFd,
    terminal: Option<OwnedFd>,
    disk: Option<OwnedFd>,
    internet: bool,
}

async fn take_up(footprint: &Footprint) -> io::Result<Taken> {
    let dir = File::open(&footprint.dir)?;
    let connection = Connection::new(connection::connect(dir.as_fd())?)?;
    let (event, fds) = connection.receive().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut fds = fds.into_iter();
    let mut next = || fds.next().ok_or(io::ErrorKind::InvalidData);
    let (stdout, stderr, netns, main) = (next()?, next()?, next()?, next()?);
    match event {
        Event::Adopted { terminal, internet, disk } => {
            let terminal = if terminal { Some(next()?) } else { None };
            let disk = if disk { Some(next()?) } else { None };
            Ok(Taken { connection, stdout, stderr, netns, main, terminal, disk, internet })
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn ending(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionRefused | ConnectionReset | UnexpectedEof)
}

fn exited(footprint: &Footprint) -> AdoptError {
    let (status, stdout, stderr) = match footprint.record() {
        Record::Exited { status, oom, stdout, stderr } => {
            (footprint.status(status, oom), stdout, stderr)
        }
        Record::Parked | Record::Running => {
            (ExitStatus::killed(footprint.cgroup.oom_kills() > 0), Vec::new(), Vec::new())
        }
    };
    AdoptError::Exited { id: footprint.id.clone(), status, stdout, stderr }
}
