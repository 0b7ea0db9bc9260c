//! HTTP/2 without TLS: what becomes of it on the way to a process that speaks HTTP/1.1.

use http::{Method, Request, StatusCode, Version};
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process::{Body, DEADLINE, Rig, fed, ok, text};
use crate::tunnels::echo;

async fn client(rig: &Rig) -> SendRequest<Body> {
    let stream = TcpStream::connect(rig.address).await.expect("an edge");
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(stream))
        .await
        .expect("HTTP/2 with prior knowledge");
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn a_request_arrives_as_one_of_http_1_with_its_host_and_one_cookie() {
    let mut rig = Rig::new().await;
    let _process = rig.process("a", |request| async move {
        let of = |name: &str| request.headers().get_all(name).iter().cloned().collect::<Vec<_>>();
        ok(format!("{} {:?} {:?}", request.uri(), of("host"), of("cookie")))
    });
    let request = Request::get("http://site.test/a?b=c")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(text(""))
        .expect("a request");
    let answer = client(&rig).await.send_request(request).await.expect("an answer");
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
    assert!(answer.headers().contains_key("cf-ray"));
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(body, r#"/a?b=c ["site.test"] ["a=1; b=2"]"#);
    let event = rig.event().await;
    assert_eq!((event.version, event.host.as_deref()), (Version::HTTP_2, Some("site.test")));
    assert_eq!((event.scheme, event.sent), ("http", body.len() as u64));
}

#[tokio::test]
async fn many_requests_share_a_connection_and_stream_both_ways() {
    let rig = Rig::new().await;
    let _process =
        rig.process("a", |request| async move { http::Response::new(request.into_body().boxed()) });
    let client = client(&rig).await;
    let mut all = tokio::task::JoinSet::new();
    for n in 0..20_u8 {
        let mut client = client.clone();
        all.spawn(async move {
            let (sender, body) = fed();
            let request = Request::post("http://x/").body(body).expect("a request");
            // The answer's head comes before the request's body ends: nothing is collected.
            let answer = client.send_request(request).await.expect("an answer");
            let feed = tokio::spawn(async move {
                for _ in 0..8 {
                    sender.send(vec![n; 1 << 15].into()).await.expect("a reader");
                }
            });
            let whole = answer.into_body().collect().await.expect("a body").to_bytes();
            feed.await.expect("no panic");
            assert!(whole.len() == 8 << 15 && whole.iter().all(|byte| *byte == n));
        });
    }
    all.join_all().await;
}

#[tokio::test]
async fn a_web_socket_goes_through_a_stream_of_its_own() {
    let mut rig = Rig::new().await;
    let _process = rig.process("a", |request| async move {
        let asked = request.headers().contains_key("sec-websocket-key");
        assert!(asked && request.method() == Method::GET, "the process is asked as by HTTP/1.1");
        echo(request)
    });
    let mut client = client(&rig).await;
    let request = Request::connect("http://x/ws")
        .header("sec-websocket-version", "13")
        .extension(Protocol::from_static("websocket"))
        .body(text(""))
        .expect("a request");
    let answer = client.send_request(request).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(!answer.headers().contains_key("upgrade"));
    let mut tunnel = TokioIo::new(hyper::upgrade::on(answer).await.expect("a tunnel"));
    for said in [&b"hello"[..], &[42; 100_000]] {
        tunnel.write_all(said).await.expect("a tunnel");
        let mut heard = vec![0; said.len()];
        tunnel.read_exact(&mut heard).await.expect("an echo");
        assert_eq!(heard, said);
    }
    let event = rig.event().await;
    assert!(event.upgraded && event.status == StatusCode::OK, "{event:?}");
    // Another protocol, or none, is refused as over HTTP/1.1.
    let request = Request::connect("x:1").body(text("")).expect("a request");
    let answer = client.send_request(request).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    // The edge's end does not wait for it.
    let shutdown = rig.serving.shutdown(std::time::Duration::from_secs(600));
    tokio::time::timeout(DEADLINE, shutdown).await.expect("in time");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_by_both_versions() {
    let rig = Rig::new().await;
    let _process = rig.process("a", |_| async { ok("") });
    let large = "x".repeat(140 << 10);
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx-large: {large}\r\n\r\n");
    let answer = rig.raw(&head).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let request = Request::get("http://x/");
    let request = (0..20)
        .fold(request, |request, n| request.header(format!("x-large-{n}"), "x".repeat(7 << 10)));
    let answer = client(&rig).await.send_request(request.body(text("")).expect("a request")).await;
    assert_eq!(answer.expect("an answer").status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}
