//! In front of the real workerd: WebSockets, large bodies, the end of a process.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

use crate::process::{DEADLINE, Rig, fed};

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

const CONFIG: &str = r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main)],
  sockets = [(name = "http", address = "unix:http.sock", service = "main",
    http = (cfBlobHeader = "x-berth-cf", forwardedProtoHeader = "x-berth-proto"))],
);
const main :Workerd.Worker = (
  modules = [(name = "index.js", esModule = embed "index.js")],
  compatibilityDate = "2026-11-17",
);
"#;

/// The workerd that the Worker host pins, installed once for these tests.
async fn workerd() -> &'static Path {
    static ONCE: OnceCell<PathBuf> = OnceCell::const_new();
    ONCE.get_or_init(|| async {
        let (name, package) = match std::env::consts::ARCH {
            "aarch64" => ("linux-arm64", "workerd-linux-arm64"),
            _ => ("linux-x64", "workerd-linux-64"),
        };
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("edge-workerd");
        fs_err::create_dir_all(&dir).expect("a folder");
        let pinned =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workers/toolchain").join(name);
        for file in ["package.json", "package-lock.json"] {
            fs_err::copy(pinned.join(file), dir.join(file)).expect("a file");
        }
        let npm = Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(&dir)
            .status();
        assert!(npm.await.expect("npm runs").success());
        dir.join("node_modules/@cloudflare").join(package).join("bin/workerd")
    })
    .await
}

/// Starts a Worker in a new folder; returns once it listens.
async fn start(dir: &Path, version: &str) -> (Child, PathBuf) {
    let dir = dir.join(version);
    fs_err::create_dir(&dir).expect("a folder");
    fs_err::write(dir.join("config.capnp"), CONFIG).expect("a file");
    fs_err::write(dir.join("index.js"), CODE.replace("VERSION", version)).expect("a file");
    let mut child = Command::new(workerd().await)
        .args(["serve", "--control-fd=1", "config.capnp"])
        .current_dir(&dir)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("workerd runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let line = lines.next_line().await.expect("a pipe").expect("a line");
    assert!(line.contains("listen"), "{line}");
    (child, dir.join("http.sock"))
}

/// An edge in front of a Worker.
async fn rig() -> (Rig, Child) {
    let rig = Rig::with(|config| {
        let headers = [("x-berth-cf", r#"{"country":"XX"}"#), ("x-berth-proto", "https")]
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        config.headers = Arc::new(move |_| headers.to_vec());
    })
    .await;
    let (child, socket) = start(rig.dir.path(), "1").await;
    rig.upstream.send_replace(Some(socket));
    (rig, child)
}

#[tokio::test]
async fn a_web_socket_echoes() {
    let (rig, mut child) = rig().await;
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
    child.kill().await.expect("a process");
    let end = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut Vec::new())).await;
    end.expect("the tunnel ends with its process").ok();
}

#[tokio::test]
async fn ten_megabytes_go_through_a_worker_and_back() {
    let (rig, _child) = rig().await;
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
}

#[tokio::test]
async fn the_worker_sees_the_clients_url_and_a_cf_object() {
    let (rig, _child) = rig().await;
    assert_eq!(rig.get("/cf").await.body(), r#"["https://site.test/cf","XX"]"#);
}

#[tokio::test]
async fn neither_a_replacement_nor_a_kill_is_seen_by_clients() {
    let (rig, mut child) = rig().await;
    let rig = Arc::new(rig);
    let slow = tokio::spawn({
        let rig = Arc::clone(&rig);
        async move { rig.get("/slow").await }
    });
    // Once the slow request is in flight …
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let drained = || tokio::time::timeout(Duration::from_millis(1), rig.site.drained());
    while drained().await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    // … it is let finish, and the next is held until the new process serves.
    rig.upstream.send_replace(None);
    let replace = async {
        rig.site.drained().await;
        child.kill().await.expect("a process");
        let (new, socket) = start(rig.dir.path(), "2").await;
        rig.upstream.send_replace(Some(socket));
        new
    };
    let (mut child, next) = tokio::join!(replace, rig.get("/"));
    assert_eq!((next.status(), &next.body()[..]), (StatusCode::OK, &b"2"[..]));
    assert_eq!(slow.await.expect("no panic").body(), "1");

    // A kill that nobody has told of yet.
    child.start_kill().expect("a process");
    let replace = async {
        child.wait().await.expect("a process");
        rig.upstream.send_replace(None);
        let (new, socket) = start(rig.dir.path(), "3").await;
        rig.upstream.send_replace(Some(socket));
        new
    };
    let (_child, next) = tokio::join!(replace, rig.get("/"));
    assert_eq!((next.status(), &next.body()[..]), (StatusCode::OK, &b"3"[..]));
}
