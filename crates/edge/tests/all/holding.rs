//! Requests while there is no process, while one is replaced, and at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::process::{DEADLINE, Process, Rig, fed, ok, text};

#[tokio::test]
async fn a_request_waits_for_the_first_process() {
    let rig = Rig::new().await;
    let (answer, _process) = tokio::join!(rig.get("/"), async {
        tokio::task::yield_now().await;
        rig.process("a", |_| async { ok("at last") })
    });
    assert_eq!(answer.body(), "at last");
}

#[tokio::test]
async fn a_request_does_not_wait_forever() {
    let mut rig = Rig::with(|config| config.hold = Duration::from_millis(20)).await;
    let answer = rig.get("/").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body().starts_with(b"the Worker did not start within"), "{answer:?}");
    let event = rig.event().await;
    assert_eq!(event.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(event.error.is_some());
}

#[tokio::test]
async fn replacing_the_process_under_load_fails_no_request() {
    let rig = Arc::new(Rig::new().await);
    let mut process = rig.process("p0", |_| async { ok("0") });
    let stop = Arc::new(AtomicU32::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (rig, stop) = (Arc::clone(&rig), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut answers = 0;
                while stop.load(Ordering::SeqCst) == 0 {
                    let answer = rig.get("/").await;
                    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
                    answers += 1;
                }
                answers
            })
        })
        .collect();
    for n in 1..=20 {
        // As `WorkerProcess::deploy` does it.
        rig.upstream.send_replace(None);
        rig.site.drained().await;
        drop(process);
        tokio::task::yield_now().await;
        process = rig.process(&format!("p{n}"), move |_| async move { ok(n.to_string()) });
        assert!(rig.get("/").await.body() == n.to_string().as_str());
    }
    stop.store(1, Ordering::SeqCst);
    for client in clients {
        assert!(client.await.expect("no request failed") > 0);
    }
}

#[tokio::test]
async fn a_process_that_died_unannounced_is_waited_for_anew() {
    let rig = Rig::new().await;
    drop(rig.process("a", |_| async { ok("a") }));
    // Its path is still the current one, and nobody listens there.
    let (answer, _process) = tokio::join!(rig.get("/"), async {
        tokio::time::timeout(DEADLINE, rig.site.drained()).await.expect("waiting is no work");
        rig.process("b", |_| async { ok("b") })
    });
    assert_eq!(answer.body(), "b");
}

/// A process that closes the connection of its first request at the second one, and what it has got.
fn closing_at_the_second_request(rig: &Rig) -> (Arc<AtomicU32>, Process) {
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let process = rig.process("a", move |_| {
        let n = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            assert_ne!(n, 1, "cuts the connection");
            ok("fine")
        }
    });
    (count, process)
}

#[tokio::test]
async fn a_request_on_a_kept_connection_that_just_closed_is_repeated_once_if_that_is_safe() {
    let rig = Rig::new().await;
    let (count, _process) = closing_at_the_second_request(&rig);
    assert_eq!(rig.get("/").await.body(), "fine");
    assert_eq!(rig.get("/").await.body(), "fine");
    assert_eq!(count.load(Ordering::SeqCst), 3);

    let rig = Rig::new().await;
    let (count, _process) = closing_at_the_second_request(&rig);
    assert_eq!(rig.get("/").await.body(), "fine");
    let answer = rig.send(Request::post("/")).await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY, "a POST may have done its work already");
    assert!(answer.body().starts_with(b"the Worker's process did not answer: "), "{answer:?}");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn shutdown_lets_a_request_finish_and_answers_those_that_wait() {
    let rig = Rig::new().await;
    let (sender, body) = fed();
    let body = std::sync::Mutex::new(Some(body));
    let _process = rig.process("a", move |_| {
        let body = body.lock().expect("one thread").take().expect("one request");
        async move { http::Response::new(body) }
    });
    let request = Request::get("/").header("host", "x").body(text("")).expect("a request");
    let answer = rig.start(request).await;
    rig.upstream.send_replace(None);
    let waiting = {
        let mut stream = TcpStream::connect(rig.address).await.expect("an edge");
        stream.write_all(b"GET /waits HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("an edge");
        stream
    };
    let address = rig.address;
    let shutdown = tokio::spawn(rig.serving.shutdown(DEADLINE));
    let mut said = String::new();
    let mut waiting = waiting;
    tokio::io::AsyncReadExt::read_to_string(&mut waiting, &mut said).await.expect("text");
    assert!(said.contains("berth is shutting down") || said.is_empty(), "{said}");
    assert!(!shutdown.is_finished());
    sender.send("the rest".into()).await.expect("a reader");
    drop(sender);
    assert_eq!(answer.into_body().collect().await.expect("whole").to_bytes(), "the rest");
    tokio::time::timeout(DEADLINE, shutdown).await.expect("in time").expect("no panic");
    assert!(TcpStream::connect(address).await.is_err(), "nothing listens");
}

#[tokio::test]
async fn shutdown_cuts_what_does_not_end_in_time() {
    let rig = Rig::new().await;
    let _process = rig.process("a", |_| std::future::pending());
    let mut stream = TcpStream::connect(rig.address).await.expect("an edge");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("an edge");
    let shutdown = rig.serving.shutdown(Duration::from_millis(50));
    tokio::time::timeout(DEADLINE, shutdown).await.expect("in time");
}
