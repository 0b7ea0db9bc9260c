//! Taking as much as can be had. Each kind ends at the size it is told, so that a guard that fails
//! costs the host no more than that.

use std::ffi::c_long;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;

use crate::sys;

const MIB: usize = 1024 * 1024;

#[cfg(target_arch = "x86_64")]
mod call {
    pub const MEMFD_CREATE: i64 = 319;
    pub const SHMGET: i64 = 29;
    pub const SHMAT: i64 = 30;
    pub const MSGGET: i64 = 68;
    pub const MSGSND: i64 = 69;
    pub const EPOLL_CREATE1: i64 = 291;
    pub const TIMER_CREATE: i64 = 222;
    pub const RT_SIGQUEUEINFO: i64 = 129;
    pub const RT_SIGPROCMASK: i64 = 14;
    pub const EVENTFD2: i64 = 290;
    pub const FCNTL: i64 = 72;
}
#[cfg(target_arch = "aarch64")]
mod call {
    pub const MEMFD_CREATE: i64 = 279;
    pub const SHMGET: i64 = 194;
    pub const SHMAT: i64 = 196;
    pub const MSGGET: i64 = 186;
    pub const MSGSND: i64 = 189;
    pub const EPOLL_CREATE1: i64 = 20;
    pub const TIMER_CREATE: i64 = 107;
    pub const RT_SIGQUEUEINFO: i64 = 138;
    pub const RT_SIGPROCMASK: i64 = 135;
    pub const EVENTFD2: i64 = 19;
    pub const FCNTL: i64 = 25;
}

/// Holds `mib` MiB of kernel or user memory of one kind, or says why it could not.
pub fn hold(kind: &str, mib: usize) {
    let bytes = mib * MIB;
    let result = match kind {
        "heap" => heap(bytes),
        "shared" => sys::map(bytes, true).map(|at| touch(at, bytes)),
        "page-tables" => page_tables(bytes),
        "memfd" => memfd(bytes),
        "dev-shm" => write(&mut File::create("/dev/shm/bomb").expect("make a file"), bytes),
        "pipes" => pipes(bytes),
        "unix-sockets" => unix_sockets(bytes),
        "tcp-sockets" => tcp_sockets(bytes),
        "udp-sockets" => udp_sockets(bytes),
        "sysv-segments" => segments(bytes),
        "sysv-messages" => messages(bytes),
        // A structure of each kind is at least that large.
        "open-files" => many(bytes / 256, || File::open("/dev/null").map(Into::into)),
        "epolls" => many(bytes / 256, || sys::owned(unsafe { sys::syscall(call::EPOLL_CREATE1, 0) })),
        "eventfds" => many(bytes / 256, || sys::owned(unsafe { sys::syscall(call::EVENTFD2, 0, 0) })),
        "timers" => timers(bytes / 256),
        "signals" => signals(bytes / 128),
        "directories" => directories(bytes / 512),
        "processes" => (0..bytes / (16 * 1024)).try_for_each(|_| sys::sleeping_child().map(drop)),
        _ => panic!("unknown kind {kind}"),
    };
    match result {
        Ok(()) => println!("held {mib}"),
        Err(e) => println!("errno {}", e.raw_os_error().unwrap_or(0)),
    }
}

fn touch(at: *mut u8, bytes: usize) {
    (0..bytes).step_by(4096).for_each(|i| unsafe { at.add(i).write_volatile(1) });
}

fn heap(bytes: usize) -> io::Result<()> {
    for _ in 0..bytes / MIB {
        touch(sys::map(MIB, false)?, MIB);
    }
    Ok(())
}

/// One page touched in each 2 MiB: two pages of kernel and user memory for every 4 KiB asked for.
fn page_tables(bytes: usize) -> io::Result<()> {
    for _ in 0..bytes / 8192 {
        touch(sys::map(2 * MIB, false)?, 1);
    }
    Ok(())
}

fn write(file: &mut File, bytes: usize) -> io::Result<()> {
    let block = vec![1; MIB];
    (0..bytes / MIB).try_for_each(|_| file.write_all(&block))
}

fn memfd(bytes: usize) -> io::Result<()> {
    let fd = sys::owned(unsafe { sys::syscall(call::MEMFD_CREATE, c"bomb".as_ptr(), 0) })?;
    write(&mut File::from(fd), bytes)
}

/// Writes until the descriptor takes no more; returns how much it took.
fn stuff(fd: &OwnedFd) -> io::Result<usize> {
    const SET_FLAGS: c_long = 4;
    const NONBLOCK: c_long = 0o4000;
    sys::check(unsafe { sys::syscall(call::FCNTL, fd.as_raw_fd(), SET_FLAGS, NONBLOCK) })?;
    let mut file = File::from(fd.try_clone()?);
    let (block, mut taken) = (vec![1; 64 * 1024], 0);
    loop {
        match file.write(&block) {
            Ok(n) => taken += n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(taken),
            Err(e) => return Err(e),
        }
    }
}

/// Stuffs one after the other until that much is held in them.
fn stuffed(bytes: usize, mut make: impl FnMut() -> io::Result<(OwnedFd, OwnedFd)>) -> io::Result<()> {
    let mut held = 0;
    while held < bytes {
        let (reader, writer) = make()?;
        held += stuff(&writer)?;
        std::mem::forget((reader, writer));
    }
    Ok(())
}

fn pipes(bytes: usize) -> io::Result<()> {
    stuffed(bytes, || io::pipe().map(|(reader, writer)| (reader.into(), writer.into())))
}

fn unix_sockets(bytes: usize) -> io::Result<()> {
    stuffed(bytes, || UnixStream::pair().map(|(a, b)| (a.into(), b.into())))
}

fn tcp_sockets(bytes: usize) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    stuffed(bytes, || {
        let writer = TcpStream::connect(address)?;
        let (reader, _) = listener.accept()?;
        Ok((reader.into(), writer.into()))
    })
}

/// Datagrams of 1 KiB that nobody receives: each takes more than twice that.
fn udp_sockets(bytes: usize) -> io::Result<()> {
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    let mut held = 0;
    while held < bytes {
        let receiver = UdpSocket::bind("127.0.0.1:0")?;
        let address = receiver.local_addr()?;
        // What does not fit is dropped without a word, so no more than the buffer's size is counted.
        for _ in 0..64 {
            sender.send_to(&[1; 1024], address)?;
            held += 1024;
        }
        std::mem::forget(receiver);
    }
    Ok(())
}

fn segments(bytes: usize) -> io::Result<()> {
    for _ in 0..bytes / MIB {
        let id = sys::check(unsafe { sys::syscall(call::SHMGET, 0, MIB, 0o1600) })?;
        let at = sys::check(unsafe { sys::syscall(call::SHMAT, id, 0, 0) })?;
        touch(at as *mut u8, MIB);
    }
    Ok(())
}

fn messages(bytes: usize) -> io::Result<()> {
    let mut message = vec![1u8; 8 + 8192];
    message[..8].copy_from_slice(&1u64.to_ne_bytes());
    let (mut held, mut queue) = (0, None);
    while held < bytes {
        let id = match queue {
            Some(id) => id,
            None => sys::check(unsafe { sys::syscall(call::MSGGET, 0, 0o1600) })?,
        };
        const NOWAIT: c_long = 0o4000;
        match sys::check(unsafe { sys::syscall(call::MSGSND, id, message.as_ptr(), 8192, NOWAIT) }) {
            Ok(_) => (held, queue) = (held + 8192, Some(id)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && queue.is_some() => queue = None,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// That many descriptors, by as many processes as it takes.
fn many(count: usize, make: impl Fn() -> io::Result<OwnedFd>) -> io::Result<()> {
    (0..count).try_for_each(|_| make().map(std::mem::forget))
}

fn timers(count: usize) -> io::Result<()> {
    let mut id = 0;
    (0..count).try_for_each(|_| {
        sys::check(unsafe { sys::syscall(call::TIMER_CREATE, 0, 0, &raw mut id) }).map(drop)
    })
}

/// Real-time signals that are blocked and so stay queued.
fn signals(count: usize) -> io::Result<()> {
    let all = u64::MAX;
    let none = 0usize;
    sys::check(unsafe { sys::syscall(call::RT_SIGPROCMASK, 0, &raw const all, none, 8) })?;
    // SI_QUEUE.
    let mut info = [0i32; 32];
    (info[0], info[2]) = (40, -1);
    let pid = std::process::id();
    (0..count).try_for_each(|_| {
        sys::check(unsafe { sys::syscall(call::RT_SIGQUEUEINFO, pid, 40, info.as_ptr()) }).map(drop)
    })
}

/// Directories in memory: each is an inode and a name in the kernel.
fn directories(count: usize) -> io::Result<()> {
    (0..count).try_for_each(|i| std::fs::create_dir(format!("/dev/shm/{i}")))
}

/// Children that make children: eight each, four generations, so at most 4,681 where nothing ends it.
pub fn forks(generation: usize) {
    let mut made = 0;
    for _ in 0..if generation < 4 { 8 } else { 0 } {
        let next = (generation + 1).to_string();
        match Command::new("/proc/self/exe").args(["fork-bomb", &next]).spawn() {
            Ok(_) => made += 1,
            Err(e) => {
                println!("errno {} after {made}", e.raw_os_error().unwrap_or(0));
                break;
            }
        }
    }
    std::thread::sleep(std::time::Duration::from_secs(3600));
}

/// Fills a file with what no file system can compress.
pub fn fill(path: &str, mib: usize) {
    let result = (|| {
        let mut block = vec![0; MIB];
        File::open("/dev/urandom")?.read_exact(&mut block)?;
        let mut file = File::create(path)?;
        for _ in 0..mib {
            file.write_all(&block)?;
        }
        file.sync_all()
    })();
    match result {
        Ok(()) => println!("held {mib}"),
        Err(e) => println!("errno {}", e.raw_os_error().unwrap_or(0)),
    }
}

/// Prints lines as fast as they are taken.
pub fn flood(mib: usize) {
    let line = format!("{}\n", "flood ".repeat(170));
    let block = line.repeat(MIB / line.len());
    let mut stdout = io::stdout().lock();
    for _ in 0..mib {
        stdout.write_all(block.as_bytes()).expect("print");
    }
}
