//! Sockets inside a sandbox's network namespace.
//!
//! A socket stays in the namespace it was made in. So a thread enters, makes it, and comes back;
//! everything after that works from outside, on any thread.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;

use init::message::{EGRESS_MARK, EGRESS_PORT};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use rustix::thread::LinkNameSpaceType;
use tokio::net::{TcpSocket, TcpStream};

use crate::{ordinary_user, sys};

/// Our own namespace, to come back to.
static HOME: OnceLock<OwnedFd> = OnceLock::new();

fn home() -> io::Result<&'static OwnedFd> {
    if let Some(home) = HOME.get() {
        return Ok(home);
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let home = rustix::fs::open("/proc/thread-self/ns/net", flags, Mode::empty())?;
    Ok(HOME.get_or_init(|| home))
}

/// Runs `make` inside namespace `netns`. `make` must not wait: this thread also serves others.
fn inside<T: Send>(netns: &OwnedFd, make: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    /// Comes back however `make` ends.
    struct Return(&'static OwnedFd);
    impl Drop for Return {
        fn drop(&mut self) {
            if enter(self.0).is_err() {
                // A thread left in a sandbox's network would make the host's next sockets there.
                std::process::abort();
            }
        }
    }
    fn enter(netns: &OwnedFd) -> io::Result<()> {
        let kind = LinkNameSpaceType::Network;
        Ok(rustix::thread::move_into_link_name_space(netns.as_fd(), Some(kind))?)
    }

    if ordinary_user::ids().is_some() {
        // The host's namespace is not ours to enter again. A thread for this alone ends inside.
        return std::thread::scope(|scope| {
            let thread = scope.spawn(|| enter(netns).and_then(|()| make()));
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
    }
    let home = home()?;
    enter(netns)?;
    let _return = Return(home);
    make()
}

/// Connects to `port` on the namespace's 127.0.0.1, or on its ::1 when that refuses.
pub(crate) async fn connect(netns: &OwnedFd, port: u16) -> io::Result<TcpStream> {
    match connect_to(netns, Ipv4Addr::LOCALHOST.into(), port).await {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            let v6 = connect_to(netns, Ipv6Addr::LOCALHOST.into(), port).await;
            v6.map_err(|_| e)
        }
        result => result,
    }
}

async fn connect_to(netns: &OwnedFd, ip: IpAddr, port: u16) -> io::Result<TcpStream> {
    let family = if ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket =
        inside(netns, || Ok(rustix::net::socket_with(family, SocketType::STREAM, flags, None)?))?;
    let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
    socket.connect(SocketAddr::new(ip, port)).await
}

/// The sockets that TPROXY hands outbound connections to.
#[derive(Debug)]
pub(crate) struct EgressSockets {
    /// Listens for TCP.
    pub(crate) tcp: std::net::TcpListener,
    /// Receives datagrams, with their destinations.
    pub(crate) udp: OwnedFd,
    /// Sends whole IP packets, to answer datagrams in anyone's name without binding their port.
    pub(crate) raw: OwnedFd,
}

impl EgressSockets {
    /// Makes them inside `netns`.
    pub(crate) fn open(netns: &OwnedFd) -> io::Result<Self> {
        let (inet, flags) = (AddressFamily::INET, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
        let socket = |kind, protocol| rustix::net::socket_with(inet, kind, flags, protocol);
        let (tcp, udp, raw) = inside(netns, || {
            Ok((
                socket(SocketType::STREAM, None)?,
                socket(SocketType::DGRAM, None)?,
                // IPPROTO_RAW: the caller writes the IP header.
                socket(SocketType::RAW, Some(ipproto::RAW))?,
            ))
        })?;
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, EGRESS_PORT);
        for fd in [&tcp, &udp] {
            sockopt::set_socket_reuseaddr(fd, true)?;
            sys::set_transparent(fd.as_fd())?;
            sys::set_mark(fd.as_fd(), EGRESS_MARK)?;
            rustix::net::bind(fd, &address)?;
        }
        sys::set_mark(raw.as_fd(), EGRESS_MARK)?;
        sys::set_receive_destination(udp.as_fd())?;
        rustix::net::listen(&tcp, 1024)?;
        Ok(Self { tcp: tcp.into(), udp, raw })
    }
}
