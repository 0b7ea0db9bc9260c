//! Where an instance's outbound connections end: sockets of ours inside its network namespace.
//!
//! Every address but 127.0.0.0/8 is routed to the instance's loopback and handed by TPROXY to two
//! sockets, so the agent sees the original destination and decides. IPv6 has no route.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::network::EgressSockets;
use crate::sys;

/// Port of our sockets inside the namespace, above the range the kernel gives out by itself
/// (32768–60999). A connection accepted with this port on 127.0.0.1 as its local address was
/// addressed to us directly by the program and is to be closed; so is a datagram.
pub const EGRESS_PORT: u16 = init::message::EGRESS_PORT;

/// The name server in `/etc/resolv.conf` of a sandbox with internet: an address of TEST-NET-1, so
/// never a real host. Queries arrive at [`Sandbox::egress_udp`](crate::Sandbox::egress_udp) and
/// `egress_tcp` with this destination and port 53.
pub const NAMESERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);

/// Largest payload of a datagram.
const DATAGRAM_BYTES_MAX: usize = 65_507;

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

/// Receives every datagram an instance sends and replies in the name of its destination. Holds the
/// sandbox's network namespace: drop it when the sandbox has ended. Clones are the same sockets.
#[derive(Debug, Clone)]
pub struct EgressUdp {
    sockets: Arc<(AsyncFd<OwnedFd>, AsyncFd<OwnedFd>)>,
}

impl EgressUdp {
    pub(crate) fn new(sockets: &EgressSockets) -> io::Result<Self> {
        let receive = sys::watch(sockets.udp.try_clone()?, Interest::READABLE)?;
        let send = sys::watch(sockets.raw.try_clone()?, Interest::WRITABLE)?;
        Ok(Self { sockets: Arc::new((receive, send)) })
    }

    /// The next datagram. May be awaited by several tasks.
    ///
    /// # Errors
    /// The socket failed.
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<Datagram> {
        loop {
            let mut ready = self.sockets.0.readable().await?;
            let received =
                ready.try_io(|socket| sys::receive_with_destination(socket.as_fd(), buffer));
            if let Ok(result) = received {
                let (len, source, destination) = result?;
                return Ok(Datagram { len, source, destination });
            }
        }
    }

    /// Sends `bytes` to the program at `to` as if `from`, the original destination, had answered.
    ///
    /// # Errors
    /// More than 65,507 bytes, or the socket failed.
    pub async fn send(&self, bytes: &[u8], from: SocketAddrV4, to: SocketAddrV4) -> io::Result<()> {
        let packet = packet(bytes, from, to)?;
        // The packet's own header decides; the port is not looked at.
        let address = SocketAddrV4::new(*to.ip(), 0);
        loop {
            let mut ready = self.sockets.1.writable().await?;
            let sent = ready.try_io(|socket| {
                Ok(rustix::net::sendto(socket, &packet, SendFlags::empty(), &address)?)
            });
            if let Ok(result) = sent {
                return result.map(drop);
            }
        }
    }
}

/// An IPv4 packet with a UDP datagram. The kernel fills in length, id and checksum of the IP header;
/// UDP's checksum may be left out.
fn packet(bytes: &[u8], from: SocketAddrV4, to: SocketAddrV4) -> io::Result<Vec<u8>> {
    const HEADERS: usize = 20 + 8;
    const UDP: u8 = 17;
    if bytes.len() > DATAGRAM_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "datagram too long"));
    }
    let udp_len = u16::try_from(bytes.len() + 8).expect("checked above").to_be_bytes();
    let mut packet = Vec::with_capacity(HEADERS + bytes.len());
    // Version 4, five words; no service class, length, id or fragments; 64 hops.
    packet.extend([0x45, 0, 0, 0, 0, 0, 0, 0, 64, UDP, 0, 0]);
    packet.extend(from.ip().octets());
    packet.extend(to.ip().octets());
    packet.extend(from.port().to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend(udp_len);
    packet.extend([0, 0]);
    packet.extend(bytes);
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_has_both_addresses_and_its_length() {
        let from = SocketAddrV4::new(Ipv4Addr::new(8, 8, 8, 8), 53);
        let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 40_000);
        let packet = packet(b"hello", from, to).unwrap();
        assert_eq!(packet.len(), 33);
        assert_eq!(&packet[12..20], [8, 8, 8, 8, 127, 0, 0, 1]);
        assert_eq!(&packet[20..28], [0, 53, 0x9c, 0x40, 0, 13, 0, 0]);
        assert!(super::packet(&[0; 65_508], from, to).is_err());
    }
}
