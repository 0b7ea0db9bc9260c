//! Attempts by sockets.

use std::ffi::c_int;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};
use std::time::Duration;

use crate::attempts::number;
use crate::sys;

const AF_INET: c_int = 2;
const AF_NETLINK: c_int = 16;
const STREAM: c_int = 1;
const DATAGRAM: c_int = 2;
const RAW: c_int = 3;

/// `Err` for words that are nothing of ours.
pub fn carry_out(words: &[&str]) -> Result<io::Result<String>, ()> {
    let silent = |result: io::Result<()>| result.map(|()| String::new());
    Ok(match words {
        ["socket", family, kind, protocol] => {
            let [family, kind, protocol] = [family, kind, protocol].map(|n| number(n) as c_int);
            silent(sys::open_socket(family, kind, protocol).map(drop))
        }
        ["option", kind, level, name, value] => {
            let kind = if *kind == "tcp" { STREAM } else { DATAGRAM };
            silent(sys::open_socket(AF_INET, kind, 0).and_then(|socket| {
                let [level, name, value] = [level, name, value].map(|n| number(n) as c_int);
                sys::set_option(socket.as_raw_fd(), level, name, value)
            }))
        }
        ["connect", address] => connect(address),
        ["datagram", address] => datagram(address),
        ["listen", address] => silent(listen(address).map(drop)),
        ["listen-datagram", address] => silent(bound(DATAGRAM, address).map(drop)),
        ["connect-abstract", name] => {
            let address = UnixAddress::from_abstract_name(name);
            silent(address.and_then(|address| UnixStream::connect_addr(&address)).map(drop))
        }
        ["connect-unix", path] => silent(UnixStream::connect(path).map(drop)),
        ["listen-abstract", name] => {
            let address = UnixAddress::from_abstract_name(name);
            address.and_then(|address| UnixListener::bind_addr(&address)).map(|listener| {
                // Kept for the life of this process.
                std::mem::forget(listener);
                String::new()
            })
        }
        ["netlink", what] => silent(netlink(what)),
        ["interface", request] => {
            let mut name = [0; 40];
            name[..2].copy_from_slice(b"lo");
            // 127.0.0.9, for requests that set an address.
            name[16..24].copy_from_slice(&[2, 0, 0, 0, 127, 0, 0, 9]);
            silent(sys::open_socket(AF_INET, DATAGRAM, 0).and_then(|socket| {
                sys::control(socket.as_raw_fd(), number(request) as u64, &mut name)
            }))
        }
        _ => return Err(()),
    })
}

/// Connects, says something and returns what was answered.
fn connect(address: &str) -> io::Result<String> {
    let address: SocketAddr = address.parse().expect("an address");
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn datagram(address: &str) -> io::Result<String> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    socket.send_to(b"hello", address)?;
    let mut answer = [0; 512];
    let (n, _) = socket.recv_from(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..n]).into_owned())
}

/// A socket bound with every option that lets one share another's port.
fn bound(kind: c_int, address: &str) -> io::Result<OwnedFd> {
    let address: SocketAddrV4 = address.parse().expect("an address");
    let socket = sys::open_socket(AF_INET, kind, 0)?;
    const REUSE_ADDRESS: c_int = 2;
    const REUSE_PORT: c_int = 15;
    for option in [REUSE_ADDRESS, REUSE_PORT] {
        sys::set_option(socket.as_raw_fd(), 1, option, 1)?;
    }
    let mut bytes = [0; 16];
    bytes[0] = 2;
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    bytes[4..8].copy_from_slice(&address.ip().octets());
    sys::bind_to(socket.as_raw_fd(), &bytes)?;
    Ok(socket)
}

fn listen(address: &str) -> io::Result<OwnedFd> {
    unsafe extern "C" {
        fn listen(fd: c_int, backlog: c_int) -> c_int;
    }
    let socket = bound(STREAM, address)?;
    sys::check(unsafe { listen(socket.as_raw_fd(), 16) }.into())?;
    Ok(socket)
}

/// Changes of the network that would lead traffic elsewhere.
fn netlink(what: &str) -> io::Result<()> {
    const ROUTE: c_int = 0;
    const NETFILTER: c_int = 12;
    // Family, prefix lengths, table main, protocol boot, scope link, type unicast; out by `lo`.
    let route = [&[2, 0, 0, 0, 254, 3, 253, 1, 0, 0, 0, 0][..], &attribute(4, &1u32.to_ne_bytes())];
    let address = [&[2u8, 8, 0, 0, 1, 0, 0, 0][..], &attribute(2, &[10, 9, 8, 7])];
    let mut down = [0; 16];
    down[4..8].copy_from_slice(&1u32.to_ne_bytes());
    down[12..16].copy_from_slice(&1u32.to_ne_bytes());
    let info = attribute(18, &attribute(1, b"bridge\0"));
    let bridge = [&[0u8; 16][..], &info];
    // Table `berth` of family ip, between the begin and the end of a batch.
    let table = [&[2u8, 0, 0, 0][..], &attribute(1, b"berth\0")];
    let (protocol, messages) = match what {
        "add-route" => (ROUTE, vec![message(24, 0x405, &route.concat())]),
        "add-address" => (ROUTE, vec![message(20, 0x405, &address.concat())]),
        "link-down" => (ROUTE, vec![message(16, 5, &down)]),
        "add-link" => (ROUTE, vec![message(16, 0x405, &bridge.concat())]),
        "add-table" | "delete-table" => {
            let (kind, flags) = if what == "add-table" { (0xa00, 0x405) } else { (0xa02, 5) };
            let batch = |kind| message(kind, 1, &[0, 0, 0, 10]);
            (NETFILTER, vec![batch(16), message(kind, flags, &table.concat()), batch(17)])
        }
        _ => panic!("unknown change {what}"),
    };
    let socket = sys::open_socket(AF_NETLINK, RAW, protocol)?;
    let mut file = std::fs::File::from(socket);
    file.write_all(&messages.concat())?;
    let mut answer = [0; 4096];
    let read = file.read(&mut answer)?;
    let error = answer[..read].get(16..20).map_or(0, |e| i32::from_ne_bytes(e.try_into().unwrap()));
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-error)) }
}

fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let mut message = (16 + payload.len() as u32).to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    message.extend(payload);
    message.resize(message.len().next_multiple_of(4), 0);
    message
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut attribute = (4 + value.len() as u16).to_ne_bytes().to_vec();
    attribute.extend(kind.to_ne_bytes());
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}
