//! How other Workers of the machine reach one.

use std::path::Path;
use std::sync::Arc;

use edge::{Config, Door, Inside, Site};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::process::{Body, DEADLINE, Rig, ok};

/// A door to the sockets `e.sock` and `rpc.sock` beside the rig's current process.
fn door(rig: &Rig, path: &Path) -> Door {
    let config = Config {
        upstream: rig.upstream.subscribe(),
        hold: DEADLINE,
        headers: Arc::new(|_| vec![]),
        concurrency: None,
        intercept: None,
        observe: None,
    };
    let sockets = Inside { http: Some("e.sock".into()), rpc: "rpc.sock".into() };
    Door::open(path, Site::inside(config, sockets)).expect("a door")
}

/// Agrees to a `CONNECT` and echoes bytes.
fn echo(mut request: Request<Incoming>) -> Response<Body> {
    assert_eq!((request.method(), request.uri().to_string()), (&Method::CONNECT, "rpc:80".into()));
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut io = TokioIo::new(upgrade.await.expect("a tunnel"));
        let mut buffer = [0; 64];
        while let Ok(n @ 1..) = io.read(&mut buffer).await {
            io.write_all(&buffer[..n]).await.expect("a reader");
        }
    });
    ok("")
}

async fn head(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    String::from_utf8(head).expect("text")
}

#[tokio::test]
async fn a_request_waits_for_its_socket_and_is_passed_on_as_it_is() {
    let rig = Rig::new().await;
    let path = rig.dir.path().join("door");
    let _door = door(&rig, &path);
    let mut stream = UnixStream::connect(&path).await.expect("a door");
    let request = "GET /x HTTP/1.1\r\nhost: any.host\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("a door");
    let _entry = rig.process("e.sock", |request| async move {
        ok(format!("{} {:?}", request.uri(), request.headers()))
    });
    let _main = rig.process("http.sock", |_| async { ok("another socket") });
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.ends_with(r#"/x {"host": "any.host"}"#), "{answer}");
}

#[tokio::test]
async fn a_connect_becomes_a_tunnel_to_the_socket_for_calls() {
    let rig = Rig::new().await;
    let path = rig.dir.path().join("door");
    let open = door(&rig, &path);
    let mut stream = UnixStream::connect(&path).await.expect("a door");
    let connect = "CONNECT rpc:80 HTTP/1.1\r\nhost: rpc:80\r\n\r\n";
    stream.write_all(connect.as_bytes()).await.expect("a door");
    let _rpc = rig.process("rpc.sock", |request| async { echo(request) });
    let _main = rig.process("http.sock", |_| async { ok("another socket") });
    let answer = head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stream.write_all(b"a call").await.expect("a tunnel");
    let mut heard = [0; 6];
    stream.read_exact(&mut heard).await.expect("an echo");
    assert_eq!(&heard, b"a call");
    drop(open);
    assert!(!path.exists(), "a door that is closed leaves nothing");
    assert_eq!(stream.read(&mut heard).await.expect("an end"), 0, "its tunnels end with it");
}
