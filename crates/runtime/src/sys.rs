//! System calls that have no safe wrapper. The only `unsafe` of this crate.
#![expect(unsafe_code, reason = "some system calls and tokio's descriptors have no safe wrapper")]

use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd};

use libc::{c_int, c_void};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Lets tokio watch a descriptor. Must be called inside a tokio runtime.
pub(crate) fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is an open descriptor, always the same one, until it is dropped, and the
    // `AsyncFd` owns it.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(io::Error::from)
}

/// Lets a socket accept what is addressed to any address (TPROXY needs it). CAP_NET_ADMIN.
pub(crate) fn set_transparent(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_IP, libc::IP_TRANSPARENT, 1)
}

/// Lets a datagram socket say where each datagram was sent to.
pub(crate) fn set_receive_destination(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_IP, libc::IP_RECVORIGDSTADDR, 1)
}

/// Marks every packet of a socket. CAP_NET_ADMIN.
pub(crate) fn set_mark(socket: BorrowedFd<'_>, mark: u32) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_MARK, mark.cast_signed())
}

fn set_option(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let len = socklen(size_of::<c_int>());
    // SAFETY: the pointer is to a c_int of this frame, and `len` is its size.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), len)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends signal `number` (real-time ones included) to a process.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, number: c_int) -> io::Result<()> {
    let (fd, none) = (pidfd.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
    // SAFETY: without siginfo no memory is involved; the descriptor is borrowed for the call.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, number, none, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Locks byte `offset` of an open file for its description, whoever holds it; false if another has it.
pub(crate) fn lock_byte(file: BorrowedFd<'_>, offset: u32) -> io::Result<bool> {
    // SAFETY: all fields are plain integers, for which zero is valid.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as _;
    lock.l_whence = libc::SEEK_SET as _;
    lock.l_start = offset.into();
    lock.l_len = 1;
    // SAFETY: the pointer is to this frame, and the descriptor is borrowed for the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    match result {
        -1 => match io::Error::last_os_error() {
            e if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
            e if e.kind() == io::ErrorKind::PermissionDenied => Ok(false),
            e => Err(e),
        },
        _ => Ok(true),
    }
}

/// Keeps what is mounted elsewhere from appearing on a detached mount, and the reverse.
pub(crate) fn make_private(tree: BorrowedFd<'_>) -> io::Result<()> {
    /// `struct mount_attr` of linux/mount.h.
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        userns_fd: u64,
    }
    let attr = MountAttr { set: 0, clear: 0, propagation: libc::MS_PRIVATE, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    let (tree, path, size) = (tree.as_raw_fd(), c"".as_ptr(), size_of_val(&attr));
    // SAFETY: both pointers are to live memory, and `size` is that of `attr`.
    let result =
        unsafe { libc::syscall(libc::SYS_mount_setattr, tree, path, flags, &raw const attr, size) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The number of a loop device that nothing uses; another process may be faster.
pub(crate) fn free_loop_device(control: BorrowedFd<'_>) -> io::Result<u32> {
    const LOOP_CTL_GET_FREE: u32 = 0x4c82;
    // SAFETY: this request takes no argument.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
    u32::try_from(number).map_err(|_| io::Error::last_os_error())
}

/// Puts a file behind a loop device, which lets go of it with its own last user.
pub(crate) fn configure_loop_device(
    device: BorrowedFd<'_>,
    backing: BorrowedFd<'_>,
) -> io::Result<()> {
    /// `struct loop_config` of linux/loop.h, its `struct loop_info64` spread out.
    #[repr(C)]
    struct LoopConfig {
        fd: u32,
        block_size: u32,
        info_before: [u64; 5],
        number_and_encryption: [u32; 3],
        flags: u32,
        names_and_key: [u8; 160],
        init: [u64; 2],
        reserved: [u64; 8],
    }
    const LOOP_CONFIGURE: u32 = 0x4c0a;
    const AUTOCLEAR: u32 = 4;
    // SAFETY: all fields are plain integers, for which zero is "not given".
    let mut config: LoopConfig = unsafe { std::mem::zeroed() };
    config.fd = backing.as_raw_fd().cast_unsigned();
    config.block_size = 4096;
    config.flags = AUTOCLEAR;
    // SAFETY: the pointer is to a structure of this frame of the size that the request reads.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &raw const config) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether project quotas are counted and kept on a file system: `Q_XGETQSTATV` of `quotactl_fd(2)`.
pub(crate) fn keeps_project_quotas(file_system: BorrowedFd<'_>) -> io::Result<bool> {
    /// `struct fs_quota_statv` of linux/dqblk_xfs.h: its head, and what is not looked at.
    #[repr(C)]
    struct State {
        version: i8,
        pad: u8,
        flags: u16,
        rest: [u32; 41],
    }
    const Q_XGETQSTATV: c_int = 0x5808;
    const VERSION: i8 = 1;
    const COUNTED: u16 = 1 << 4;
    const KEPT: u16 = 1 << 5;
    let mut state = State { version: VERSION, pad: 0, flags: 0, rest: [0; 41] };
    // SAFETY: the structure is of this frame and of the size that the command writes.
    unsafe { quotactl(file_system, Q_XGETQSTATV, 0, (&raw mut state).cast())? };
    Ok(state.flags & (COUNTED | KEPT) == COUNTED | KEPT)
}

/// Limits what a project may have, in KiB and files; 0 is no limit. CAP_SYS_ADMIN.
pub(crate) fn limit_project(
    file_system: BorrowedFd<'_>,
    project: u32,
    kib: u64,
    files: u64,
) -> io::Result<()> {
    // SAFETY: all fields are plain integers, for which zero is valid.
    let mut limits: libc::dqblk = unsafe { std::mem::zeroed() };
    limits.dqb_bhardlimit = kib;
    limits.dqb_ihardlimit = files;
    limits.dqb_valid = libc::QIF_LIMITS;
    // SAFETY: the structure is of this frame and the one that the command reads.
    unsafe { quotactl(file_system, libc::Q_SETQUOTA, project, (&raw mut limits).cast()) }
}

/// How many files a project has. CAP_SYS_ADMIN.
pub(crate) fn files_of_project(file_system: BorrowedFd<'_>, project: u32) -> io::Result<u64> {
    // SAFETY: all fields are plain integers, for which zero is valid.
    let mut usage: libc::dqblk = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is of this frame and the one that the command writes.
    match unsafe { quotactl(file_system, libc::Q_GETQUOTA, project, (&raw mut usage).cast()) } {
        // There never was one.
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(0),
        result => result.map(|()| usage.dqb_curinodes),
    }
}

/// # Safety
/// `argument` points to what the command reads or writes.
unsafe fn quotactl(
    file_system: BorrowedFd<'_>,
    command: c_int,
    id: u32,
    argument: *mut c_void,
) -> io::Result<()> {
    const PROJECT_QUOTA: c_int = 2;
    let (fd, command) = (file_system.as_raw_fd(), libc::QCMD(command, PROJECT_QUOTA));
    // SAFETY: the caller's promise; the descriptor is borrowed for the call.
    let result = unsafe { libc::syscall(libc::SYS_quotactl_fd, fd, command, id, argument) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `struct fsxattr` of linux/fs.h.
#[repr(C)]
struct FileAttributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    pad: [u8; 8],
}

/// The project of a file.
pub(crate) fn project(file: BorrowedFd<'_>) -> io::Result<u32> {
    file_attributes(file).map(|attributes| attributes.project)
}

/// Puts a directory into a project, and all that will be made in it.
pub(crate) fn set_project(dir: BorrowedFd<'_>, project: u32) -> io::Result<()> {
    /// `_IOW('X', 32, struct fsxattr)`
    const FS_IOC_FSSETXATTR: u32 = 0x401c_5820;
    const INHERIT: u32 = 0x200;
    let mut attributes = file_attributes(dir)?;
    attributes.project = project;
    attributes.flags |= INHERIT;
    // SAFETY: the pointer is to a structure of this frame of the size that the request reads.
    let result =
        unsafe { libc::ioctl(dir.as_raw_fd(), FS_IOC_FSSETXATTR as _, &raw const attributes) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn file_attributes(file: BorrowedFd<'_>) -> io::Result<FileAttributes> {
    /// `_IOR('X', 31, struct fsxattr)`
    const FS_IOC_FSGETXATTR: u32 = 0x801c_581f;
    // SAFETY: all fields are plain integers, for which zero is valid.
    let mut attributes: FileAttributes = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a structure of this frame of the size that the request writes.
    let result =
        unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_FSGETXATTR as _, &raw mut attributes) };
    if result == 0 { Ok(attributes) } else { Err(io::Error::last_os_error()) }
}

/// Moves this process, which must have one thread, into a user namespace without ids yet and a mount
/// namespace.
pub(crate) fn unshare_user_and_mounts() -> io::Result<()> {
    // SAFETY: no memory is involved; descriptors and file system attributes stay shared as they were.
    let result = unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Moves this process, which must have one thread, into a new mount namespace.
pub(crate) fn unshare_mounts() -> io::Result<()> {
    // SAFETY: no memory is involved; descriptors and file system attributes stay shared as they were.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The user namespace that a user namespace was made in (`ioctl_ns(2)`).
pub(crate) fn parent_user_namespace(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    /// `_IO(0xb7, 2)`
    const NS_GET_PARENT: u32 = 0xb702;
    // SAFETY: the call takes no argument, and gives a new descriptor that nobody else has.
    unsafe {
        let fd = libc::ioctl(namespace.as_raw_fd(), NS_GET_PARENT as _);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Receives a datagram: its length, its source, and where it was sent to.
pub(crate) fn receive_with_destination(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, SocketAddrV4, SocketAddrV4)> {
    // Aligned as control messages must be; 64 bytes are more than the one message we ask for.
    let mut control = [0_u64; 8];
    let mut source = MaybeUninit::<libc::sockaddr_in>::zeroed();
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: zero is a valid value for every field.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = source.as_mut_ptr().cast();
    message.msg_namelen = socklen(size_of::<libc::sockaddr_in>());
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: every pointer in `message` is to live memory of the length beside it.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: zeroed above, and any bytes the kernel wrote are a valid sockaddr_in.
    let source = unsafe { source.assume_init() };
    let destination = destination_of(&message)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no destination"))?;
    Ok((len, address(&source), address(&destination)))
}

/// Makes the calling thread's new files those of `uid` and `gid`. The kernel never says whether it
/// did; it refuses only whom it does not let.
pub(crate) fn set_file_owner(uid: u32, gid: u32) {
    // SAFETY: two system calls that take a number each and change this thread's credentials alone.
    unsafe {
        libc::syscall(libc::SYS_setfsgid, gid);
        libc::syscall(libc::SYS_setfsuid, uid);
    }
}

fn destination_of(message: &libc::msghdr) -> Option<libc::sockaddr_in> {
    // SAFETY: `message` was filled by recvmsg, so its control buffer is a chain of control messages
    // within msg_controllen; the macros stay within it. The data of the one we look for is a
    // sockaddr_in, read unaligned.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(h) = header.as_ref() {
            if h.cmsg_level == libc::SOL_IP && h.cmsg_type == libc::IP_ORIGDSTADDR {
                let data: *const c_void = libc::CMSG_DATA(header).cast();
                return Some(data.cast::<libc::sockaddr_in>().read_unaligned());
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    None
}

fn address(address: &libc::sockaddr_in) -> SocketAddrV4 {
    let ip = Ipv4Addr::from_bits(u32::from_be(address.sin_addr.s_addr));
    SocketAddrV4::new(ip, u16::from_be(address.sin_port))
}

fn socklen(len: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(len).expect("a small struct")
}
