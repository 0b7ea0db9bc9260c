//! What a client or a Worker may take up, and where clients are sent elsewhere.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use edge::{Edge, Front};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::process::{Rig, ok, text};

#[tokio::test]
async fn one_request_more_than_a_worker_may_have_is_told_to_come_again() {
    let rig = Rig::with(|config| config.concurrency = Some(2)).await;
    let (gate, arrived) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let _process = rig.process("a", {
        let (gate, arrived) = (Arc::clone(&gate), Arc::clone(&arrived));
        move |_| {
            let (gate, arrived) = (Arc::clone(&gate), Arc::clone(&arrived));
            async move {
                arrived.add_permits(1);
                gate.acquire().await.expect("open").forget();
                ok("done")
            }
        }
    });
    let get = || Request::get("/").header("host", "x").body(text("")).expect("a request");
    let busy = async {
        let (one, other) = tokio::join!(rig.start(get()), rig.start(get()));
        [one, other].map(|answer| answer.status())
    };
    let more = async {
        arrived.acquire_many(2).await.expect("open").forget();
        let refused = rig.get("/").await;
        gate.add_permits(3);
        refused
    };
    let (answers, refused) = tokio::join!(busy, more);
    assert_eq!(answers, [StatusCode::OK; 2]);
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    let text = String::from_utf8_lossy(refused.body());
    assert!(text.contains("2 requests at once"), "{text}");
    assert_eq!(rig.get("/").await.status(), StatusCode::OK, "there is room again");
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_told_to_go_on() {
    let rig = Rig::new().await;
    let _process = rig.process("a", |request| async move {
        assert!(!request.headers().contains_key("expect"));
        ok(request.into_body().collect().await.expect("a body").to_bytes())
    });
    let mut stream = TcpStream::connect(rig.address).await.expect("an edge");
    let head = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\n\
                content-length: 4\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("an edge");
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.expect("an answer before the body");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").await.expect("an edge");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("body"), "{answer}");
}

#[tokio::test]
async fn plain_requests_are_sent_on_to_tls() {
    for (port, place) in [(443, "https://a.test/b?c=d"), (8443, "https://a.test:8443/b?c=d")] {
        let edge = Edge::bind(IpAddr::V4(Ipv4Addr::LOCALHOST), 0).await.expect("a port");
        let address = edge.local_addr().expect("an address");
        let _serving = edge.serve_sites(Front::new(Arc::new(|_| None)).redirecting(port));
        let mut stream = TcpStream::connect(address).await.expect("an edge");
        let request = "POST /b?c=d HTTP/1.1\r\nhost: a.test:80\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("an edge");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("text");
        assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
        assert!(answer.contains(&format!("location: {place}\r\n")), "{answer}");
    }
}

#[tokio::test]
async fn what_a_trusted_proxy_received_with_tls_is_not_sent_on() {
    let edge = Edge::bind(IpAddr::V4(Ipv4Addr::LOCALHOST), 0).await.expect("a port");
    let address = edge.local_addr().expect("an address");
    let front = Front::new(Arc::new(|_| None)).redirecting(443);
    let _serving = edge.serve_sites(front.trusting(Arc::new(|address| address.is_loopback())));
    for (scheme, status) in [("https", 404), ("http", 308)] {
        let mut stream = TcpStream::connect(address).await.expect("an edge");
        let request = format!(
            "GET / HTTP/1.1\r\nhost: a.test\r\nx-forwarded-proto: {scheme}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("an edge");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("text");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
}
