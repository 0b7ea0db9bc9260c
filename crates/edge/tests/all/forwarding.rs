//! What passes, what is added, what is refused, and what is told.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use edge::{BindError, Edge};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::{DEADLINE, Rig, fed, ok, text};

/// Answers with the request's head, as the process sees it, but for the ray that every one has.
fn head(request: &Request<hyper::body::Incoming>) -> String {
    let mut lines: Vec<_> = request
        .headers()
        .iter()
        .filter(|(name, _)| *name != "cf-ray")
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().expect("text")))
        .collect();
    lines.sort();
    format!("{} {}\n{}", request.method(), request.uri(), lines.concat())
}

#[tokio::test]
async fn a_request_arrives_as_the_client_sent_it_with_its_address_added() {
    let own = (HeaderName::from_static("x-own"), HeaderValue::from_static("1"));
    let rig = Rig::with(|config| config.headers = Arc::new(move |_| vec![own.clone()])).await;
    let _process = rig.process("a", |request| async move { ok(head(&request)) });
    let answer = rig
        .send(
            Request::get("/a%20b?c=d&e=%2F")
                .header("cookie", "x=y")
                .header("x-own", "client's")
                .header("connection", "keep-alive, x-secret")
                .header("x-secret", "between neighbours")
                .header("cf-connecting-ip", "6.6.6.6"),
        )
        .await;
    let expected = "GET /a%20b?c=d&e=%2F\ncf-connecting-ip: 127.0.0.1\n\
                    cf-visitor: {\"scheme\":\"http\"}\ncookie: x=y\nhost: site.test\n\
                    x-forwarded-for: 127.0.0.1\nx-forwarded-proto: http\nx-own: 1\n";
    assert_eq!(answer.body(), expected);
}

#[tokio::test]
async fn an_answer_passes_with_its_status_and_headers() {
    let mut rig = Rig::new().await;
    let _process = rig.process("a", |_| async {
        let mut answer = ok("teapot");
        *answer.status_mut() = StatusCode::IM_A_TEAPOT;
        answer.headers_mut().append("set-cookie", HeaderValue::from_static("a=1"));
        answer.headers_mut().append("set-cookie", HeaderValue::from_static("b=2"));
        answer.headers_mut().insert("keep-alive", HeaderValue::from_static("timeout=5"));
        answer
    });
    let answer = rig.get("/pot").await;
    assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::IM_A_TEAPOT, &b"teapot"[..]));
    assert_eq!(answer.headers().get_all("set-cookie").iter().count(), 2);
    assert!(!answer.headers().contains_key("keep-alive"));
    let event = rig.event().await;
    assert_eq!(
        (event.method, event.path.as_str(), event.status),
        (Method::GET, "/pot", StatusCode::IM_A_TEAPOT)
    );
    assert_eq!((event.upgraded, event.error), (false, None));
}

#[tokio::test]
async fn ten_megabytes_stream_both_ways_at_once() {
    let rig = Rig::new().await;
    let _process =
        rig.process("a", |request| async move { Response::new(request.into_body().boxed()) });
    let (sender, body) = fed();
    let request = Request::post("/echo").header("host", "x").body(body).expect("a request");
    // The answer's head comes before the request's body ends: nothing is collected on the way.
    let answer = rig.start(request).await;
    let block = Bytes::from(vec![7; 1 << 20]);
    let feed = tokio::spawn(async move {
        for _ in 0..10 {
            sender.send(block.clone()).await.expect("a reader");
        }
    });
    let whole = answer.into_body().collect().await.expect("a body").to_bytes();
    feed.await.expect("no panic");
    assert_eq!(whole.len(), 10 << 20);
    assert!(whole.iter().all(|byte| *byte == 7));
}

#[tokio::test]
async fn connections_to_the_process_are_kept_and_none_is_shared_by_two_requests() {
    let rig = Rig::new().await;
    let (now, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let _process = rig.process("a", {
        let most = Arc::clone(&most);
        move |_| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let now = Arc::clone(&now);
            async move {
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                ok("x")
            }
        }
    });
    for _ in 0..50 {
        let answers = futures_of(&rig, 8).await;
        assert!(answers.iter().all(|answer| answer == "x"));
    }
    assert!(most.load(Ordering::SeqCst) > 1, "requests run side by side");
}

async fn futures_of(rig: &Rig, count: usize) -> Vec<Bytes> {
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..count {
        let address = rig.address;
        set.spawn(async move {
            let stream = TcpStream::connect(address).await.expect("an edge");
            let io = hyper_util::rt::TokioIo::new(stream);
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(io).await.expect("HTTP");
            tokio::spawn(connection);
            let request = Request::get("/").header("host", "x").body(text("")).expect("a request");
            let answer = sender.send_request(request).await.expect("an answer");
            answer.into_body().collect().await.expect("a body").to_bytes()
        });
    }
    set.join_all().await
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_request_at_the_process() {
    let mut rig = Rig::new().await;
    let (gone, mut is_gone) = tokio::sync::mpsc::channel::<()>(1);
    let (arrived, mut has_arrived) = tokio::sync::mpsc::channel::<()>(1);
    let _process = rig.process("a", move |_| {
        let (gone, arrived) = (gone.clone(), arrived.clone());
        async move {
            // Dropped with this future, when the edge hangs up.
            let _gone = Told(gone);
            arrived.send(()).await.expect("a test");
            std::future::pending().await
        }
    });
    let mut stream = TcpStream::connect(rig.address).await.expect("an edge");
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("an edge");
    has_arrived.recv().await.expect("the request arrives");
    drop(stream);
    tokio::time::timeout(DEADLINE, is_gone.recv()).await.expect("in time").expect("told");
    let event = rig.event().await;
    assert_eq!(event.status.as_u16(), 499);
    assert_eq!(event.error.as_deref(), Some("the client went away"));
    tokio::time::timeout(DEADLINE, rig.site.drained()).await.expect("nothing is in flight");
}

struct Told(tokio::sync::mpsc::Sender<()>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.try_send(()).expect("room for one");
    }
}

#[tokio::test]
async fn a_process_that_breaks_off_is_told_with_its_reason() {
    let mut rig = Rig::new().await;
    let (sender, body) = fed();
    let body = std::sync::Mutex::new(Some(body));
    let process = rig.process("a", move |_| {
        let body = body.lock().expect("one thread").take().expect("one request");
        async move { Response::new(body) }
    });
    let request = Request::get("/").header("host", "x").body(text("")).expect("a request");
    let answer = rig.start(request).await;
    sender.send(Bytes::from_static(b"begin")).await.expect("a reader");
    drop(process);
    assert!(answer.into_body().collect().await.is_err(), "a cut answer must not look whole");
    let event = rig.event().await;
    assert_eq!(event.status, StatusCode::OK);
    assert!(event.error.is_some(), "{event:?}");
}

#[tokio::test]
async fn an_intercepted_request_reaches_no_process() {
    let mut rig = Rig::with(|config| {
        config.intercept = Some(Arc::new(|parts| {
            (parts.uri.path() == "/own").then(|| {
                let answer = Response::new(Full::new(Bytes::from_static(b"own answer")));
                Box::pin(std::future::ready(answer)) as _
            })
        }));
    })
    .await;
    assert_eq!(rig.get("/own").await.body(), "own answer");
    assert_eq!(rig.event().await.status, StatusCode::OK);
    let _process = rig.process("a", |_| async { ok("process") });
    assert_eq!(rig.get("/other").await.body(), "process");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let first = Edge::bind(localhost, 0).await.expect("a port");
    let taken = first.local_addr().expect("an address").port();
    let error = Edge::bind(localhost, taken).await.expect_err("the port is taken");
    assert!(matches!(error, BindError::PortInUse { port, .. } if port == taken), "{error:?}");
    assert_eq!(error.to_string(), format!("port {taken} of 127.0.0.1 is already in use"));
    let nowhere = "192.0.2.1".parse().expect("an address");
    let error = Edge::bind(nowhere, 0).await.expect_err("not ours");
    assert!(matches!(error, BindError::Io { .. }), "{error:?}");
}

#[tokio::test]
async fn two_lengths_or_a_broken_one_are_refused_before_the_process_sees_them() {
    let rig = Rig::new().await;
    let seen = Arc::new(AtomicU32::new(0));
    let _process = rig.process("a", {
        let seen = Arc::clone(&seen);
        move |request| {
            seen.fetch_add(1, Ordering::SeqCst);
            async move {
                let lengths = request.headers().contains_key("content-length");
                let chunked = request.headers().contains_key("transfer-encoding");
                let body = request.into_body().collect().await.expect("a body").to_bytes();
                ok(format!("{lengths} {chunked} {}", body.len()))
            }
        }
    });
    for head in [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: +5\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding : chunked\r\n",
        "x: a\r\n\u{b} folded\r\n",
    ] {
        let answer = rig.raw(&format!("POST / HTTP/1.1\r\nhost: x\r\n{head}\r\n0\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{head:?}: {answer}");
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0);
    // Both kinds of framing at once: the chunks count and the length does not pass.
    let both = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 50\r\n\
                transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let answer = rig.raw(both).await;
    assert!(answer.starts_with("HTTP/1.1 400") || answer.ends_with("false true 3"), "{answer}");
}

#[tokio::test]
async fn odd_requests_get_an_answer_of_their_own() {
    let rig = Rig::new().await;
    let _process = rig.process("a", |request| async move { ok(head(&request)) });
    let answer = rig.raw("GET / HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let answer = rig.raw("CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    let answer = rig.raw("GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.contains("host: localhost\n"), "{answer}");
    let absolute = "GET http://real.test/p HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n";
    let answer = rig.raw(absolute).await;
    assert!(answer.contains("GET /p\n") && answer.contains("host: real.test\n"), "{answer}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let rig = Rig::new().await;
    let _process = rig.process("a", |request| async move { ok(request.uri().path().to_owned()) });
    let mut stream = TcpStream::connect(rig.address).await.expect("an edge");
    let requests =
        "GET /1 HTTP/1.1\r\nhost: x\r\n\r\nGET /2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(requests.as_bytes()).await.expect("an edge");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.expect("text");
    let (first, second) = (answers.find("/1").expect("one"), answers.find("/2").expect("two"));
    assert!(first < second);
}
