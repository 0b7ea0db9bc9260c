//! Where an instance's outbound connections end: sockets of ours inside its network namespace.
//!
//! Every address but 127.0.0.0/8 is routed to the instance's loopback and handed by TPROXY to two
//! sockets, so the agent sees the original destination and decides. IPv6 has no route.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Port of our sockets inside the namespace, above the range the kernel gives out by itself
/// (32768–60999). A connection accepted with this port on 127.0.0.1 as its local address was
/// addressed to us directly by the program and is to be closed.
pub const EGRESS_PORT: u16 = 61_080;

/// The name server in `/etc/resolv.conf` of a sandbox with internet: an address of TEST-NET-1, so
/// never a real host. Queries arrive at [`Sandbox::egress_udp`](crate::Sandbox::egress_udp) and
/// `egress_tcp` with this destination and port 53.
pub const NAMESERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);

/// The kernel cannot hand connections to us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("redirect outbound connections (nftables with TPROXY): {reason}")]
pub struct EgressUnsupported {
    /// What the kernel said.
    pub reason: String,
}

/// One datagram an instance sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram {
    /// Bytes received; longer datagrams are cut to the buffer.
    pub len: usize,
    /// The program's socket, to reply to.
    pub source: SocketAddrV4,
    /// Where the program sent it.
    pub destination: SocketAddrV4,
}

/// Receives every datagram an instance sends and replies in the name of its destination.
#[derive(Debug)]
pub struct EgressUdp {}

impl EgressUdp {
    /// The next datagram. May be awaited by several tasks.
    ///
    /// # Errors
    /// The socket failed.
    pub async fn recv(&self, _buffer: &mut [u8]) -> io::Result<Datagram> {
        std::future::pending().await
    }

    /// Sends `bytes` to the program at `to` as if `from`, the original destination, had answered.
    ///
    /// # Errors
    /// The socket failed, or the sandbox is gone.
    pub async fn send(
        &self,
        _bytes: &[u8],
        _from: SocketAddrV4,
        _to: SocketAddrV4,
    ) -> io::Result<()> {
        std::future::pending().await
    }
}
