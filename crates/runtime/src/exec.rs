//! A further program inside a running sandbox.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use init::message;
use rustix::pipe::PipeFlags;
use rustix::termios::Winsize;
use tokio::sync::watch;

use crate::events::{self, Events};
use crate::{ExitStatus, Process, StreamReader, StreamWriter, process_info};

/// Which standard streams of an exec the caller wants; the others are `/dev/null`. Ignored when
/// the process has a terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExecStreams {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

/// A program started by [`Sandbox::exec`](crate::Sandbox::exec). It goes on when this is dropped.
#[derive(Debug)]
pub struct Exec {
    /// Standard input, or the terminal's.
    pub stdin: Option<StreamWriter>,
    /// Standard output, or the terminal's. Ends when every holder of the pipe is gone, which may be
    /// later than the program.
    pub stdout: Option<StreamReader>,
    /// Standard error.
    pub stderr: Option<StreamReader>,
    pid: u32,
    inner_pid: u32,
    pidfd: OwnedFd,
    terminal: Option<OwnedFd>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl Exec {
    /// The program's pid as the host sees it; 0 if it ended before that could be looked up.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The program's pid as the sandbox sees it.
    #[must_use]
    pub fn inner_pid(&self) -> u32 {
        self.inner_pid
    }

    /// The program's end. May be awaited more than once.
    pub async fn wait(&self) -> ExitStatus {
        events::wait(self.exit.clone()).await
    }

    /// Sends a signal to the program; succeeds when it has ended already.
    ///
    /// # Errors
    /// The number is no signal.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        process_info::signal(self.pidfd.as_fd(), signal)
    }

    /// Sets the terminal's size.
    ///
    /// # Errors
    /// `Unsupported` if the program has no terminal.
    pub fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        let terminal = self.terminal.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(rustix::termios::tcsetwinsize(terminal, size)?)
    }
}

/// Why a program could not be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExecFailure {
    /// There is no such file, also not in `PATH`.
    #[error("not found")]
    NotFound,
    /// The file is not executable for that user.
    #[error("permission denied")]
    PermissionDenied,
    /// The file is no program of this machine.
    #[error("exec format error")]
    Format,
    /// Anything else the kernel says: an errno.
    #[error("{}", io::Error::from_raw_os_error(*.0))]
    Other(i32),
}

/// A further program could not be started. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The program could not be executed.
    #[error("execute `{program}`: {reason}")]
    Exec {
        /// The first argument.
        program: String,
        /// Why.
        reason: ExecFailure,
    },
    /// The user is unknown inside.
    #[error("find user `{0}` in the image's /etc/passwd or /etc/group")]
    User(String),
    /// The working directory cannot be entered.
    #[error("enter the working directory `{path}`: {source}")]
    Cwd {
        /// The directory.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A step of preparing the process failed.
    #[error("{step}: {source}")]
    Setup {
        /// What was being done.
        step: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The sandbox ended before or meanwhile.
    #[error("reach the sandbox: it has ended")]
    Ended,
}

/// Starts a program through a sandbox's init.
pub(crate) async fn start(
    events: &Events,
    process: &Process,
    streams: ExecStreams,
) -> Result<Exec, ExecError> {
    let failed = |source| ExecError::Setup { step: "connect the program".to_owned(), source };
    let wanted = match process.terminal {
        Some(_) => ExecStreams::default(),
        None => streams,
    };
    let pipes = Pipes::new(wanted).map_err(failed)?;
    let request = message::Exec {
        id: 0,
        process: process.to_message(),
        streams: [wanted.stdin, wanted.stdout, wanted.stderr],
    };
    let (answer, exit) = events.exec(request, &pipes.theirs).await.ok_or(ExecError::Ended)?;
    // Ours of theirs must go, or their end would never be seen.
    let Pipes { stdin, stdout, stderr, theirs } = pipes;
    drop(theirs);
    let executed = answer?;
    let mut fds = executed.fds.into_iter();
    let pidfd = fds.next().ok_or(ExecError::Ended)?;
    let pids = process_info::pids_of(pidfd.as_fd()).map_err(failed)?;
    // What init says is right too, unless the program is in a PID namespace below init's.
    let (pid, inner_pid) = pids.unwrap_or((0, executed.pid));
    let terminal = fds.next();
    let mut exec = Exec { stdin, stdout, stderr, pid, inner_pid, pidfd, terminal: None, exit };
    if let Some(master) = terminal {
        let copy = || master.try_clone();
        exec.stdin = Some(copy().and_then(StreamWriter::new).map_err(failed)?);
        exec.stdout = Some(copy().and_then(StreamReader::new).map_err(failed)?);
        exec.terminal = Some(master);
    }
    Ok(exec)
}

/// Our ends of the wanted pipes, and the program's.
struct Pipes {
    stdin: Option<StreamWriter>,
    stdout: Option<StreamReader>,
    stderr: Option<StreamReader>,
    theirs: Vec<OwnedFd>,
}

impl Pipes {
    fn new(wanted: ExecStreams) -> io::Result<Self> {
        let mut pipes = Self { stdin: None, stdout: None, stderr: None, theirs: Vec::new() };
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
        if wanted.stdin {
            let (read, write) = pipe()?;
            pipes.theirs.push(read);
            pipes.stdin = Some(StreamWriter::new(write)?);
        }
        for (wanted, ours) in
            [(wanted.stdout, &mut pipes.stdout), (wanted.stderr, &mut pipes.stderr)]
        {
            if wanted {
                let (read, write) = pipe()?;
                pipes.theirs.push(write);
                *ours = Some(StreamReader::new(read)?);
            }
        }
        Ok(pipes)
    }
}
