//! The agent: its engine socket, the port that carries an instance's traffic, and what it dials.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use e2e::{Dev, Process};

use crate::project::{attempts, hostile};

/// Berth's processes.
fn own(dev: &Dev) -> Vec<u32> {
    let mut pids = vec![dev.process().pid];
    pids.extend(Process::descendants_of(pids[0]).iter().map(|process| process.pid));
    pids
}

/// Inodes of the sockets that Berth's processes have.
fn sockets(dev: &Dev) -> BTreeSet<String> {
    let mut inodes = BTreeSet::new();
    for pid in own(dev) {
        for fd in fs_err::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let target = std::fs::read_link(fd.path()).unwrap_or_default();
            let inode = target.to_string_lossy().into_owned();
            inodes
                .extend(inode.strip_prefix("socket:[").map(|i| i.trim_end_matches(']').to_owned()));
        }
    }
    inodes
}

/// Files of its unix sockets.
fn unix_sockets(dev: &Dev) -> Vec<PathBuf> {
    let inodes = sockets(dev);
    let table = fs_err::read_to_string("/proc/net/unix").unwrap();
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let own = fields.filter(|f| f.len() == 8 && inodes.contains(f[6]) && f[7].starts_with('/'));
    own.map(|f| PathBuf::from(f[7])).collect()
}

/// Ports it listens on at 127.0.0.1.
fn ports(dev: &Dev) -> Vec<u16> {
    let inodes = sockets(dev);
    let table = fs_err::read_to_string("/proc/net/tcp").unwrap();
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listening = fields.filter(|f| f[3] == "0A" && inodes.contains(f[9]));
    listening.map(|f| u16::from_str_radix(f[1].rsplit(':').next().unwrap(), 16).unwrap()).collect()
}

/// An address of the host that is not loopback, if it has one.
fn address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("203.0.113.1:9").ok()?;
    match socket.local_addr().ok()?.ip() {
        std::net::IpAddr::V4(address) if !address.is_loopback() => Some(address),
        _ => None,
    }
}

#[test]
fn the_engine_s_socket_cannot_be_reached_from_an_instance() {
    let dev = Dev::start(&hostile(""));
    attempts(&dev, "one", &["list /"]).possible();
    let sockets = unix_sockets(&dev);
    assert!(!sockets.is_empty(), "Berth serves its engine at a unix socket");
    for path in &sockets {
        let reached = [
            format!("connect-unix {}", path.display()),
            format!("connect-unix /proc/1/root{}", path.display()),
            format!("connect-unix /proc/self/root//../..{}", path.display()),
        ];
        let reached: Vec<&str> = reached.iter().map(String::as_str).collect();
        attempts(&dev, "one", &reached).refused(&[libc::ENOENT, libc::EACCES, libc::EPERM]);
    }
    assert!(sockets.iter().any(|path| UnixStream::connect(path).is_ok()), "the host reaches them");
    dev.stop();
}

#[test]
fn no_port_of_the_agent_answers_an_instance() {
    let dev = Dev::start(&hostile("enableInternet = true;"));
    attempts(&dev, "one", &["list /"]).possible();
    let ports = ports(&dev);
    // The edge, and one for the instance.
    assert!(ports.len() >= 2, "{ports:?}");
    assert!(ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()));
    let addresses = [Some(Ipv4Addr::LOCALHOST), address()];
    let mut tried: Vec<String> = Vec::new();
    for address in addresses.into_iter().flatten() {
        tried.extend(ports.iter().map(|port| format!("connect {address}:{port}")));
    }
    tried.push(format!("connect 127.0.0.1:{}", runtime::EGRESS_PORT));
    let attempted: Vec<&str> = tried.iter().map(String::as_str).collect();
    for answer in attempts(&dev, "one", &attempted).0 {
        // A connection that the agent takes to look at it ends without a word.
        assert!(answer.result.as_ref().map_or(true, String::is_empty), "{answer:?}");
    }
    dev.stop();
}

#[test]
fn the_host_s_networks_and_metadata_services_are_out_of_reach() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let dev = Dev::start(&hostile("enableInternet = true;"));
    let mut addresses: Vec<String> =
        ["127.0.0.1", "127.0.0.53", "0.0.0.0", "169.254.169.254", "10.0.0.1", "[::1]"]
            .map(str::to_owned)
            .to_vec();
    addresses.extend(address().map(|address| address.to_string()));
    let tried: Vec<String> = addresses.iter().map(|a| format!("connect {a}:{port}")).collect();
    let tried: Vec<&str> = tried.iter().map(String::as_str).collect();
    for answer in attempts(&dev, "one", &tried).0 {
        assert!(answer.result.as_ref().map_or(true, String::is_empty), "{answer:?}");
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "something of the instance reached the host");
    dev.stop();
}
