//! Talking to the launcher and to a sandbox's init over their unix sockets.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use init::wire::{self, Receiver};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;

use crate::sys;

/// One end of a connection. Any number of tasks may send, one at a time receives.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: AsyncFd<OwnedFd>,
    sending: Mutex<()>,
    receiver: Mutex<Receiver>,
}

impl Connection {
    /// Wraps a connected non-blocking socket.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            socket: sys::watch(socket, Interest::READABLE | Interest::WRITABLE)?,
            sending: Mutex::new(()),
            receiver: Mutex::new(Receiver::default()),
        })
    }

    /// Sends a message and descriptors.
    pub(crate) async fn send<T: Serialize>(
        &self,
        message: &T,
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let bytes = wire::encode(message)?;
        let _turn = self.sending.lock().await;
        let mut sent = 0;
        while sent < bytes.len() {
            let fds = if sent == 0 { fds } else { &[] };
            let mut ready = self.socket.writable().await?;
            let part = ready.try_io(|socket| wire::send_part(socket.as_fd(), &bytes[sent..], fds));
            if let Ok(n) = part {
                sent += n?;
            }
        }
        Ok(())
    }

    /// The next message with its descriptors, `None` when the other side is gone. A call that is
    /// dropped loses nothing.
    pub(crate) async fn receive<T: DeserializeOwned>(
        &self,
    ) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut receiver = self.receiver.lock().await;
        loop {
            let mut ready = self.socket.readable().await?;
            if let Ok(result) = ready.try_io(|socket| receiver.receive(socket.as_fd())) {
                return result;
            }
        }
    }
}

/// Makes the listener `init.sock` in directory `dir`.
pub(crate) fn listen(dir: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let socket = socket(SocketFlags::CLOEXEC)?;
    rustix::net::bind(&socket, &address(dir)?)?;
    rustix::net::listen(&socket, 4)?;
    Ok(socket)
}

/// Connects to `init.sock` in directory `dir`.
pub(crate) fn connect(dir: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let socket = socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    rustix::net::connect(&socket, &address(dir)?)?;
    Ok(socket)
}

fn socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// Through a descriptor, because an address holds 107 bytes and a project's path may be longer.
fn address(dir: BorrowedFd<'_>) -> io::Result<SocketAddrUnix> {
    use std::os::fd::AsRawFd;
    Ok(SocketAddrUnix::new(format!("/proc/self/fd/{}/init.sock", dir.as_raw_fd()))?)
}
