//! Starting a program inside: who it is, what it may do, what it sees as its first three files.
//!
//! The order of the steps after the fork is a matter of security: privileges are given up from the
//! outermost to the innermost, and the seccomp filter, which would forbid most of them, is last.

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use berth_init::message::{Confinement, Failure, FailureKind, Process};
use rustix::fs::{Gid, OFlags, Uid};
use rustix::process::{Resource, Rlimit};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::failure::Step;
use crate::sys::{self, ChildStack, StringArray};
use crate::user::User;
use crate::{kernel, park, rootfs, stage};

/// Docker's default.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Highest capability the kernel may know; beyond its last one the call fails, harmlessly.
const CAPABILITIES: u32 = 64;

/// Standard input, output and error of a program.
pub(crate) enum Stdio<'a> {
    Files([BorrowedFd<'a>; 3]),
    /// The program's side of a terminal.
    Terminal(OwnedFd),
}

/// A program that was executed.
pub(crate) struct Running {
    /// Its pid inside.
    pub(crate) pid: u32,
    pub(crate) pidfd: OwnedFd,
}

/// Forks and executes; returns when the program runs or could not be made to. `new_proc`: it is the
/// first of a new PID namespace and gets a `/proc` of that.
pub(crate) fn spawn(
    process: &Process,
    confinement: &Confinement,
    user: &User,
    stdio: &Stdio<'_>,
    new_proc: bool,
    stack: &mut ChildStack,
) -> Result<Running, Failure> {
    let plan = Plan { new_proc, ..Plan::new(process, confinement, user, stdio)? };
    let (reports, report) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).step("make a pipe")?;
    let (pid, pidfd) = sys::spawn(stack, &|| plan.run(report.as_fd())).step("fork")?;
    // A change of ids in the child has touched this of the memory that was shared.
    park::hide_memory();
    drop(report);
    let mut bytes = Vec::new();
    std::fs::File::from(reports).read_to_end(&mut bytes).step("wait for the program")?;
    match Report::decode(&bytes) {
        None => Ok(Running { pid, pidfd }),
        Some((step, errno)) => Err(plan.failure(step, errno)),
    }
}

/// Opens a terminal of that size for `user`: `(ours, the program's)`.
pub(crate) fn terminal(
    (columns, rows): (u16, u16),
    user: &User,
) -> Result<(OwnedFd, OwnedFd), Failure> {
    let open = || {
        // The mount point itself, not the link in /dev that root inside could replace.
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW;
        let master = rootfs::open_inside("/dev/pts/ptmx", flags)?;
        rustix::pty::unlockpt(&master)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&slave, size)?;
        rustix::fs::fchown(&slave, Some(user.on_host().0), None)?;
        Ok::<_, rustix::io::Errno>((master, slave))
    };
    open().step("open a terminal")
}

/// Steps of the child that can fail, by the number it reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum ChildStep {
    Proc,
    Session,
    Stdio,
    Limits,
    Cwd,
    Namespace,
    Bounding,
    Ids,
    Capabilities,
    NoNewPrivileges,
    Descriptors,
    Seccomp,
    Exec,
}

impl ChildStep {
    const ALL: [(Self, &str); 13] = [
        (Self::Proc, "mount /proc for a program that is PID 1"),
        (Self::Session, "make a session"),
        (Self::Stdio, "set up stdin, stdout and stderr"),
        (Self::Limits, "set resource limits"),
        (Self::Cwd, ""),
        (Self::Namespace, "enter the user namespace"),
        (Self::Bounding, "give up capabilities for good"),
        (Self::Ids, "take the user's ids"),
        (Self::Capabilities, "give up capabilities"),
        (Self::NoNewPrivileges, "forbid new privileges"),
        (Self::Descriptors, "close descriptors"),
        (Self::Seccomp, "install the seccomp filter"),
        (Self::Exec, ""),
    ];
}

/// What the child says about the step that failed: its number, then the errno.
struct Report;

impl Report {
    fn encode(step: ChildStep, error: &io::Error) -> [u8; 5] {
        let [a, b, c, d] = error.raw_os_error().unwrap_or(0).to_ne_bytes();
        [step as u8, a, b, c, d]
    }

    fn decode(bytes: &[u8]) -> Option<(u8, i32)> {
        let (&step, errno) = bytes.split_first()?;
        Some((step, i32::from_ne_bytes(errno.try_into().ok()?)))
    }
}

/// Everything the child needs, allocated before the fork.
struct Plan<'a> {
    process: &'a Process,
    confinement: &'a Confinement,
    user: &'a User,
    stdio: &'a Stdio<'a>,
    new_proc: bool,
    cwd: OwnedFd,
    open_files: Rlimit,
    candidates: Vec<CString>,
    args: StringArray,
    env: StringArray,
}

impl<'a> Plan<'a> {
    fn new(
        process: &'a Process,
        confinement: &'a Confinement,
        user: &'a User,
        stdio: &'a Stdio<'a>,
    ) -> Result<Self, Failure> {
        let program = process.args.first().map_or("", String::as_str);
        let mut env = process.env.clone();
        for (name, value) in [("PATH", PATH), ("HOME", &user.home)] {
            default_variable(&mut env, name, value);
        }
        if process.terminal.is_some() {
            default_variable(&mut env, "TERM", "xterm");
        }
        let path = env.iter().find_map(|v| v.strip_prefix("PATH=")).unwrap_or(PATH);
        let failed = |kind, what: &str, errno| Failure { kind, what: what.to_owned(), errno };
        let no_nul =
            |e: std::ffi::NulError| failed(FailureKind::Exec, &e.to_string(), libc::EINVAL);
        let cwd = rootfs::open_inside(&process.cwd, OFlags::PATH | OFlags::DIRECTORY)
            .map_err(|e| failed(FailureKind::Cwd, &process.cwd, e.raw_os_error()))?;
        Ok(Self {
            process,
            confinement,
            user,
            stdio,
            new_proc: false,
            cwd,
            open_files: open_files(confinement.open_files),
            candidates: strings(&candidates(program, path)).map_err(no_nul)?,
            args: StringArray::new(strings(&process.args).map_err(no_nul)?),
            env: StringArray::new(strings(&env).map_err(no_nul)?),
        })
    }

    fn failure(&self, step: u8, errno: i32) -> Failure {
        let (step, what) = *ChildStep::ALL
            .get(usize::from(step))
            .unwrap_or(&ChildStep::ALL[ChildStep::Exec as usize]);
        let (kind, what) = match step {
            ChildStep::Exec => {
                (FailureKind::Exec, self.process.args.first().map_or("", String::as_str))
            }
            ChildStep::Cwd => (FailureKind::Cwd, self.process.cwd.as_str()),
            _ => (FailureKind::Setup, what),
        };
        Failure { kind, what: what.to_owned(), errno }
    }

    /// The child's way to its program; returns its exit code if it does not get there.
    fn run(&self, report: BorrowedFd<'_>) -> i32 {
        let (step, error) = match self.prepare(report) {
            Err(failed) => failed,
            Ok(()) => (ChildStep::Exec, self.execute()),
        };
        let _ = rustix::io::write(report, &Report::encode(step, &error));
        127
    }

    fn prepare(&self, report: BorrowedFd<'_>) -> Result<(), (ChildStep, io::Error)> {
        let at = |step: ChildStep| move |e: rustix::io::Errno| (step, io::Error::from(e));
        if self.new_proc {
            let failed = |f: Failure| (ChildStep::Proc, io::Error::from_raw_os_error(f.errno));
            stage::renew_proc().map_err(failed)?;
        }
        sys::default_signals().map_err(|e| (ChildStep::Session, e))?;
        rustix::process::setsid().map_err(at(ChildStep::Session))?;
        self.stdio().map_err(at(ChildStep::Stdio))?;
        rustix::process::setrlimit(Resource::Nofile, self.open_files)
            .map_err(at(ChildStep::Limits))?;
        // Our own protection must not be inherited.
        let _ = park::write_file("/proc/self/oom_score_adj", b"0");
        rustix::process::fchdir(&self.cwd).map_err(at(ChildStep::Cwd))?;
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        self.give_up_privileges()?;
        // Nothing but the standard files may reach the program (CVE-2024-21626); `report` is closed
        // by the execution.
        sys::close_all_but(report).map_err(|e| (ChildStep::Descriptors, e))?;
        if !self.confinement.seccomp.is_empty() {
            sys::set_seccomp(&self.confinement.seccomp).map_err(|e| (ChildStep::Seccomp, e))?;
        }
        Ok(())
    }

    fn stdio(&self) -> rustix::io::Result<()> {
        let [stdin, stdout, stderr] = match self.stdio {
            Stdio::Files(files) => *files,
            Stdio::Terminal(slave) => {
                rustix::process::ioctl_tiocsctty(slave)?;
                [slave.as_fd(); 3]
            }
        };
        rustix::stdio::dup2_stdin(stdin)?;
        rustix::stdio::dup2_stdout(stdout)?;
        rustix::stdio::dup2_stderr(stderr)
    }

    fn give_up_privileges(&self) -> Result<(), (ChildStep, io::Error)> {
        let at = |step: ChildStep| move |e: rustix::io::Errno| (step, io::Error::from(e));
        self.user.enter_namespace().map_err(at(ChildStep::Namespace))?;
        let kept = CapabilitySet::from_bits_retain(self.confinement.capabilities);
        for number in 0..CAPABILITIES {
            let capability = CapabilitySet::from_bits_retain(1 << number);
            if kept.contains(capability) {
                continue;
            }
            match rustix::thread::remove_capability_from_bounding_set(capability) {
                // Beyond the last capability of this kernel.
                Err(rustix::io::Errno::INVAL) => break,
                result => result.map_err(at(ChildStep::Bounding))?,
            }
        }
        let groups: Vec<Gid> = self.user.groups.iter().map(|&id| Gid::from_raw(id)).collect();
        let (uid, gid) = (Uid::from_raw(self.user.uid), Gid::from_raw(self.user.gid));
        match rustix::thread::set_thread_groups(&groups) {
            // An ordinary user with one id of its own may not change groups, and has that one anyway.
            Err(rustix::io::Errno::PERM) if groups == [gid] => {}
            result => result.map_err(at(ChildStep::Ids))?,
        }
        rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(at(ChildStep::Ids))?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(at(ChildStep::Ids))?;
        let kept = if uid.is_root() { kept } else { CapabilitySet::empty() };
        let sets = CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        };
        let caps = ChildStep::Capabilities;
        rustix::thread::set_capabilities(None, sets).map_err(at(caps))?;
        rustix::thread::clear_ambient_capability_set().map_err(at(caps))?;
        rustix::thread::set_no_new_privs(true).map_err(at(ChildStep::NoNewPrivileges))
    }

    /// Tries each place of `PATH`, as execvp does, but never a shell for a file without a format.
    fn execute(&self) -> io::Error {
        let mut worst = io::Error::from_raw_os_error(libc::ENOENT);
        for path in &self.candidates {
            let error = sys::execve(path, &self.args, &self.env);
            match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) => {}
                Some(libc::EACCES) => worst = error,
                _ => return error,
            }
        }
        worst
    }
}

fn strings(texts: &[String]) -> Result<Vec<CString>, std::ffi::NulError> {
    texts.iter().map(|text| CString::new(text.as_bytes())).collect()
}

fn default_variable(env: &mut Vec<String>, name: &str, value: &str) {
    let set = |v: &String| v.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
    if !env.iter().any(set) {
        env.push(format!("{name}={value}"));
    }
}

/// The files that may be meant by `program`.
fn candidates(program: &str, path: &str) -> Vec<String> {
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    if program.is_empty() {
        return Vec::new();
    }
    let directory = |d: &str| if d.is_empty() { ".".to_owned() } else { d.to_owned() };
    path.split(':').map(|d| format!("{}/{program}", directory(d))).collect()
}

/// As many open files as wanted, or as the kernel or our own hard limit allow.
fn open_files(wanted: u64) -> Rlimit {
    let ceiling = std::fs::File::open("/proc/sys/fs/nr_open")
        .and_then(|file| io::read_to_string(file.take(32)))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(wanted);
    let wanted = wanted.min(ceiling);
    let ours = rustix::process::getrlimit(Resource::Nofile);
    // Root of a user namespace has the capability, but not over the machine.
    let may_raise = !kernel::in_a_user_namespace()
        && rustix::thread::capabilities(None)
            .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_RESOURCE));
    let limit = match ours.maximum {
        Some(hard) if hard < wanted && !may_raise => hard,
        _ => wanted,
    };
    Rlimit { current: Some(limit), maximum: Some(limit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_slash_is_looked_up_in_path() {
        assert_eq!(candidates("sh", "/a::/b"), ["/a/sh", "./sh", "/b/sh"]);
        assert_eq!(candidates("./sh", "/a"), ["./sh"]);
        assert!(candidates("", "/a").is_empty());
    }

    #[test]
    fn a_variable_is_set_only_if_absent() {
        let mut env = vec!["HOMER=x".to_owned(), "PATH=".to_owned()];
        default_variable(&mut env, "HOME", "/root");
        default_variable(&mut env, "PATH", "/bin");
        assert_eq!(env, ["HOMER=x", "PATH=", "HOME=/root"]);
    }

    #[test]
    fn every_step_stands_at_its_number() {
        for (i, (step, _)) in ChildStep::ALL.iter().enumerate() {
            assert_eq!(*step as usize, i);
        }
        let error = io::Error::from_raw_os_error(13);
        assert_eq!(Report::decode(&Report::encode(ChildStep::Cwd, &error)), Some((4, 13)));
        assert_eq!(Report::decode(b""), None);
    }
}
