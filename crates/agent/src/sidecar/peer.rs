//! Who is at the other end of a local connection: the owner of the peer's socket, from the kernel.
//!
//! An instance's port stands on the host's loopback, where every local user can connect. The kernel
//! is asked for exactly that one socket (`NETLINK_SOCK_DIAG`); where it cannot be asked so, the
//! table in `/proc/net/tcp` is read.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Mutex;

use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// Asks the kernel for the owners of sockets.
#[derive(Debug)]
pub(crate) struct PeerLookup {
    /// `None` where the kernel has no such lookup.
    netlink: Option<Mutex<Netlink>>,
}

/// A socket to the kernel, and the number of the last request.
#[derive(Debug)]
struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Bytes of `struct inet_diag_req_v2`.
const REQUEST: usize = 56;
/// `SOCK_DIAG_BY_FAMILY`
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST`
const FLAG_REQUEST: u16 = 1;
const AF_INET: u8 = 2;
const IPPROTO_TCP: u8 = 6;
/// TCP states whose socket still has an owner: established, the two FIN-WAITs, CLOSE-WAIT. A socket
/// in TIME-WAIT is reported with uid 0 whoever had it.
const OWNED_STATES: [u8; 4] = [1, 4, 5, 8];

impl PeerLookup {
    /// Finds out how this kernel can be asked, by asking for a connection of our own.
    pub(crate) fn open() -> Self {
        let netlink = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(SOCK_DIAG),
        )
        .ok()
        .map(|socket| Mutex::new(Netlink { socket, sequence: 0 }));
        let lookup = Self { netlink };
        if lookup.finds_ourselves().unwrap_or(false) { lookup } else { Self { netlink: None } }
    }

    /// Asks about a connection from ourselves to ourselves.
    fn finds_ourselves(&self) -> io::Result<bool> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let _near = TcpStream::connect(listener.local_addr()?)?;
        let (far, peer) = listener.accept()?;
        Ok(self.owner(peer, far.local_addr()?)?.is_some())
    }

    /// The uid that owns the socket at `peer` of our connection `local`; `None` when there is no
    /// such socket any more or nobody holds it open.
    ///
    /// # Errors
    /// The kernel could not be asked.
    pub(crate) fn owner(&self, peer: SocketAddr, local: SocketAddr) -> io::Result<Option<u32>> {
        match (peer, local) {
            (SocketAddr::V4(peer), SocketAddr::V4(local)) => self.ask(peer, local),
            _ => Ok(None),
        }
    }

    fn ask(&self, peer: SocketAddrV4, local: SocketAddrV4) -> io::Result<Option<u32>> {
        match &self.netlink {
            Some(netlink) => {
                netlink.lock().expect("no holder of this lock panics").ask(peer, local)
            }
            None => {
                let table = fs_err::read_to_string("/proc/net/tcp")?;
                Ok(search_table(&table, peer, local))
            }
        }
    }
}

impl Netlink {
    fn ask(&mut self, peer: SocketAddrV4, local: SocketAddrV4) -> io::Result<Option<u32>> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = request(peer, local, self.sequence);
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.socket, &request, SendFlags::empty(), &kernel)?;
        let mut answer = [0; 1024];
        loop {
            let (length, _) = rustix::net::recv(&self.socket, &mut answer, RecvFlags::empty())?;
            let answer = &answer[..length];
            // An answer that an interrupted call left behind is about another connection.
            if answer.get(8..12) == Some(&self.sequence.to_ne_bytes()) {
                return Ok(parse_answer(answer));
            }
        }
    }
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2` for one connection, seen from the peer's side.
fn request(peer: SocketAddrV4, local: SocketAddrV4, sequence: u32) -> [u8; HEADER + REQUEST] {
    let mut bytes = [0; HEADER + REQUEST];
    let length = u32::try_from(bytes.len()).expect("72 fits");
    bytes[0..4].copy_from_slice(&length.to_ne_bytes());
    bytes[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&FLAG_REQUEST.to_ne_bytes());
    bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
    let body = &mut bytes[HEADER..];
    body[0] = AF_INET;
    body[1] = IPPROTO_TCP;
    body[4..8].copy_from_slice(&u32::MAX.to_ne_bytes()); // any state
    body[8..10].copy_from_slice(&peer.port().to_be_bytes());
    body[10..12].copy_from_slice(&local.port().to_be_bytes());
    body[12..16].copy_from_slice(&peer.ip().octets());
    body[28..32].copy_from_slice(&local.ip().octets());
    body[48..56].copy_from_slice(&[0xff; 8]); // INET_DIAG_NOCOOKIE
    bytes
}

/// The uid in a `struct inet_diag_msg`, if the message is one and its socket has an owner.
fn parse_answer(bytes: &[u8]) -> Option<u32> {
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let body = bytes.get(HEADER..HEADER + 72)?;
    let word = |at: usize| u32::from_ne_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]);
    let (state, uid, inode) = (body[1], word(64), word(68));
    (kind == BY_FAMILY && OWNED_STATES.contains(&state) && inode != 0).then_some(uid)
}

/// The same from the text of `/proc/net/tcp`.
fn search_table(table: &str, peer: SocketAddrV4, local: SocketAddrV4) -> Option<u32> {
    let hex =
        |a: SocketAddrV4| format!("{:08X}:{:04X}", u32::from_ne_bytes(a.ip().octets()), a.port());
    let (peer, local) = (hex(peer), hex(local));
    table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, own, remote, state, _, _, _, uid, _, inode, ..] = columns[..] else { return None };
        let state = u8::from_str_radix(state, 16).ok()?;
        let found = own == peer && remote == local && OWNED_STATES.contains(&state) && inode != "0";
        found.then(|| uid.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn lookups() -> [PeerLookup; 2] {
        [PeerLookup::open(), PeerLookup { netlink: None }]
    }

    #[test]
    fn our_own_connection_is_ours_however_the_kernel_is_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, peer) = listener.accept().unwrap();
        let uid = rustix::process::getuid().as_raw();
        for lookup in lookups() {
            assert_eq!(lookup.owner(peer, far.local_addr().unwrap()).unwrap(), Some(uid));
        }
        drop(near);
    }

    #[test]
    fn a_socket_its_owner_has_closed_is_nobodys() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, peer) = listener.accept().unwrap();
        drop(near);
        // A program that another test starts has it, too, until it is executed.
        let deadline = Instant::now() + Duration::from_secs(10);
        for lookup in lookups() {
            let owner = || lookup.owner(peer, far.local_addr().unwrap()).unwrap();
            while owner().is_some() && Instant::now() < deadline {
                std::thread::yield_now();
            }
            assert_eq!(owner(), None);
        }
    }

    #[test]
    fn another_users_connection_is_told_apart() {
        // A child of uid 65534 connects; only root can make one.
        if !rustix::process::geteuid().is_root() {
            return;
        }
        use std::os::unix::process::CommandExt as _;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; read -r line <&3");
        let mut child = std::process::Command::new("/bin/bash")
            .args(["-c", &script])
            .uid(65_534)
            .spawn()
            .unwrap();
        let (far, peer) = listener.accept().unwrap();
        for lookup in lookups() {
            assert_eq!(lookup.owner(peer, far.local_addr().unwrap()).unwrap(), Some(65_534));
        }
        drop(far);
        child.wait().unwrap();
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), text in "[\\PC\n]{0,200}") {
            let any = "127.0.0.1:1".parse().unwrap();
            let _ = parse_answer(&bytes);
            let _ = search_table(&text, any, any);
        }
    }
}
