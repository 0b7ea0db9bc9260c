//! Starting a program in a parked sandbox.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use fs_err as fs;
use init::message::{self, Event, Failure, FailureKind, Request};
use init::wire::FDS_MAX;
use rustix::fs::CWD;
use rustix::mount::OpenTreeFlags;
use tokio::sync::oneshot;

use crate::disk::Disks;
use crate::footprint::{self, Footprint};
use crate::network::EgressSockets;
use crate::park::{Parked, Parts};
use crate::runtime::Runtime;
use crate::sandbox::Running;
use crate::{
    EgressUnsupported, ExecError, ExecFailure, NAMESERVER, Output, Process, Sandbox, SandboxHandle,
    SandboxSpec, StreamReader, StreamWriter, sys,
};

/// Longest name of a caller's upper directory: with its mount point it is an option of overlayfs, which
/// takes 255 bytes.
const UPPER_NAME_BYTES: usize = 200;

/// A sandbox could not be started; nothing of it is left. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program, its user or its working directory: see [`ExecError`].
    #[error(transparent)]
    Process(#[from] ExecError),
    /// The sandbox could not be put together: limits, mounts, network.
    #[error("{step}: {source}")]
    Rootfs {
        /// What was being done.
        step: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Internet was asked for and the kernel cannot do it.
    #[error(transparent)]
    Egress(#[from] EgressUnsupported),
    /// The parked sandbox ended before its program was executed.
    #[error("reach the sandbox's init: it has ended")]
    Ended,
}

impl StartError {
    fn step(step: &str, source: io::Error) -> Self {
        Self::Rootfs { step: step.to_owned(), source }
    }
}

impl From<Failure> for StartError {
    fn from(failure: Failure) -> Self {
        match ExecError::from(failure) {
            ExecError::Setup { step, source } => Self::Rootfs { step, source },
            error => Self::Process(error),
        }
    }
}

impl From<Failure> for ExecError {
    fn from(Failure { kind, what, errno }: Failure) -> Self {
        let source = io::Error::from_raw_os_error(errno);
        match kind {
            FailureKind::Setup => Self::Setup { step: what, source },
            FailureKind::User => Self::User(what),
            FailureKind::Cwd => Self::Cwd { path: what, source },
            FailureKind::Exec => {
                let reason = match errno {
                    libc::ENOENT | libc::ENOTDIR => ExecFailure::NotFound,
                    libc::EACCES | libc::EPERM => ExecFailure::PermissionDenied,
                    libc::ENOEXEC => ExecFailure::Format,
                    errno => ExecFailure::Other(errno),
                };
                Self::Exec { program: what, reason }
            }
        }
    }
}

impl Runtime {
    /// Runs `spec` in a parked sandbox; returns once the program was executed. A call that is dropped
    /// halfway leaves nothing.
    ///
    /// # Errors
    /// The root file system could not be made or the program not be executed; nothing is left then.
    pub async fn start(
        &self,
        parked: Parked,
        spec: SandboxSpec,
    ) -> Result<(Sandbox, Output), StartError> {
        self.start_with(parked, spec, false).await
    }

    /// The same, with a standard input for the program where it has no terminal:
    /// [`Output::stdin`]. It ends when that is dropped, so an agent that comes after has none.
    ///
    /// # Errors
    /// As of [`Self::start`].
    pub async fn start_with_stdin(
        &self,
        parked: Parked,
        spec: SandboxSpec,
    ) -> Result<(Sandbox, Output), StartError> {
        self.start_with(parked, spec, true).await
    }

    async fn start_with(
        &self,
        parked: Parked,
        spec: SandboxSpec,
        stdin: bool,
    ) -> Result<(Sandbox, Output), StartError> {
        let (done, started) = oneshot::channel();
        let runtime = self.clone();
        tokio::spawn(async move {
            let result = runtime.start_to_the_end(parked, spec, stdin).await;
            if let Err(Ok((sandbox, _))) = done.send(result)
                && let Err(e) = sandbox.destroy().await
            {
                tracing::warn!("failed to {e}");
            }
        });
        started.await.map_err(|_| StartError::Ended)?
    }

    async fn start_to_the_end(
        &self,
        parked: Parked,
        spec: SandboxSpec,
        stdin: bool,
    ) -> Result<(Sandbox, Output), StartError> {
        if spec.internet {
            parked.egress()?;
        }
        let stdin = match stdin && spec.process.terminal.is_none() {
            true => {
                let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
                Some(pipe.map_err(|e| StartError::step("make a pipe", e.into()))?)
            }
            false => None,
        };
        let (theirs, ours) = stdin.unzip();
        let (mut parts, _underway) = parked.into_parts();
        match self.try_start(&mut parts, &spec, theirs).await {
            Ok(started) => Ok(self.running(parts, started, ours)?),
            Err(e) => {
                parts.remove().await;
                Err(e)
            }
        }
    }

    async fn try_start(
        &self,
        parts: &mut Parts,
        spec: &SandboxSpec,
        stdin: Option<OwnedFd>,
    ) -> Result<Started, StartError> {
        let at = |step: &'static str| move |e| StartError::step(step, e);
        let footprint = &mut parts.footprint;
        let writable = self.writing(footprint, spec).await?;
        let trees = trees(spec)?;
        footprint.cgroup.limit(&spec.limits).map_err(at("set the sandbox's limits"))?;
        let egress = match spec.internet {
            true => Some(EgressSockets::open(&parts.netns).map_err(at("listen for egress"))?),
            false => None,
        };
        let mut handle = parts.handle.clone();
        if footprint.work.is_some() {
            handle.work.clone_from(&footprint.work);
            footprint::write_handle(&handle).map_err(at("write the sandbox's handle"))?;
        }
        let start = self.message(spec, &writable, stdin.is_some());
        let ended = |_| StartError::Ended;
        let (layers, binds) = trees.split_at(spec.layers.len());
        let fds: Vec<_> = layers
            .iter()
            .chain([&writable.mount])
            .chain(binds)
            .chain(&stdin)
            .map(AsFd::as_fd)
            .collect();
        parts.connection.send(&Request::Start(Box::new(start)), &fds).await.map_err(ended)?;
        match parts.connection.receive().await.map_err(ended)? {
            Some((Event::Started { created }, fds)) => {
                let disk = writable.names.disk.then_some(writable.mount);
                footprint.stubs = writable.callers.map(|upper| (upper, created));
                Ok(Started { handle, egress, disk, fds })
            }
            Some((Event::Failed { failure, .. }, _)) => Err(failure.into()),
            _ => Err(StartError::Ended),
        }
    }

    /// Where the sandbox writes, limited to its disk's size if the host can limit it.
    async fn writing(
        &self,
        footprint: &mut Footprint,
        spec: &SandboxSpec,
    ) -> Result<Writing, StartError> {
        let at = |step: &'static str| move |e| StartError::step(step, e);
        let bytes = spec.limits.disk_bytes();
        match &self.inner.disks {
            Some(Disks::Mounted(pool)) if spec.upper.is_none() => {
                let disk = pool.take(bytes).await.map_err(at("make the sandbox's disk"))?;
                return Ok(Writing::to_disk(disk.mount));
            }
            Some(Disks::Quota(_)) if spec.upper.is_none() => {
                let (inner, dir) = (self.inner.clone(), footprint.dir.clone());
                let limit = move || {
                    let projects = inner.disks.as_ref().and_then(Disks::projects);
                    projects.map_or(Ok(()), |projects| projects.limit(&dir, bytes))
                };
                let limited = tokio::task::spawn_blocking(limit).await;
                limited.map_err(|e| e.into()).flatten().map_err(at("limit the sandbox's disk"))?;
            }
            _ => {}
        }
        Writing::to_directory(footprint, spec).map_err(at("make the upper directory"))
    }

    fn message(&self, spec: &SandboxSpec, writable: &Writing, stdin: bool) -> message::Start {
        let name = &spec.hostname;
        message::Start {
            layers: u16::try_from(spec.layers.len()).expect("checked by `trees`"),
            writable: writable.names.clone(),
            hostname: name.clone(),
            hosts: format!("127.0.0.1\tlocalhost {name}\n::1\tlocalhost ip6-localhost {name}\n"),
            // Without internet nothing is routed there, and lookups fail at once; but outbound
            // connections may come to be routed later.
            resolv_conf: format!("nameserver {NAMESERVER}\n"),
            internet: spec.internet,
            pid1: spec.pid1,
            binds: spec
                .mounts
                .iter()
                .map(|mount| message::Bind {
                    target: mount.target.clone(),
                    read_only: mount.read_only,
                })
                .collect(),
            tmpfs: spec
                .tmpfs
                .iter()
                .map(|tmpfs| message::Tmpfs {
                    target: tmpfs.target.clone(),
                    size: tmpfs.size,
                    mode: tmpfs.mode,
                })
                .collect(),
            confinement: self.inner.confinement.clone(),
            process: spec.process.to_message(),
            stdin,
        }
    }

    /// The sandbox and its output, once its program runs.
    fn running(
        &self,
        parts: Parts,
        started: Started,
        stdin: Option<OwnedFd>,
    ) -> Result<(Sandbox, Output), StartError> {
        let Started { handle, egress, disk, fds } = started;
        let mut fds = fds.into_iter();
        let (Some(main), terminal) = (fds.next(), fds.next()) else {
            return Err(StartError::Ended);
        };
        let at = |step: &'static str| move |e| StartError::step(step, e);
        let mut output = output(parts.stdout, parts.stderr, terminal)
            .map_err(at("read the program's output"))?;
        if let Some(stdin) = stdin {
            let stdin = StreamWriter::new(stdin).map_err(at("write the program's input"))?;
            output.stdin = Some(stdin);
        }
        let running = Running {
            handle,
            footprint: parts.footprint,
            connection: parts.connection,
            init: parts.pidfd,
            main,
            netns: parts.netns,
            egress,
            disk,
        };
        let sandbox = Sandbox::new(running, &self.inner).map_err(at("watch the sandbox"))?;
        Ok((sandbox, output))
    }
}

/// What init's answer gave.
struct Started {
    handle: SandboxHandle,
    egress: Option<EgressSockets>,
    /// The mount of its disk.
    disk: Option<OwnedFd>,
    /// The main program's pidfd and its terminal.
    fds: Vec<OwnedFd>,
}

/// Output from the pipes, or from the terminal alone.
pub(crate) fn output(
    stdout: OwnedFd,
    stderr: OwnedFd,
    terminal: Option<OwnedFd>,
) -> io::Result<Output> {
    Ok(match terminal {
        Some(terminal) => Output {
            stdin: Some(StreamWriter::new(terminal.try_clone()?)?),
            stdout: StreamReader::new(terminal)?,
            stderr: StreamReader::empty(),
        },
        None => Output {
            stdin: None,
            stdout: StreamReader::new(stdout)?,
            stderr: StreamReader::new(stderr)?,
        },
    })
}

/// Where writes go.
struct Writing {
    mount: OwnedFd,
    names: message::Writable,
    /// The upper directory, if it is the caller's.
    callers: Option<PathBuf>,
}

impl Writing {
    /// To the sandbox's disk.
    fn to_disk(mount: OwnedFd) -> Self {
        let names = message::Writable {
            upper: b"upper".to_vec(),
            work: b"work".to_vec(),
            disk: true,
            volatile: true,
        };
        Self { mount, names, callers: None }
    }

    /// To the caller's directory, overlayfs's working one beside it; or to our own.
    fn to_directory(footprint: &mut Footprint, spec: &SandboxSpec) -> io::Result<Self> {
        let Some(upper) = &spec.upper else {
            let mut own = Self::to_disk(detached(&footprint.dir, OpenTreeFlags::empty())?);
            own.names.disk = false;
            return Ok(own);
        };
        fs::create_dir_all(upper)?;
        let upper = fs::canonicalize(upper)?;
        let (Some(parent), Some(name)) = (upper.parent(), upper.file_name()) else {
            return Err(io::ErrorKind::InvalidFilename.into());
        };
        // overlayfs's options take these for something else.
        if name.len() > UPPER_NAME_BYTES || name.as_bytes().iter().any(|b| b":,\\".contains(b)) {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        let mut work = name.to_owned();
        work.push(".work");
        let beside = parent.join(&work);
        fs::create_dir_all(&beside)?;
        footprint.work = Some(beside);
        let names = message::Writable {
            upper: name.as_bytes().to_vec(),
            work: work.into_vec(),
            disk: false,
            volatile: false,
        };
        Ok(Self {
            mount: detached(parent, OpenTreeFlags::empty())?,
            names,
            callers: Some(upper.clone()),
        })
    }
}

/// The layers, then what is shown of the host, as mounts that init can attach without seeing the
/// host.
fn trees(spec: &SandboxSpec) -> Result<Vec<OwnedFd>, StartError> {
    let count = spec.layers.len() + spec.mounts.len();
    // One is where writes go, and one may be a standard input.
    if count + 1 >= FDS_MAX {
        let what = format!("{count} layers and mounts, of which there can be {}", FDS_MAX - 2);
        let source = io::Error::new(io::ErrorKind::ArgumentListTooLong, what);
        return Err(StartError::step("show the image", source));
    }
    let open = |source: &PathBuf, below| {
        detached(source, below)
            .map_err(|e| StartError::step(&format!("open `{}`", source.display()), e))
    };
    let layers = spec.layers.iter().map(|layer| open(layer, OpenTreeFlags::empty()));
    let mounts = spec.mounts.iter().map(|mount| open(&mount.source, OpenTreeFlags::AT_RECURSIVE));
    layers.chain(mounts).collect()
}

/// A copy of the mount at `path`, or with `AT_RECURSIVE` also of those below it, attached nowhere. What
/// the host mounts there later is not shown: nobody asked for it.
fn detached(path: &Path, below: OpenTreeFlags) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | below;
    let tree = rustix::mount::open_tree(CWD, path, flags)?;
    sys::make_private(tree.as_fd())?;
    Ok(tree)
}

impl Process {
    pub(crate) fn to_message(&self) -> message::Process {
        message::Process {
            args: self.args.clone(),
            env: self.env.clone(),
            cwd: if self.cwd.is_empty() { "/".to_owned() } else { self.cwd.clone() },
            user: self.user.clone(),
            terminal: self.terminal,
        }
    }
}
