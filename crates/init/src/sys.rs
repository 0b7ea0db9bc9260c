//! System calls that have no safe wrapper. The only `unsafe` of this crate.
//!
//! This process has one thread, from its start to its end: several proofs below rest on it.
#![expect(unsafe_code, reason = "clone3, signals, seccomp and execve have no safe wrapper")]

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Namespaces every sandbox gets. Its cgroup namespace follows once it is in its cgroups.
pub(crate) const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET) as u64;

/// What only programs are in.
pub(crate) const USER_NAMESPACE: u64 = libc::CLONE_NEWUSER as u64;

/// libc's constant is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of a fork this is.
pub(crate) enum Fork {
    Child,
    Parent { pid: u32, pidfd: OwnedFd },
}

/// Forks by clone3, with `namespaces` and born into the cgroup v2 directory `cgroup`.
pub(crate) fn fork(namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Fork> {
    let mut pidfd: RawFd = -1;
    // SAFETY: all fields are plain integers, for which zero is "not given".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = namespaces | libc::CLONE_PIDFD as u64;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    let size = size_of_val(&args);
    // SAFETY: `args` is valid for `size` bytes and `pidfd` outlives the call. Without CLONE_VM the
    // child has a copy of all memory, and with one thread no lock can be held by another.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => {
            // SAFETY: the kernel made this descriptor for us just now (CLONE_PIDFD, close-on-exec).
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Fork::Parent { pid: u32::try_from(pid).expect("a pid is positive"), pidfd })
        }
    }
}

/// Memory for the stack of one child at a time, with a page below that nobody can touch.
#[derive(Debug)]
pub(crate) struct ChildStack {
    bottom: *mut c_void,
}

/// Enough for what a child does before it executes; touched pages alone cost memory.
const STACK_BYTES: usize = 256 * 1024;
/// One page, or more where pages are small.
const GUARD_BYTES: usize = 64 * 1024;

impl ChildStack {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let bottom = unsafe {
            libc::mmap(
                ptr::null_mut(),
                STACK_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            )
        };
        if bottom == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self { bottom };
        // SAFETY: the beginning of the mapping just made, which nobody uses yet.
        check(unsafe { libc::mprotect(bottom, GUARD_BYTES, libc::PROT_NONE) }.into())?;
        Ok(stack)
    }
}

impl Drop for ChildStack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours alone, and no child runs on it: see `spawn`.
        unsafe { libc::munmap(self.bottom, STACK_BYTES) };
    }
}

/// Runs `run` in a child that shares this process's memory while this process waits, until the child
/// has executed a program or ended: neither copies any memory. Its pid and pidfd.
///
/// The child ends with the code that `run` returns. It has descriptors, signal handlers, credentials and a working directory of its own. It must
/// not change what this process relies on in memory.
pub(crate) fn spawn<F: Fn() -> c_int>(
    stack: &mut ChildStack,
    run: &F,
) -> io::Result<(u32, OwnedFd)> {
    extern "C" fn enter<F: Fn() -> c_int>(run: *mut c_void) -> c_int {
        // SAFETY: the pointer is to the `run` of `spawn`, which waits as long as this runs.
        let run = unsafe { &*run.cast::<F>() };
        run()
    }
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    let mut pidfd: RawFd = -1;
    // SAFETY: the mapping is `STACK_BYTES` long, so this is its end, from which stacks grow down; it
    // is aligned as its page is, and borrowed for the call, during which alone the child uses it.
    let top = unsafe { stack.bottom.byte_add(STACK_BYTES) };
    let argument = ptr::from_ref(run).cast_mut().cast();
    // SAFETY: `enter::<F>` gets the pointer to an F that it expects. By CLONE_VFORK this process, which
    // has one thread, stands still until the child no longer uses its memory, so nothing is used by
    // both at once; `pidfd` outlives the call.
    let pid = unsafe { libc::clone(enter::<F>, top, flags, argument, &raw mut pidfd) };
    if pid == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel made this descriptor for us just now (CLONE_PIDFD, close-on-exec).
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok((u32::try_from(pid).expect("a pid is positive"), pidfd))
}

/// Makes a cgroup namespace whose root is the cgroups this process is in now.
pub(crate) fn unshare_cgroup() -> io::Result<()> {
    // SAFETY: no memory is involved, and no descriptor table is unshared.
    check(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) }.into())?;
    Ok(())
}

/// Sets the user and group that own this process's new files.
pub(crate) fn set_file_ids(id: u32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    let now = unsafe {
        libc::setfsgid(id);
        libc::setfsuid(id);
        // They say nothing of a failure but the former id, and change nothing when given none.
        (libc::setfsgid(u32::MAX), libc::setfsuid(u32::MAX))
    };
    let wanted = id.cast_signed();
    if now == (wanted, wanted) { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Makes a detached mount show its file system's ids as those of a user namespace.
pub(crate) fn map_ids(
    tree: BorrowedFd<'_>,
    namespace: BorrowedFd<'_>,
    recursive: bool,
) -> io::Result<()> {
    /// `struct mount_attr` and the flag of linux/mount.h.
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        userns_fd: u64,
    }
    const IDMAP: u64 = 0x10_0000;
    let attr = MountAttr {
        set: IDMAP,
        clear: 0,
        propagation: 0,
        userns_fd: u64::from(namespace.as_raw_fd().cast_unsigned()),
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let (tree, size) = (tree.as_raw_fd(), size_of_val(&attr));
    // SAFETY: both pointers are to this frame, and `size` is that of `attr`.
    check(unsafe {
        libc::syscall(libc::SYS_mount_setattr, tree, c"".as_ptr(), flags, &raw const attr, size)
    })?;
    Ok(())
}

/// Makes a PID namespace for all children from now on; the first of them is its PID 1.
pub(crate) fn unshare_children_pids() -> io::Result<()> {
    // SAFETY: no memory is involved, and no descriptor table is unshared.
    check(unsafe { libc::unshare(libc::CLONE_NEWPID) }.into())?;
    Ok(())
}

/// Lets the kernel reap children by itself.
pub(crate) fn ignore_children() {
    // SAFETY: SIG_IGN installs no code of ours.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}

/// A descriptor that becomes readable when a child ends.
pub(crate) fn child_signal() -> io::Result<OwnedFd> {
    // SAFETY: a zeroed sigset_t is a valid argument for sigemptyset, which initialises it; all
    // pointers are to this frame; SIG_DFL installs no code of ours.
    let fd = unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        check(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()).into())?;
        check(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK).into())?
    };
    // SAFETY: signalfd made this descriptor for us just now.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Gives every signal its default again, as a program expects at its start.
pub(crate) fn default_signals() -> io::Result<()> {
    // The kernel's `struct sigaction`, and more, all zero: SIG_DFL, no flags, an empty mask. Not libc's
    // call, which keeps 32 and 33 for itself.
    let default = [0_u64; 8];
    for signal in 1..=64 {
        // SAFETY: the pointer is to more memory than the kernel reads, SIG_DFL installs no code of
        // ours, and an error (SIGKILL, SIGSTOP) changes nothing.
        unsafe {
            let none = ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), none, 8);
        }
    }
    // SAFETY: as in `child_signal`.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        check(libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()).into())?;
    }
    Ok(())
}

/// SIGKILL to every other process of this PID namespace.
pub(crate) fn kill_all() {
    // SAFETY: no memory is involved. As PID 1 of a namespace, -1 reaches only what is inside it.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// Closes all descriptors after the standard ones, except `kept`.
pub(crate) fn close_all_but(kept: BorrowedFd<'_>) -> io::Result<()> {
    let kept = kept.as_raw_fd().cast_unsigned();
    for (first, last) in [(3, kept.wrapping_sub(1)), (kept + 1, u32::MAX)] {
        if first <= last {
            // SAFETY: no memory is involved. The caller executes a program next and uses none of its
            // owned descriptors again.
            check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
        }
    }
    Ok(())
}

/// Installs a seccomp filter given as 8 bytes for each instruction. Needs no_new_privs.
pub(crate) fn set_seccomp(program: &[u8]) -> io::Result<()> {
    let mut filter: Vec<libc::sock_filter> = program
        .chunks_exact(8)
        .map(|i| libc::sock_filter {
            code: u16::from_ne_bytes([i[0], i[1]]),
            jt: i[2],
            jf: i[3],
            k: u32::from_ne_bytes([i[4], i[5], i[6], i[7]]),
        })
        .collect();
    let len = u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len, filter: filter.as_mut_ptr() };
    // SAFETY: `program` points to `len` instructions that live until after the call.
    check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    })?;
    Ok(())
}

/// Strings as `execve` wants them.
pub(crate) struct StringArray {
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl StringArray {
    pub(crate) fn new(strings: Vec<CString>) -> Self {
        // The pointers are to the strings' heap memory, which does not move with the vector.
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect();
        Self { _strings: strings, pointers }
    }
}

/// Executes a program; returns only when that fails.
pub(crate) fn execve(path: &CStr, args: &StringArray, env: &StringArray) -> io::Error {
    // SAFETY: both arrays end with a null pointer and all their strings live as long as they do.
    unsafe { libc::execve(path.as_ptr(), args.pointers.as_ptr(), env.pointers.as_ptr()) };
    io::Error::last_os_error()
}

/// Ends this process at once, without running destructors: for a fork that failed to execute.
pub(crate) fn exit(code: c_int) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

fn check(result: c_long) -> io::Result<c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
