//! Connections that a Worker may handle: what workerd is asked, and what becomes of its answer.
//! Here workerd is a listener that answers `CONNECT`; the real one is in the end-to-end tests.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::egress::{own_address, tried};
use crate::support::{Client, Node, Setup, needs_root, soon};

/// Answers every `CONNECT` with that status; one that is accepted gets a text and its end.
struct Workerd {
    port: u16,
    /// The heads it was sent.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Workerd {
    async fn answering(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let heads = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                heads.lock().unwrap().push(String::from_utf8(head).unwrap());
                let answer = format!("HTTP/1.1 {status} Fine\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
                let mut said = [0; 64];
                let length = stream.read(&mut said).await.unwrap_or(0);
                if status == 200 && length > 0 {
                    // In one: the program reads once.
                    let answer = [b"handled ", &said[..length]].concat();
                    stream.write_all(&answer).await.unwrap();
                }
            }
        });
        Self { port, asked }
    }

    fn settings(&self, hosts: &[&str], internet: bool) -> Value {
        json!({"port": self.port, "dns": {"allowHostnames": hosts}, "internet": {"enabled": internet}})
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn say(client: &Client, to: &str, what: &str) -> String {
    let (frames, code) = client.exec(&["/app", "say", to, what], b"").await;
    assert_eq!(code, 0, "{frames:?}");
    frames.stdout.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn bb8_a_handler_set_while_the_program_runs_without_internet_gets_its_connections() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let client = node.client(1);
    client.start().await;
    assert_eq!(tried(&client, "connect", "9.9.9.9:80").await, "connect: NetworkUnreachable");
    let workerd = Workerd::answering(200).await;
    client.set_egress(workerd.settings(&["api.test"], false)).await;
    let request = "GET / HTTP/1.1\r\nHost: API.test:80\r\n\r\n";
    let said = say(&client, "9.9.9.9:80", request).await;
    assert!(said.starts_with("read: handled GET / HTTP/1.1"), "{said}");
    let wanted = "CONNECT 9.9.9.9:80 HTTP/1.1\r\nHost: 9.9.9.9:80\r\nX-Hostname: api.test\r\n\r\n";
    assert_eq!(workerd.asked(), [wanted]);
    // Another host is nobody's, and the internet is off.
    let other = say(&client, "9.9.9.9:80", "GET / HTTP/1.1\r\nHost: other\r\n\r\n").await;
    assert!(other.ends_with("ConnectionReset"), "{other}");
    assert_eq!(workerd.asked().len(), 1);
    let placeholder = tried(&client, "datagram", "9.9.9.9:53").await;
    assert!(placeholder.ends_with("rcode 3"), "the name \"a\" does not exist: {placeholder}");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_handles_is_asked_about_once_and_goes_out_past_workerd() {
    needs_root!();
    let Some(own) = own_address() else {
        eprintln!("skipped: this host has no address but its loopback's");
        return;
    };
    let server = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let address = format!("{own}:{}", server.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = server.accept().await {
            let _ = stream.read(&mut [0; 64]).await;
            stream.write_all(b"from the host").await.unwrap();
        }
    });
    let speaker = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let speaks_first = format!("{own}:{}", speaker.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = speaker.accept().await {
            stream.write_all(b"from the host").await.unwrap();
        }
    });
    let allow: &'static str = Box::leak(own.to_string().into_boxed_str());
    let node = Node::start(Setup { egress_allow: vec![allow], ..Setup::default() }).await;
    let client = node.client(1);
    client.start_with(true, json!({"Image": "test"})).await;
    let workerd = Workerd::answering(202).await;
    client.set_egress(workerd.settings(&["*"], true)).await;
    for _ in 0..2 {
        let said = say(&client, &address, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        assert_eq!(said, "read: from the host");
    }
    assert_eq!(workerd.asked().len(), 1);
    // A server that speaks first is waited for by nobody.
    assert_eq!(tried(&client, "connect", &speaks_first).await, "read: from the host");
    assert_eq!(workerd.asked().len(), 1);
    // What is denied stays denied.
    let denied = say(&client, "10.0.0.1:80", "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert!(denied.ends_with("ConnectionReset"), "{denied}");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_passes_while_the_worker_cannot_be_asked_and_its_successor_is_waited_for() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let client = node.client(1);
    client.start_with(true, json!({"Image": "test"})).await;
    let old = Workerd::answering(202).await;
    client.set_egress(old.settings(&["a.test"], true)).await;
    // workerd was started anew and has heard of no handler yet.
    client.set_egress(json!({"port": old.port})).await;
    let request = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let waiting = say(&client, "9.9.9.9:80", request);
    let new = Workerd::answering(200).await;
    let intercept = async {
        soon("the question", async {
            while old.asked().is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        client.set_egress(new.settings(&["a.test"], true)).await;
    };
    let (said, ()) = tokio::join!(waiting, intercept);
    assert!(said.starts_with("read: handled"), "{said}");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_handles_is_not_forgotten_when_the_agent_is_replaced() {
    needs_root!();
    let node = Node::running(&["/app", "serve"]).await;
    let client = node.client(1);
    client.start().await;
    let workerd = Workerd::answering(200).await;
    client.set_egress(workerd.settings(&["a.test"], false)).await;
    let before = client.authority().await;
    let node = node.restart(|_| {}).await;
    let client = node.client(1);
    assert_eq!(client.on("GET", "", "/json").await.status, 200);
    assert_eq!(client.authority().await, before, "instances trust the next agent too");
    // The next workerd knows a port first, and its handlers when its Worker has intercepted.
    client.set_egress(json!({"port": workerd.port})).await;
    let said = say(&client, "9.9.9.9:80", "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert!(said.starts_with("read: handled"), "{said}");
    node.end().await;
}
