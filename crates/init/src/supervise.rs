//! PID 1 at work: starts the main program and further ones, reaps, reports, and ends with the main
//! program. Goes on alone when the agent is away.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use berth_init::message::{
    Confinement, Event, Exec, Failure, FailureKind, Process, Request, Start, Status,
};
use berth_init::record::{HEADER_BYTES, Header};
use berth_init::wire::{self, Receiver};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::process::{WaitOptions, WaitStatus};

use crate::failure::Step;
use crate::park::Parked;
use crate::process::{self, Running, Stdio};
use crate::rootfs::Trees;
use crate::stage::Stage;
use crate::sys::{self, ChildStack};
use crate::user::{self, User};
use crate::userns::UserNamespace;
use crate::{network, rootfs};

/// How long an agent that reads nothing may hold us up before it counts as gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Most unread output that is kept in the record, for each stream.
const RECORD_OUTPUT_BYTES: usize = 1024 * 1024;

/// Runs the sandbox to its end. Returning ends PID 1, and with it everything inside.
pub(crate) fn run(parked: Parked) -> ExitCode {
    let (mut init, stage) = Init::new(parked);
    let Some((start, fds)) = init.wait_for_start() else { return ExitCode::SUCCESS };
    // From here on the sandbox counts as started, whatever becomes of the agent.
    let _ = rustix::io::pwrite(&init.record, &Header::Running.encode(), 0);
    match init.start(stage, start, fds) {
        Ok(()) => init.supervise(),
        Err(failure) => {
            init.tell(&Event::Failed { exec: 0, failure }, &[]);
            ExitCode::FAILURE
        }
    }
}

struct Init {
    listener: OwnedFd,
    agent: Option<Agent>,
    record: OwnedFd,
    oom_event: Option<OwnedFd>,
    /// Whether it said so.
    oom: bool,
    child_signal: OwnedFd,
    null: OwnedFd,
    pipes: [(OwnedFd, OwnedFd); 2],
    stack: ChildStack,
    netns: OwnedFd,
    namespace: Option<Rc<UserNamespace>>,
    /// What takes the writes, if it has its own file system; kept for agents.
    disk: Option<OwnedFd>,
    confinement: Confinement,
    /// Whether the main program is PID 1 of a namespace inside ours.
    pid1: bool,
    /// Whether outbound connections are routed to the agent's sockets.
    routed: bool,
    /// Why they cannot be.
    no_egress: Option<String>,
    main: Option<Main>,
    /// `Exec` ids by pid.
    execs: HashMap<u32, u64>,
}

/// The connection to the agent.
struct Agent {
    socket: OwnedFd,
    receiver: Receiver,
}

struct Main {
    running: Running,
    /// Our side of its terminal.
    terminal: Option<OwnedFd>,
}

impl Init {
    fn new(parked: Parked) -> (Self, Stage) {
        let agent = Agent { socket: parked.connection, receiver: Receiver::default() };
        let init = Self {
            listener: parked.listener,
            agent: Some(agent),
            record: parked.record,
            oom_event: parked.oom_event,
            oom: false,
            child_signal: parked.child_signal,
            null: parked.null,
            pipes: parked.pipes,
            stack: parked.stack,
            netns: parked.netns,
            namespace: parked.namespace,
            disk: None,
            confinement: Confinement::default(),
            pid1: false,
            routed: false,
            no_egress: parked.no_egress,
            main: None,
            execs: HashMap::new(),
        };
        (init, parked.stage)
    }

    /// Waits as long as the agent lives: a parked sandbox does not outlive it.
    fn wait_for_start(&mut self) -> Option<(Start, Vec<OwnedFd>)> {
        loop {
            let agent = self.agent.as_mut()?;
            match agent.receiver.receive(&agent.socket) {
                Ok(Some((Request::Start(start), fds))) => return Some((*start, fds)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    rustix::event::poll(&mut [readable(&agent.socket)], None).ok()?;
                }
                _ => return None,
            }
        }
    }

    fn start(&mut self, stage: Stage, start: Start, mut fds: Vec<OwnedFd>) -> Result<(), Failure> {
        let stdin = if start.stdin { fds.pop() } else { None };
        let trees = Trees::take(&start, fds)?;
        let created = rootfs::enter(stage, &start, &trees, self.namespace.as_deref())?;
        self.disk = Some(trees.writable).filter(|_| start.writable.disk);
        // Not the host's, whose path would show inside; and not later, when root inside could have
        // replaced it.
        self.null = rootfs::open_inside("/dev/null", OFlags::RDWR).step_on("open", "/dev/null")?;
        if start.internet {
            self.route_egress()?;
        }
        self.confinement = start.confinement;
        self.pid1 = start.pid1;
        if self.pid1 {
            // For its children: we stay outside, reap the main program and what is executed, and the
            // kernel kills the rest with it. Orphans inside are the program's, as it wants.
            sys::unshare_children_pids()
                .step("make a PID namespace for a program that is PID 1")?;
        }
        if start.process.cwd != "/" {
            rootfs::make_directory(&start.process.cwd)?;
        }
        let user = user::resolve(&start.process.user, self.namespace.as_ref())?;
        let streams = [stdin.as_ref().map(AsFd::as_fd), None, None];
        let (running, terminal) = self.spawn(&start.process, &user, streams)?;
        let main = self.main.insert(Main { running, terminal });
        let mut fds = vec![main.running.pidfd.as_fd()];
        fds.extend(main.terminal.as_ref().map(AsFd::as_fd));
        tell(&mut self.agent, &Event::Started { created }, &fds);
        Ok(())
    }

    /// From now on outbound connections end in the agent's sockets.
    fn route_egress(&mut self) -> Result<(), Failure> {
        if self.routed {
            return Ok(());
        }
        if let Some(reason) = &self.no_egress {
            let what = format!("redirect outbound connections ({reason})");
            return Err(Failure {
                kind: FailureKind::Setup,
                what,
                errno: Errno::NOTSUP.raw_os_error(),
            });
        }
        network::route_egress().step("route outbound connections")?;
        self.routed = true;
        Ok(())
    }

    /// Starts a program with those streams; where there is none, the main program's outputs are the
    /// pipes, and everything else is `/dev/null`.
    fn spawn(
        &mut self,
        process: &Process,
        user: &User,
        streams: [Option<BorrowedFd<'_>>; 3],
    ) -> Result<(Running, Option<OwnedFd>), Failure> {
        let new_proc = self.pid1 && self.main.is_none();
        if let Some(size) = process.terminal {
            let (master, slave) = process::terminal(size, user)?;
            let stdio = Stdio::Terminal(slave);
            let running = process::spawn(
                process,
                &self.confinement,
                user,
                &stdio,
                new_proc,
                &mut self.stack,
            )?;
            return Ok((running, Some(master)));
        }
        let files = match (&self.main, streams) {
            (None, [stdin, ..]) => {
                let stdin = stdin.unwrap_or(self.null.as_fd());
                [stdin, self.pipes[0].1.as_fd(), self.pipes[1].1.as_fd()]
            }
            (Some(_), streams) => streams.map(|fd| fd.unwrap_or(self.null.as_fd())),
        };
        for fd in files {
            own(fd, user);
        }
        let stdio = Stdio::Files(files);
        Ok((
            process::spawn(process, &self.confinement, user, &stdio, new_proc, &mut self.stack)?,
            None,
        ))
    }

    fn supervise(mut self) -> ExitCode {
        loop {
            let ready = self.poll();
            if ready.children
                && let Some(status) = self.reap()
            {
                self.finish(status);
                return ExitCode::SUCCESS;
            }
            if ready.oom {
                // An instance that runs out of memory ends as a whole, as a machine of its own
                // would. cgroup v2 does that by itself (memory.oom.group). Reaping follows.
                self.oom_event = None;
                self.oom = true;
                sys::kill_all();
            }
            if ready.listener {
                self.adopt();
            }
            if ready.agent {
                self.serve();
            }
        }
    }

    fn poll(&self) -> Ready {
        let mut fds = vec![readable(&self.child_signal), readable(&self.listener)];
        let oom = self.oom_event.as_ref().map(readable);
        let agent = self.agent.as_ref().map(|agent| readable(&agent.socket));
        let (has_oom, has_agent) = (oom.is_some(), agent.is_some());
        fds.extend(oom);
        fds.extend(agent);
        if rustix::event::poll(&mut fds, None).is_err() {
            return Ready::default();
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        Ready {
            children: ready[0],
            listener: ready[1],
            oom: has_oom && ready[2],
            agent: has_agent && *ready.last().expect("four entries at most, two at least"),
        }
    }

    /// Reaps all that ended; returns how the main program did, if it did.
    fn reap(&mut self) -> Option<Status> {
        let mut signal = [0; 128];
        let _ = rustix::io::read(&self.child_signal, &mut signal);
        let mut main = None;
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_pid().unsigned_abs();
            let status = status_of(status);
            if self.main.as_ref().is_some_and(|main| main.running.pid == pid) {
                main = Some(status);
            } else if let Some(exec) = self.execs.remove(&pid) {
                self.tell(&Event::ExecExited { exec, status }, &[]);
            }
        }
        main
    }

    /// Records and reports the end.
    fn finish(&mut self, status: Status) {
        sys::kill_all();
        let oom = self.oom;
        let header = |stdout, stderr| Header::Exited { status, oom, stdout, stderr }.encode();
        let _ = rustix::io::pwrite(&self.record, &header(0, 0), 0);
        self.tell(&Event::Exited { status, oom }, &[]);
        if self.agent.is_some() {
            // The agent reads what is left in the pipes itself.
            return;
        }
        let terminal = self.main.as_ref().and_then(|main| main.terminal.as_ref());
        let stdout = drain(terminal.unwrap_or(&self.pipes[0].0));
        let stderr = drain(&self.pipes[1].0);
        let mut offset = HEADER_BYTES as u64;
        for output in [&stdout, &stderr] {
            if rustix::io::pwrite(&self.record, output, offset) != Ok(output.len()) {
                return;
            }
            offset += output.len() as u64;
        }
        let len = |output: &Vec<u8>| u32::try_from(output.len()).expect("at most 1 MiB");
        let _ = rustix::io::pwrite(&self.record, &header(len(&stdout), len(&stderr)), 0);
    }

    /// Takes a new agent in place of the former one.
    fn adopt(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Ok(socket) = rustix::net::accept_with(&self.listener, flags) else { return };
        let Some(main) = &self.main else { return };
        let mut fds = vec![
            self.pipes[0].0.as_fd(),
            self.pipes[1].0.as_fd(),
            self.netns.as_fd(),
            main.running.pidfd.as_fd(),
        ];
        fds.extend(main.terminal.iter().chain(&self.disk).map(AsFd::as_fd));
        self.agent = Some(Agent { socket, receiver: Receiver::default() });
        let (terminal, internet) = (main.terminal.is_some(), self.routed);
        let event = Event::Adopted { terminal, internet, disk: self.disk.is_some() };
        tell(&mut self.agent, &event, &fds);
    }

    /// Does what the agent asks for, until it has nothing more to say or is gone.
    fn serve(&mut self) {
        loop {
            let Some(agent) = &mut self.agent else { return };
            match agent.receiver.receive(&agent.socket) {
                Ok(Some((Request::Exec(exec), fds))) => self.exec(&exec, &fds),
                Ok(Some((Request::RouteEgress, _))) => {
                    let failure = self.route_egress().err();
                    self.tell(&Event::EgressRouted { failure }, &[]);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                _ => self.agent = None,
            }
        }
    }

    fn exec(&mut self, exec: &Exec, fds: &[OwnedFd]) {
        let mut fds = fds.iter();
        let streams = exec.streams.map(|set| if set { fds.next().map(AsFd::as_fd) } else { None });
        let spawned = user::resolve(&exec.process.user, self.namespace.as_ref())
            .and_then(|user| self.spawn(&exec.process, &user, streams));
        match spawned {
            Ok((running, terminal)) => {
                self.execs.insert(running.pid, exec.id);
                let mut fds = vec![running.pidfd.as_fd()];
                fds.extend(terminal.as_ref().map(AsFd::as_fd));
                self.tell(&Event::Executed { exec: exec.id, pid: running.pid }, &fds);
            }
            Err(failure) => self.tell(&Event::Failed { exec: exec.id, failure }, &[]),
        }
    }

    fn tell(&mut self, event: &Event, fds: &[BorrowedFd<'_>]) {
        tell(&mut self.agent, event, fds);
    }
}

/// What `poll` found.
#[derive(Debug, Default)]
struct Ready {
    children: bool,
    listener: bool,
    oom: bool,
    agent: bool,
}

/// Sends an event; an agent that is gone or does not read is let go of.
fn tell(agent: &mut Option<Agent>, event: &Event, fds: &[BorrowedFd<'_>]) {
    if let Some(connected) = agent
        && send(&connected.socket, event, fds).is_err()
    {
        *agent = None;
    }
}

fn send(socket: &OwnedFd, event: &Event, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = wire::encode(event)?;
    let mut sent = 0;
    while sent < bytes.len() {
        let fds = if sent == 0 { fds } else { &[] };
        match wire::send_part(socket.as_fd(), &bytes[sent..], fds) {
            Ok(n) => sent += n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                let timeout = Timespec::try_from(SEND_TIMEOUT).map_err(io::Error::other)?;
                let mut writable = [PollFd::new(socket, PollFlags::OUT)];
                if rustix::event::poll(&mut writable, Some(&timeout))? == 0 {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn readable(fd: &OwnedFd) -> PollFd<'_> {
    PollFd::new(fd, PollFlags::IN)
}

fn status_of(status: WaitStatus) -> Status {
    match status.terminating_signal() {
        Some(signal) => Status::Signal(signal),
        None => Status::Code(status.exit_status().unwrap_or(0)),
    }
}

/// Gives a pipe to the program's user, so that it can open /dev/stdout again.
fn own(fd: BorrowedFd<'_>, user: &User) {
    let pipe = |stat: rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo;
    if rustix::fs::fstat(fd).is_ok_and(pipe) {
        let (uid, gid) = user.on_host();
        let _ = rustix::fs::fchown(fd, Some(uid), Some(gid));
    }
}

/// What can be read without waiting.
fn drain(fd: &OwnedFd) -> Vec<u8> {
    let mut output = Vec::new();
    let mut buffer = [0; 16 * 1024];
    let now = Timespec::default();
    while output.len() < RECORD_OUTPUT_BYTES {
        let mut ready = [readable(fd)];
        if rustix::event::poll(&mut ready, Some(&now)) != Ok(1) {
            break;
        }
        match rustix::io::read(fd, &mut buffer) {
            Ok(n) if n > 0 => output.extend_from_slice(&buffer[..n]),
            _ => break,
        }
    }
    output
}
