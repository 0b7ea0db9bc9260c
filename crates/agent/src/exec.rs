//! Execs: further programs inside a running instance, by id, as the Docker API has them.
//!
//! What workerd sends is a shell wrapper and a shell kill helper; see [`wrapper`] for why neither
//! is run.

pub(crate) mod frames;
mod streams;
mod wrapper;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model::InstanceId;
use model::instance::State;
use runtime::{Exec, ExecError, ExecFailure, ExecStreams, Process};
use tokio::sync::watch;

pub(crate) use streams::{Attached, serve};

use crate::docker_api::{CreateExec, StartExec};
use crate::instance::{Instance, environment};
use wrapper::Wrapped;

/// Records are kept this long after their program's end, for the caller to read its exit code.
const KEPT: Duration = Duration::from_secs(60);
/// Records that were never started are kept this long.
const UNUSED_KEPT: Duration = Duration::from_secs(300);
/// How long the sandbox may take to execute a program.
const PATIENCE: Duration = Duration::from_secs(20);
/// Records at once, in all instances.
const MOST: usize = 10_000;
/// The pid shown for a program that could not be executed: one above the kernel's highest, so that
/// it can never be anybody's.
const NO_PID: u32 = 4_194_305;
/// What the shell of the kill helper exits with while the pid file is not there yet.
const NOT_YET: i32 = 3;

/// Where an exec stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nobody has started it.
    Created,
    /// Its program runs.
    Running {
        /// Its pid as the sandbox sees it.
        pid: u32,
    },
    /// Its program ended, or could not be executed.
    Ended {
        /// Its pid, while it had one.
        pid: u32,
        /// Its exit code.
        code: i32,
        /// When.
        at: Instant,
    },
}

/// One exec.
#[derive(Debug)]
pub(crate) struct ExecRecord {
    pub(crate) id: String,
    pub(crate) instance: InstanceId,
    /// Whether its output is a terminal's.
    pub(crate) tty: bool,
    command: Wrapped,
    attach: ExecStreams,
    process: Process,
    holder: Instance,
    created: Instant,
    progress: watch::Sender<Progress>,
    program: Mutex<Option<Arc<Exec>>>,
}

/// Why an exec cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExecRejected {
    #[error("the container is not running")]
    NotRunning,
    #[error("no command was given")]
    NoCommand,
    #[error("the exec was started before")]
    AlreadyStarted,
    #[error("the agent holds {MOST} execs already")]
    TooMany,
    #[error("the exec has no terminal that could be resized")]
    NoTerminal,
}

/// All execs.
#[derive(Debug, Default)]
pub(crate) struct Execs(Mutex<HashMap<String, Arc<ExecRecord>>>);

impl Execs {
    /// Records an exec to be started.
    pub(crate) fn create(
        &self,
        holder: Instance,
        request: CreateExec,
    ) -> Result<String, ExecRejected> {
        let running = holder.published().running.filter(|_| holder.state().is_live());
        let running = running.ok_or(ExecRejected::NotRunning)?;
        let command = Wrapped::recognise(request.cmd);
        let args = match &command {
            Wrapped::Run { argv, .. } | Wrapped::Plain(argv) => argv.clone(),
            Wrapped::Kill { .. } => vec!["kill".to_owned()],
        };
        if args.is_empty() {
            return Err(ExecRejected::NoCommand);
        }
        let inherited = &running.process;
        let process = Process {
            args,
            env: environment::inherit(&inherited.env, request.env.as_deref().unwrap_or(&[])),
            cwd: request.working_dir.filter(|d| !d.is_empty()).unwrap_or(inherited.cwd.clone()),
            user: request.user.filter(|u| !u.is_empty()).unwrap_or(inherited.user.clone()),
            terminal: None,
        };
        let id = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let record = ExecRecord {
            id: id.clone(),
            instance: holder.subject.instance,
            tty: request.tty,
            command,
            attach: ExecStreams {
                stdin: request.attach_stdin,
                stdout: request.attach_stdout,
                stderr: request.attach_stderr,
            },
            process,
            holder,
            created: Instant::now(),
            progress: watch::Sender::new(Progress::Created),
            program: Mutex::default(),
        };
        let mut execs = self.0.lock().expect("no holder of this lock panics");
        execs.retain(|_, record| record.is_wanted());
        if execs.len() >= MOST {
            return Err(ExecRejected::TooMany);
        }
        execs.insert(id.clone(), Arc::new(record));
        Ok(id)
    }

    /// The exec of that id.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<ExecRecord>> {
        self.0.lock().expect("no holder of this lock panics").get(id).cloned()
    }

    /// Starts an exec. `Attached` is what its streams are to be served with; a detached one or the
    /// kill helper has none.
    pub(crate) async fn start(
        &self,
        record: &Arc<ExecRecord>,
        start: StartExec,
    ) -> Result<Attached, ExecRejected> {
        // Whoever leaves `Created` first has started it.
        let first = record.progress.send_if_modified(|progress| {
            let first = *progress == Progress::Created;
            if first {
                *progress = Progress::Running { pid: 0 };
            }
            first
        });
        if !first {
            return Err(ExecRejected::AlreadyStarted);
        }
        if let Wrapped::Kill { key, signal } = &record.command {
            record.end(NO_PID, self.kill(record.instance, key, *signal));
            return Ok(Attached::nothing(record.tty));
        }
        let Some(running) = record.holder.published().running else {
            record.end(NO_PID, 137);
            return Err(ExecRejected::NotRunning);
        };
        let mut process = record.process.clone();
        if record.tty {
            let (rows, columns) = start.console_size.unwrap_or((24, 80));
            process.terminal = Some((columns, rows));
        }
        let attach = if start.detach { ExecStreams::default() } else { record.attach };
        let (code, text) =
            match tokio::time::timeout(PATIENCE, running.sandbox.exec(process, attach)).await {
                Ok(Ok(exec)) => return Ok(record.follow(exec)),
                Ok(Err(error)) => as_the_shell_says(&error),
                Err(_) => (126, "failed to execute: the sandbox does not answer\n".to_owned()),
            };
        record.end(NO_PID, code);
        Ok(Attached::failure(record.tty, text))
    }

    /// What workerd's kill helper would do: its exit code.
    fn kill(&self, instance: InstanceId, key: &str, signal: i32) -> i32 {
        let execs = self.0.lock().expect("no holder of this lock panics");
        let is_it = |record: &&Arc<ExecRecord>| {
            let known = matches!(&record.command, Wrapped::Run { key: own, .. } if own == key);
            known && record.instance == instance
        };
        let Some(record) = execs.values().find(is_it) else { return NOT_YET };
        let program = record.program.lock().expect("no holder of this lock panics").clone();
        match (program, *record.progress.borrow()) {
            (_, Progress::Ended { .. }) => 0,
            (Some(program), _) => i32::from(program.signal(signal).is_err()),
            (None, _) => NOT_YET,
        }
    }
}

impl ExecRecord {
    /// Where it stands.
    pub(crate) fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Its exit code, once its program has ended.
    pub(crate) async fn ended(&self) -> i32 {
        let mut progress = self.progress.subscribe();
        let ended = progress.wait_for(|progress| matches!(progress, Progress::Ended { .. })).await;
        match ended.as_deref() {
            Ok(Progress::Ended { code, .. }) => *code,
            // Who would tell is this record itself.
            _ => 137,
        }
    }

    /// Sets its terminal's size.
    pub(crate) fn resize(&self, columns: u16, rows: u16) -> Result<(), ExecRejected> {
        let program = self.program.lock().expect("no holder of this lock panics").clone();
        match program {
            Some(program) if self.tty => {
                program.resize(columns, rows).map_err(|_| ExecRejected::NoTerminal)
            }
            // The size of a program that has ended is of no interest.
            None if matches!(self.progress(), Progress::Ended { .. }) => Ok(()),
            _ => Err(ExecRejected::NoTerminal),
        }
    }

    /// Sends its program a signal; one that has ended needs none.
    pub(crate) fn signal(&self, number: i32) -> std::io::Result<()> {
        let program = self.program.lock().expect("no holder of this lock panics").clone();
        program.map_or(Ok(()), |program| program.signal(number))
    }

    /// Keeps an eye on a program that runs now.
    fn follow(self: &Arc<Self>, mut exec: Exec) -> Attached {
        let (stdin, stdout, stderr) = (exec.stdin.take(), exec.stdout.take(), exec.stderr.take());
        let pid = exec.inner_pid();
        let exec = Arc::new(exec);
        *self.program.lock().expect("no holder of this lock panics") = Some(Arc::clone(&exec));
        self.progress.send_replace(Progress::Running { pid });
        let record = Arc::clone(self);
        tokio::spawn(async move {
            let status = exec.wait().await;
            record.end(pid, status.code);
        });
        Attached::streams(self.tty, stdin, stdout, stderr, self.progress.subscribe())
    }

    fn end(&self, pid: u32, code: i32) {
        self.program.lock().expect("no holder of this lock panics").take();
        self.progress.send_replace(Progress::Ended { pid, code, at: Instant::now() });
    }

    /// Whether anybody may still ask for it.
    fn is_wanted(&self) -> bool {
        if matches!(self.holder.state(), State::Removed { .. }) {
            return false;
        }
        match self.progress() {
            Progress::Created => self.created.elapsed() < UNUSED_KEPT,
            Progress::Running { .. } => true,
            Progress::Ended { at, .. } => at.elapsed() < KEPT,
        }
    }
}

/// The exit code and text of the shell that workerd believes to run the command.
fn as_the_shell_says(error: &ExecError) -> (i32, String) {
    let code = match error {
        ExecError::Exec { reason: ExecFailure::NotFound, .. } => 127,
        ExecError::Ended => 137,
        _ => 126,
    };
    (code, format!("failed to {error}\n"))
}
