//! The network: nothing of it can be changed, forged or reached past the agent.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use escape::{Host, is_root, outside, within};
use runtime::{EGRESS_PORT, SandboxSpec};

fn with_internet(host: &Host, args: &[&str]) -> SandboxSpec {
    SandboxSpec { internet: true, ..host.spec(args) }
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_addresses_interfaces_and_packet_filters_cannot_be_changed() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    // SIOCSIFFLAGS, SIOCSIFADDR, SIOCADDRT, SIOCBRADDBR.
    let attempts = [
        "netlink add-route",
        "netlink add-address",
        "netlink link-down",
        "netlink add-link",
        "netlink delete-table",
        "netlink add-table",
        "interface 0x8914",
        "interface 0x8916",
        "interface 0x890b",
        "interface 0x89a0",
    ];
    let (sandbox, _output) = host.start(with_internet(&host, &["sleep"])).await;
    Host::executed(&sandbox, &attempts).await.refused(&[libc::EPERM, libc::EACCES]);
    // In a namespace where one may, they work.
    let possible = ["netlink add-address", "netlink add-table", "netlink delete-table"];
    outside(&possible).possible();
    outside(&["netlink link-down", "interface 0x8914"]).possible();
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_cannot_be_forged_or_overheard() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (stream, datagram, raw) = (libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_RAW);
    let sockets = [
        format!("socket {} {raw} 1", libc::AF_INET),
        format!("socket {} {raw} 6", libc::AF_INET),
        format!("socket {} {raw} 17", libc::AF_INET),
        format!("socket {} {raw} 255", libc::AF_INET),
        format!("socket {} {raw} 58", libc::AF_INET6),
        // ETH_P_ALL.
        format!("socket {} {raw} 0x300", libc::AF_PACKET),
        format!("socket {} {datagram} 0x300", libc::AF_PACKET),
    ];
    let sockets: Vec<&str> = sockets.iter().map(String::as_str).collect();
    let refused = [libc::EPERM, libc::EACCES, libc::EAFNOSUPPORT];
    host.inside(&sockets).await.refused(&refused);
    host.inside_as("app", &sockets).await.refused(&refused);
    outside(&sockets).possible();

    // Families beyond the usual reach the hypervisor or load code into the kernel.
    let families: Vec<String> = (0..=46)
        .filter(|f| ![libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK].contains(f))
        .flat_map(|family| {
            [stream, datagram, raw, libc::SOCK_SEQPACKET]
                .map(|kind| format!("socket {family} {kind} 0"))
        })
        .collect();
    let families: Vec<&str> = families.iter().map(String::as_str).collect();
    host.inside(&families).await.refused(&[libc::EAFNOSUPPORT]);
    let pairs = [libc::AF_TIPC, libc::AF_INET]
        .map(|family| format!("syscall {} {family} {stream} 0 buffer", libc::SYS_socketpair));
    host.inside(&[&pairs[0], &pairs[1]]).await.refused(&[libc::EAFNOSUPPORT]);
    let unix = format!("syscall {} {} {stream} 0 buffer", libc::SYS_socketpair, libc::AF_UNIX);
    host.inside(&[&unix]).await.possible();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agents_mark_and_its_transparent_sockets_cannot_be_had() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let mark = 0x6265_7274;
    let attempts = [
        format!("option tcp {} {} {mark}", libc::SOL_SOCKET, libc::SO_MARK),
        format!("option udp {} {} {mark}", libc::SOL_SOCKET, libc::SO_MARK),
        format!("option tcp {} {} 1", libc::SOL_IP, libc::IP_TRANSPARENT),
        format!("option tcp {} {} 1", libc::SOL_SOCKET, libc::SO_DEBUG),
        // SO_RCVBUFFORCE, TCP_REPAIR, IP_XFRM_POLICY.
        format!("option udp {} 33 1", libc::SOL_SOCKET),
        format!("option tcp {} 19 1", libc::SOL_TCP),
    ];
    let attempts: Vec<&str> = attempts.iter().map(String::as_str).collect();
    host.inside(&attempts).await.refused(&[libc::EPERM, libc::EACCES]);
    outside(&attempts).possible();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agents_port_can_neither_be_taken_nor_shared() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, _output) = host.start(with_internet(&host, &["sleep"])).await;
    let egress = sandbox.egress_tcp().unwrap();
    let attempts =
        [format!("listen 127.0.0.1:{EGRESS_PORT}"), format!("listen 0.0.0.0:{EGRESS_PORT}")];
    let attempts: Vec<&str> = attempts.iter().map(String::as_str).collect();
    Host::executed(&sandbox, &attempts).await.refused(&[libc::EADDRINUSE]);
    // What a program says to it directly is told from a connection to elsewhere by its address.
    let say = format!("connect 127.0.0.1:{EGRESS_PORT}");
    let say = [say.as_str()];
    let (_, local) = tokio::join!(Host::executed(&sandbox, &say), async {
        let (stream, _) = within(egress.accept()).await.unwrap();
        stream.local_addr().unwrap()
    });
    assert_eq!(local.to_string(), format!("127.0.0.1:{EGRESS_PORT}"));
    drop(egress);
    sandbox.destroy().await.unwrap();
    host.close().await;
}

/// The host's own addresses.
fn addresses() -> Vec<Ipv4Addr> {
    let mut found = vec![Ipv4Addr::LOCALHOST];
    // The address that a connection to elsewhere would come from; nothing is sent.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    if socket.connect("203.0.113.1:9").is_ok()
        && let std::net::SocketAddr::V4(address) = socket.local_addr().unwrap()
    {
        found.push(*address.ip());
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_host_and_no_other_instance_can_be_connected_to() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (other, _output) = host.start(host.spec(&["serve", &format!("0.0.0.0:{port}")])).await;
    let mut targets: Vec<String> =
        addresses().iter().map(|address| format!("connect {address}:{port}")).collect();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(), "the host listens");
    for address in
        ["169.254.169.254", "10.0.0.1", "172.17.0.1", "192.168.0.1", "224.0.0.1", "0.0.0.0"]
    {
        targets.push(format!("connect {address}:{port}"));
    }
    for address in ["169.254.169.254", "10.0.0.1", "172.17.0.1"] {
        targets.push(format!("datagram {address}:{port}"));
    }
    for address in ["[::1]", "[fe80::1]", "[fd00::1]", "[::ffff:127.0.0.1]", "[2001:db8::1]"] {
        targets.push(format!("connect {address}:{port}"));
    }
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    let refused = [
        libc::ECONNREFUSED,
        libc::ENETUNREACH,
        libc::EHOSTUNREACH,
        libc::EADDRNOTAVAIL,
        libc::EINVAL,
        libc::EACCES,
    ];
    host.inside(&targets).await.refused(&refused);
    drop(listener);
    other.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_internet_every_address_ends_in_the_agent() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut addresses = addresses();
    addresses.retain(|address| !address.is_loopback());
    addresses.extend([Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(10, 0, 0, 1)]);
    let targets: Vec<String> = addresses.iter().map(|a| format!("connect {a}:{port}")).collect();
    let args: Vec<&str> = ["try"].into_iter().chain(targets.iter().map(String::as_str)).collect();
    let (sandbox, _output) = host.start(with_internet(&host, &args)).await;
    let egress = sandbox.egress_tcp().unwrap();
    for address in &addresses {
        let (stream, _) = within(egress.accept()).await.unwrap();
        assert_eq!(stream.local_addr().unwrap().to_string(), format!("{address}:{port}"));
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "nothing arrived at the host");
    drop(egress);
    sandbox.destroy().await.unwrap();
    host.close().await;
}
