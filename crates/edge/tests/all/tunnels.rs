//! Connections that stop being HTTP.

use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::{Body, DEADLINE, Rig, ok, text};

/// Agrees to any upgrade and then echoes bytes.
pub(crate) fn echo(mut request: Request<hyper::body::Incoming>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut io = TokioIo::new(upgrade.await.expect("an upgrade"));
        let mut buffer = [0; 1024];
        while let Ok(n @ 1..) = io.read(&mut buffer).await {
            io.write_all(&buffer[..n]).await.expect("a reader");
        }
    });
    let mut answer = ok("");
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let protocol = request.headers()["upgrade"].clone();
    answer.headers_mut().insert("upgrade", protocol);
    answer.headers_mut().insert("connection", HeaderValue::from_static("Upgrade"));
    answer
}

async fn upgraded(rig: &Rig) -> TcpStream {
    let mut stream = TcpStream::connect(rig.address).await.expect("an edge");
    let request = "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: own/1\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("an edge");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8(head).expect("text").to_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(
        head.contains("upgrade: own/1\r\n") && head.contains("connection: upgrade\r\n"),
        "{head}"
    );
    stream
}

async fn echoes(stream: &mut TcpStream, said: &[u8]) {
    stream.write_all(said).await.expect("a tunnel");
    let mut heard = vec![0; said.len()];
    stream.read_exact(&mut heard).await.expect("an echo");
    assert_eq!(heard, said);
}

#[tokio::test]
async fn bytes_go_both_ways_after_an_upgrade() {
    let mut rig = Rig::new().await;
    let _process = rig.process("a", |request| async move { echo(request) });
    let mut stream = upgraded(&rig).await;
    let event = rig.event().await;
    assert!(event.upgraded && event.status == StatusCode::SWITCHING_PROTOCOLS, "{event:?}");
    echoes(&mut stream, b"hello").await;
    echoes(&mut stream, &vec![42; 100_000]).await;
    tokio::time::timeout(DEADLINE, rig.site.drained()).await.expect("a tunnel is not in flight");
}

#[tokio::test]
async fn a_tunnel_ends_with_its_process_and_other_requests_do_not_use_its_connection() {
    let rig = Rig::new().await;
    let process = rig.process("a", |request| async move {
        if request.headers().contains_key("upgrade") { echo(request) } else { ok("plain") }
    });
    let mut stream = upgraded(&rig).await;
    assert_eq!(rig.get("/").await.body(), "plain");
    echoes(&mut stream, b"still").await;
    drop(process);
    // The echo above belongs to a task of its own, so only its side of the socket ends it.
    stream.shutdown().await.expect("a tunnel");
    let end = tokio::time::timeout(DEADLINE, stream.read_u8()).await.expect("in time");
    assert!(end.is_err());
}

#[tokio::test]
async fn a_refused_upgrade_is_a_plain_answer() {
    let rig = Rig::new().await;
    let _process = rig.process("a", |_| async {
        let mut answer = ok("no");
        *answer.status_mut() = StatusCode::UPGRADE_REQUIRED;
        answer
    });
    let request = Request::get("/").header("connection", "upgrade").header("upgrade", "websocket");
    let answer = rig.send(request).await;
    assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::UPGRADE_REQUIRED, &b"no"[..]));
}

#[tokio::test]
async fn an_upgrade_nobody_asked_for_is_an_error() {
    let rig = Rig::new().await;
    let _process = rig.process("a", |_| async {
        let mut answer = Response::new(text(""));
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        answer
    });
    assert_eq!(rig.get("/").await.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn shutdown_does_not_wait_for_tunnels() {
    let rig = Rig::new().await;
    let _process = rig.process("a", |request| async move { echo(request) });
    let mut stream = upgraded(&rig).await;
    let shutdown = rig.serving.shutdown(Duration::from_secs(600));
    tokio::time::timeout(DEADLINE, shutdown).await.expect("in time");
    let end = tokio::time::timeout(DEADLINE, stream.read_u8()).await.expect("in time");
    assert!(end.is_err());
}
