//! What an instance can reach: nothing without internet, and with it neither the host nor its
//! networks.

use crate::support::{Node, Setup, event, needs_root};
use agent::AgentEvent;
use serde_json::json;

/// What `app <how> <where>` prints inside an instance.
pub(crate) async fn tried(client: &crate::support::Client, how: &str, to: &str) -> String {
    let (frames, code) = client.exec(&["/app", how, to], b"").await;
    assert_eq!(code, 0, "{frames:?}");
    frames.stdout.trim().to_owned()
}

async fn instance(node: &Node, internet: bool) -> crate::support::Client {
    let client = node.client(1);
    client.start_with(internet, json!({"Image": "test"})).await;
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn without_internet_there_is_no_route() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let client = instance(&node, false).await;
    assert_eq!(tried(&client, "connect", "1.1.1.1:80").await, "connect: NetworkUnreachable");
    assert_eq!(tried(&client, "datagram", "1.1.1.1:53").await, "send: NetworkUnreachable");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_internet_the_hosts_networks_are_refused_and_told_of() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let mut events = node.agent.events();
    let client = instance(&node, true).await;
    for address in ["10.0.0.1:80", "169.254.169.254:80", "192.168.1.1:443"] {
        // The kernel may report the reset at the connect or at the first read.
        let outcome = tried(&client, "connect", address).await;
        assert!(outcome.ends_with("ConnectionReset"), "{address}: {outcome}");
    }
    let wanted = |event| match event {
        AgentEvent::EgressDenied { destination, .. } => Some(destination.to_string()),
        _ => None,
    };
    assert_eq!(event(&mut events, "denial", wanted).await, "10.0.0.1:80");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_allowed_is_dialled_from_the_host() {
    needs_root!();
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let Some(own) = own_address() else {
        eprintln!("skipped: this host has no address but its loopback's");
        return;
    };
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"from the host").await.unwrap();
        }
    });
    let allow: &'static str = Box::leak(own.to_string().into_boxed_str());
    let node = Node::start(Setup { egress_allow: vec![allow], ..Setup::default() }).await;
    let client = instance(&node, true).await;
    let answer = tried(&client, "connect", &format!("{own}:{port}")).await;
    assert_eq!(answer, "read: from the host");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_lookup_gets_an_answer_from_whom_it_asked() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let client = instance(&node, true).await;
    let answer = tried(&client, "datagram", "9.9.9.9:53").await;
    assert!(answer.contains("bytes from 9.9.9.9:53"), "{answer}");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_loses_no_time_on_ipv6() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let client = instance(&node, true).await;
    let outcome = tried(&client, "connect", "[2606:4700::1111]:80").await;
    assert!(outcome.starts_with("connect: ") && !outcome.contains("TimedOut"), "{outcome}");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn internet_can_be_taken_away_while_it_runs() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let client = instance(&node, true).await;
    client.set_internet(false).await;
    let lookup = tried(&client, "datagram", "9.9.9.9:53").await;
    assert!(lookup.starts_with("receive:"), "{lookup}");
    node.end().await;
}

/// An address of this host that is not its loopback's.
pub(crate) fn own_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("1.1.1.1:53").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_loopback())
}
