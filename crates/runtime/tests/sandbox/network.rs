//! Outbound connections: none, or all of them through the agent.

use std::net::SocketAddrV4;

use runtime::{ExecStreams, NAMESERVER};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::host::{Host, is_root, process, read_all, within};

#[tokio::test(flavor = "multi_thread")]
async fn without_internet_the_network_is_unreachable() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    for address in ["203.0.113.7:80", "10.0.0.1:80", "169.254.169.254:80", "[2001:db8::1]:80"] {
        let (status, stdout, _) = host.run(&["connect", address]).await;
        assert_eq!((status.code, stdout.as_str()), (1, "errno 101\n"), "{address}");
        let (_, stdout, _) = host.run(&["udp", "203.0.113.7:53"]).await;
        assert_eq!(stdout, "errno 101\n");
    }
    let (sandbox, _output) = host.start(&["sleep"]).await;
    assert_eq!(sandbox.egress_tcp().unwrap_err().kind(), std::io::ErrorKind::Unsupported);
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_internet_a_connection_arrives_with_its_original_destination() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    for address in ["203.0.113.7:80", "10.0.0.1:22", "169.254.169.254:80"] {
        let mut spec = host.spec(&["connect", address]);
        spec.internet = true;
        let (sandbox, output) = host.start_spec(spec).await;
        let listener = sandbox.egress_tcp().unwrap();
        let (mut stream, _) = within(listener.accept()).await.unwrap();
        assert_eq!(stream.local_addr().unwrap().to_string(), address);
        let mut said = [0; 5];
        within(stream.read_exact(&mut said)).await.unwrap();
        assert_eq!(&said, b"hello");
        within(stream.write_all(b"welcome")).await.unwrap();
        drop(stream);
        let (stdout, _) = read_all(output).await;
        assert_eq!(stdout, "127.0.0.1 welcome\n");
        drop(listener);
        sandbox.destroy().await.unwrap();
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_can_be_routed_while_the_program_runs() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, _output) = host.start(&["sleep"]).await;
    let connect = async || {
        let streams = ExecStreams { stdout: true, ..ExecStreams::default() };
        let mut exec =
            sandbox.exec(process(&["connect", "203.0.113.7:80"]), streams).await.unwrap();
        let mut stdout = String::new();
        within(exec.stdout.as_mut().unwrap().read_to_string(&mut stdout)).await.unwrap();
        stdout
    };
    assert_eq!(connect().await, "errno 101\n");
    within(sandbox.route_egress()).await.unwrap();
    within(sandbox.route_egress()).await.unwrap();
    let listener = sandbox.egress_tcp().unwrap();
    let serve = async {
        let (mut stream, _) = within(listener.accept()).await.unwrap();
        assert_eq!(stream.local_addr().unwrap().to_string(), "203.0.113.7:80");
        within(stream.write_all(b"welcome")).await.unwrap();
    };
    let (said, ()) = tokio::join!(connect(), serve);
    assert_eq!(said, "127.0.0.1 welcome\n");
    drop(listener);
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_internet_a_datagram_arrives_and_is_answered_in_its_destinations_name() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let destination = SocketAddrV4::new(NAMESERVER, 53);
    let mut spec = host.spec(&["udp", &destination.to_string()]);
    spec.internet = true;
    let (sandbox, output) = host.start_spec(spec).await;
    let egress = sandbox.egress_udp().unwrap();
    let mut buffer = [0; 1500];
    let datagram = within(egress.recv(&mut buffer)).await.unwrap();
    assert_eq!((&buffer[..datagram.len], datagram.destination), (&b"ping"[..], destination));
    within(egress.send(b"pong", datagram.destination, datagram.source)).await.unwrap();
    let (stdout, stderr) = read_all(output).await;
    assert_eq!(stdout, format!("{destination} pong\n"), "{stderr}");
    drop(egress);
    sandbox.destroy().await.unwrap();

    let mut spec = host.spec(&["cat", "/etc/resolv.conf"]);
    spec.internet = true;
    assert_eq!(host.run_spec(spec).await.1, format!("nameserver {NAMESERVER}\n"));
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_internet_loopback_stays_the_instances_own() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let mut spec = host.spec(&["serve", "0.0.0.0:80"]);
    spec.internet = true;
    let (sandbox, _output) = host.start_spec(spec).await;
    assert_eq!(crate::host::answer(&sandbox, 80).await, "hello from inside");
    // A port it serves itself is still elsewhere on another address.
    let streams = runtime::ExecStreams { stdout: true, ..Default::default() };
    let exec = crate::host::process(&["connect", "203.0.113.7:80"]);
    let mut exec = sandbox.exec(exec, streams).await.unwrap();
    let listener = sandbox.egress_tcp().unwrap();
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    within(stream.write_all(b"agent")).await.unwrap();
    drop(stream);
    let mut said = String::new();
    within(exec.stdout.take().unwrap().read_to_string(&mut said)).await.unwrap();
    assert_eq!(said, "127.0.0.1 agent\n");
    drop(listener);
    sandbox.destroy().await.unwrap();
    host.close().await;
}
