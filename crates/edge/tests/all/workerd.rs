//! In front of the real workerd: WebSockets, large bodies, deploys and crashes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use workers::spec::{Module, ModuleKind};
use workers::{Options, WorkerProcess, WorkerSpec, toolchain};

use crate::process::{DEADLINE, Rig, fed, text};

const CODE: &str = r#"
export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/ws") {
      const [client, server] = Object.values(new WebSocketPair());
      server.accept();
      server.addEventListener("message", ({ data }) => server.send(`echo ${data}`));
      return new Response(null, { status: 101, webSocket: client });
    }
    if (pathname === "/echo") return new Response(request.body);
    if (pathname === "/cf") return Response.json([request.url, request.cf.country]);
    if (pathname === "/slow") await scheduler.wait(300);
    return new Response("VERSION");
  },
};
"#;

fn spec(dir: &Path, version: &str) -> WorkerSpec {
    WorkerSpec {
        name: "test".to_owned(),
        modules: vec![Module {
            name: "index.js".to_owned(),
            kind: ModuleKind::EsModule,
            contents: CODE.replace("VERSION", version).into_bytes(),
            source_map: None,
        }],
        compatibility_date: "2026-11-17".to_owned(),
        compatibility_flags: vec![],
        bindings: vec![],
        durable_objects: vec![],
        assets: None,
        crons: vec![],
        container_engine: None,
        objects: dir.join("objects"),
        private_network: false,
        attribute_logs: false,
    }
}

/// An edge in front of a Worker.
async fn rig() -> (Rig, WorkerProcess, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let options = toolchain::Options {
        cache_dir: Path::new(env!("CARGO_TARGET_TMPDIR")).join("toolchain"),
        workerd: None,
        esbuild: None,
        npm: "npm".into(),
    };
    let toolchain = toolchain::ensure(&options, &|_| {}).await.expect("npm installs it");
    let options = Options {
        workerd: toolchain.workerd,
        run_dir: dir.path().join("run"),
        grace: Duration::from_secs(5),
    };
    let (process, _events) = WorkerProcess::new(options).expect("a host");
    let rig = Rig::with(|config| {
        config.upstream = process.upstream();
        config.headers = workers::ingress_headers("http")
            .into_iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
    })
    .await;
    process.deploy(spec(dir.path(), "1"), rig.serving.drained()).await.expect("it starts");
    (rig, process, dir)
}

#[tokio::test]
async fn a_web_socket_echoes() {
    let (rig, process, _dir) = rig().await;
    let mut stream = TcpStream::connect(rig.address).await.expect("an edge");
    let request = "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("an edge");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8(head).expect("text").to_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("sec-websocket-accept"), "{head}");
    for said in ["a", "b"] {
        // One masked text frame with the mask zero.
        let frame = [&[0x81, 0x80 | 1, 0, 0, 0, 0], said.as_bytes()].concat();
        stream.write_all(&frame).await.expect("a tunnel");
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).await.expect("an echo");
        assert_eq!(answer, [&[0x81, 6], format!("echo {said}").as_bytes()].concat()[..]);
    }
    process.stop().await;
    let end = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut Vec::new())).await;
    end.expect("the tunnel ends with its process").ok();
}

#[tokio::test]
async fn ten_megabytes_go_through_a_worker_and_back() {
    let (rig, process, _dir) = rig().await;
    let (sender, body) = fed();
    let request = Request::post("/echo").header("host", "x").body(body).expect("a request");
    let feed = tokio::spawn(async move {
        for n in 0..160_u8 {
            sender.send(vec![n; 1 << 16].into()).await.expect("a reader");
        }
    });
    let answer = rig.start(request).await;
    let whole = answer.into_body().collect().await.expect("a body").to_bytes();
    feed.await.expect("no panic");
    assert_eq!(whole.len(), 160 << 16);
    assert!(
        whole
            .chunks(1 << 16)
            .enumerate()
            .all(|(n, block)| block.iter().all(|b| usize::from(*b) == n))
    );
    process.stop().await;
}

#[tokio::test]
async fn the_worker_sees_the_clients_url_and_a_cf_object() {
    let (rig, process, _dir) = rig().await;
    assert_eq!(rig.get("/cf").await.body(), r#"["http://site.test/cf","XX"]"#);
    process.stop().await;
}

#[tokio::test]
async fn a_deploy_and_a_kill_are_not_seen_by_clients() {
    let (rig, process, dir) = rig().await;
    let rig = Arc::new(rig);
    let slow = tokio::spawn({
        let rig = Arc::clone(&rig);
        async move { rig.get("/slow").await }
    });
    // Once the slow request is in flight …
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while tokio::time::timeout(Duration::from_millis(1), rig.serving.drained()).await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    // … a deploy lets it finish, and holds the next until the new version serves.
    let deploy = process.deploy(spec(dir.path(), "2"), rig.serving.drained());
    let mut upstream = process.upstream();
    let next = async {
        upstream.wait_for(Option::is_none).await.expect("a host");
        rig.get("/").await
    };
    let (deployed, next) = tokio::join!(deploy, next);
    deployed.expect("it starts");
    assert_eq!((next.status(), &next.body()[..]), (StatusCode::OK, &b"2"[..]));
    assert_eq!(slow.await.expect("no panic").body(), "1");

    let pid = process.pid().expect("a process").cast_signed();
    let pid = rustix::process::Pid::from_raw(pid).expect("an ID");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("a process");
    let request = Request::get("/").header("host", "x").body(text("")).expect("a request");
    assert_eq!(rig.start(request).await.status(), StatusCode::OK);
    process.stop().await;
}
