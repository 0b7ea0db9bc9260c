//! Running instances as their owner reaches them from elsewhere: what they print, and programs that are
//! run beside theirs.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use model::InstanceId;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use crate::agent::Agent;
use crate::docker_api::{CreateExec, StartExec};
use crate::engine;
use crate::exec::{self, ExecRecord, ExecRejected};
use crate::instance::Instance;

/// Bytes that a program's caller has sent, or is sent, and that were not taken yet.
const BUFFER: usize = 64 * 1024;

/// Which part of a log is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogRequest {
    /// Also what comes, until the instance ends.
    pub follow: bool,
    /// Each line with its time before it.
    pub timestamps: bool,
    /// Only that many last lines of what is there.
    pub tail: Option<usize>,
    /// Only lines from then on.
    pub since: Option<Timestamp>,
}

/// A program to be run in an instance, as its own program's user, in its folder and with its
/// variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecRequest {
    /// The program, and its arguments.
    pub command: Vec<String>,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether its standard input is its caller's.
    pub stdin: bool,
    /// Variables beside those of the instance's own program, `NAME=VALUE`.
    pub env: Vec<String>,
}

/// Why an instance cannot be reached so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// It is not there.
    #[error("no instance {0} runs here")]
    NoInstance(InstanceId),
    /// Nobody has made it, or it was not started in time.
    #[error("there is no exec {0}, or no more")]
    NoExec(String),
    /// The instance does not take it.
    #[error("{0}")]
    Rejected(String),
}

impl From<ExecRejected> for AccessError {
    fn from(rejected: ExecRejected) -> Self {
        Self::Rejected(rejected.to_string())
    }
}

/// A program that was started in an instance.
#[derive(Debug)]
pub struct RunningExec(Arc<ExecRecord>);

impl RunningExec {
    /// Sets its terminal's size; nothing happens if it has none.
    pub fn resize(&self, rows: u16, columns: u16) {
        if let Err(error) = self.0.resize(columns, rows) {
            tracing::debug!(%error, "resize");
        }
    }

    /// Sends it a signal of that number; nothing happens if it has ended.
    pub fn signal(&self, number: i32) {
        if let Err(error) = self.0.signal(number) {
            tracing::debug!(%error, number, "signal");
        }
    }

    /// Its exit code, once it has ended.
    pub async fn ended(&self) -> i32 {
        self.0.ended().await
    }
}

impl Agent {
    /// What an instance has printed, oldest first: frames of the Docker Engine API.
    ///
    /// # Errors
    /// It is not there; one that has ended may have an [`Self::ended_log`].
    pub fn logs(
        &self,
        instance: InstanceId,
        wanted: &LogRequest,
    ) -> Result<mpsc::Receiver<Bytes>, AccessError> {
        let found = self.find(instance)?;
        Ok(engine::log_of(self.api.node.find_log(instance), found, wanted))
    }

    /// What an instance had printed that has ended, if its log is kept; `wanted` may not ask for more
    /// than there is.
    #[must_use]
    pub fn ended_log(&self, instance: &str, wanted: &LogRequest) -> Option<mpsc::Receiver<Bytes>> {
        let folder = self.api.node.ended_logs.as_ref()?.find(instance)?;
        Some(engine::log_in_folder(folder, wanted))
    }

    /// Prepares a program, to be started soon; its id.
    ///
    /// # Errors
    /// The instance is not there, or does not run.
    pub fn create_exec(
        &self,
        instance: InstanceId,
        request: ExecRequest,
    ) -> Result<String, AccessError> {
        let found = self.find(instance)?;
        let request = CreateExec {
            attach_stdin: request.stdin,
            attach_stdout: true,
            attach_stderr: true,
            tty: request.tty,
            cmd: request.command,
            env: Some(request.env),
            ..CreateExec::default()
        };
        Ok(self.api.execs.create(found, request)?)
    }

    /// Starts a program, with a terminal of that many rows and columns if it has one. Its streams are
    /// frames of the Docker Engine API, or raw with a terminal; they end when it does.
    ///
    /// # Errors
    /// There is none of that id, or it was started before, or the instance has ended.
    pub async fn start_exec(
        &self,
        id: &str,
        size: Option<(u16, u16)>,
    ) -> Result<(RunningExec, DuplexStream), AccessError> {
        let record = self.api.execs.find(id).ok_or_else(|| AccessError::NoExec(id.to_owned()))?;
        let start = StartExec { detach: false, tty: record.tty, console_size: size };
        let attached = self.api.execs.start(&record, start).await?;
        let (ours, callers) = tokio::io::duplex(BUFFER);
        tokio::spawn(exec::serve(ours, attached));
        Ok((RunningExec(record), callers))
    }

    /// An instance that is there.
    pub(crate) fn find(&self, id: InstanceId) -> Result<Instance, AccessError> {
        let all = self.api.slots.all();
        let mut visible = all.iter().filter_map(|slot| slot.visible());
        visible.find(|instance| instance.subject.instance == id).ok_or(AccessError::NoInstance(id))
    }
}
