//! What std does not have: a handful of C functions and the raw system call.

use std::ffi::{CString, c_char, c_int, c_long, c_ulong, c_void};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

unsafe extern "C" {
    pub fn syscall(number: c_long, ...) -> c_long;
    fn unshare(flags: c_int) -> c_int;
    fn setns(fd: c_int, kind: c_int) -> c_int;
    fn mount(a: *const c_char, b: *const c_char, c: *const c_char, d: c_ulong, e: *const c_void) -> c_int;
    fn umount2(target: *const c_char, flags: c_int) -> c_int;
    fn mknod(path: *const c_char, mode: u32, device: u64) -> c_int;
    fn chroot(path: *const c_char) -> c_int;
    fn fchdir(fd: c_int) -> c_int;
    fn socket(family: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, len: u32) -> c_int;
    fn bind(fd: c_int, address: *const c_void, len: u32) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    pub fn ptrace(request: c_long, pid: c_int, address: usize, data: usize) -> c_long;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn process_vm_readv(pid: c_int, a: *const [usize; 2], an: c_ulong, b: *const [usize; 2], bn: c_ulong, flags: c_ulong) -> isize;
    fn geteuid() -> u32;
    fn getuid() -> u32;
    fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
    fn fork() -> c_int;
    fn mmap(at: *mut c_void, len: usize, prot: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void;
}

pub fn check(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn done(result: c_int) -> io::Result<()> {
    check(result.into()).map(drop)
}

pub fn owned(result: c_long) -> io::Result<OwnedFd> {
    check(result).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as c_int) })
}

fn text(text: &str) -> CString {
    CString::new(text).expect("no NUL")
}

/// Mount, network, IPC and UTS namespaces of our own, mounts cut off the host's.
pub fn leave_the_hosts_namespaces() -> io::Result<()> {
    const NEWNS: c_int = 0x20000;
    const NEW: c_int = NEWNS | 0x4000_0000 | 0x0800_0000 | 0x0400_0000;
    const PRIVATE_REC: c_ulong = (1 << 18) | 0x4000;
    done(unsafe { unshare(NEW) })?;
    mount_at("none", "/", "none", PRIVATE_REC, "")
}

pub fn new_namespaces(flags: c_int) -> io::Result<()> {
    done(unsafe { unshare(flags) })
}

pub fn enter_namespace(fd: c_int) -> io::Result<()> {
    done(unsafe { setns(fd, 0) })
}

pub fn mount_at(source: &str, target: &str, kind: &str, flags: c_ulong, data: &str) -> io::Result<()> {
    let (source, target, kind, data) = (text(source), text(target), text(kind), text(data));
    done(unsafe {
        mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast())
    })
}

pub fn unmount(target: &str) -> io::Result<()> {
    const DETACH: c_int = 2;
    done(unsafe { umount2(text(target).as_ptr(), DETACH) })
}

pub fn make_device(path: &str, kind: &str, major: u64, minor: u64) -> io::Result<()> {
    let mode = if kind == "b" { 0o060666 } else { 0o020666 };
    let device = ((major & 0xfff) << 8) | (minor & 0xff) | ((minor & !0xff) << 12);
    done(unsafe { mknod(text(path).as_ptr(), mode, device) })
}

pub fn change_root(path: &str) -> io::Result<()> {
    done(unsafe { chroot(text(path).as_ptr()) })
}

pub fn enter_directory(fd: c_int) -> io::Result<()> {
    done(unsafe { fchdir(fd) })
}

pub fn open_socket(family: c_int, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    owned(unsafe { socket(family, kind, protocol) }.into())
}

pub fn set_option(fd: c_int, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    done(unsafe { setsockopt(fd, level, name, (&raw const value).cast(), 4) })
}

pub fn bind_to(fd: c_int, address: &[u8]) -> io::Result<()> {
    done(unsafe { bind(fd, address.as_ptr().cast(), address.len() as u32) })
}

pub fn send_signal(pid: c_int, signal: c_int) -> io::Result<()> {
    done(unsafe { kill(pid, signal) })
}

pub fn trace(request: c_long, pid: c_int) -> io::Result<()> {
    check(unsafe { ptrace(request, pid, 0, 0) }).map(drop)
}

pub fn wait_for(pid: c_int) {
    let mut status = 0;
    unsafe { waitpid(pid, &raw mut status, 0x4000_0000) };
}

/// Reads one byte at `address` of another process.
pub fn read_memory(pid: c_int, address: usize) -> io::Result<()> {
    let mut byte = 0u8;
    let (mine, theirs) = ([(&raw mut byte) as usize, 1], [address, 1]);
    check(unsafe { process_vm_readv(pid, &raw const mine, 1, &raw const theirs, 1, 0) } as c_long).map(drop)
}

pub fn ids() -> (u32, u32) {
    unsafe { (getuid(), geteuid()) }
}

pub fn control(fd: c_int, request: c_ulong, argument: &mut [u8]) -> io::Result<()> {
    done(unsafe { ioctl(fd, request, argument.as_mut_ptr()) })
}

/// A child that sleeps; none of this program's other threads may hold a lock.
pub fn sleeping_child() -> io::Result<c_int> {
    match unsafe { fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => loop {
            std::thread::sleep(std::time::Duration::from_secs(3600));
        },
        pid => Ok(pid),
    }
}

/// Anonymous memory that is never freed; each page costs only page tables until it is touched.
pub fn map(len: usize, shared: bool) -> io::Result<*mut u8> {
    let flags = if shared { 0x21 } else { 0x4022 };
    let at = unsafe { mmap(std::ptr::null_mut(), len, 3, flags, -1, 0) };
    if at as isize == -1 { Err(io::Error::last_os_error()) } else { Ok(at.cast()) }
}
