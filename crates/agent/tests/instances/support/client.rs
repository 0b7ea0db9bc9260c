//! What workerd sends, byte for byte where it matters: no keep-alive, `Host: localhost`, chunked
//! empty bodies for calls without one.

use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::soon;

/// A response.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) text: String,
    pub(crate) bytes: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
}

/// One Durable Object's way to its container.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    socket: PathBuf,
    pub(crate) name: String,
}

/// A connection through a sidecar to a port of the program.
#[derive(Debug)]
pub(crate) struct Tunnel(pub(crate) TcpStream);

/// What came out of an exec.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Frames {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Client {
    pub(crate) fn new(socket: PathBuf, object: u8) -> Self {
        let object = format!("{object:02x}").repeat(32);
        Self { socket, name: format!("workerd-app-MyContainer-{object}") }
    }

    /// One call with a JSON body, or with none.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        stream.write_all(&request(method, path, body.as_ref(), "")).await.unwrap();
        soon(path, read_reply(&mut stream)).await
    }

    /// `PUT` of an archive.
    pub(crate) async fn put_archive(&self, path: &str, archive: &[u8]) -> Reply {
        self.put_archive_into(&self.name, path, archive).await
    }

    /// The same for a container of another name.
    pub(crate) async fn put_archive_into(&self, name: &str, path: &str, archive: &[u8]) -> Reply {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        let head = format!(
            "PUT /containers/{}/archive?path={path} HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
            name,
            archive.len()
        );
        stream.write_all(&[head.as_bytes(), archive].concat()).await.unwrap();
        soon(path, read_reply(&mut stream)).await
    }

    /// Runs a command to its end and gives what it printed.
    pub(crate) async fn run(&self, command: &[&str]) -> String {
        self.exec(command, b"").await.0.stdout
    }

    /// A call about the container (`""`) or its sidecar (`"-proxy"`).
    pub(crate) async fn on(&self, method: &str, kind: &str, call: &str) -> Reply {
        self.call(method, &format!("/containers/{}{kind}{call}", self.name), None).await
    }

    pub(crate) async fn create(&self, kind: &str, body: Value) -> Reply {
        let path = format!("/containers/create?name={}{kind}", self.name);
        self.call("POST", &path, Some(body)).await
    }

    /// The calls of a cold start in workerd's order, up to the start itself.
    pub(crate) async fn prepare(&self, internet: bool, body: Value) -> Reply {
        assert_eq!(self.on("GET", "", "/json").await.status, 404);
        assert_eq!(self.call("GET", "/networks/bridge", None).await.status, 200);
        assert_eq!(self.on("DELETE", "-proxy", "?force=true").await.status, 404);
        assert_eq!(self.create("-proxy", json!({"Image": "egress:latest"})).await.status, 201);
        assert_eq!(self.on("POST", "-proxy", "/start").await.status, 204);
        let settings = json!({"port": 1, "dns": {}, "internet": {"enabled": internet}});
        assert_eq!(self.sidecar("PUT", "/egress", Some(settings.clone())).await.status, 200);
        let ca = self.sidecar("GET", "/ca", None).await;
        assert!(ca.text.starts_with("-----BEGIN CERTIFICATE"), "{ca:?}");
        assert_eq!(self.sidecar("PUT", "/egress", Some(settings)).await.status, 200);
        self.create("", body).await
    }

    /// A cold start without internet.
    pub(crate) async fn start(&self) {
        self.start_with(false, json!({"Image": "test"})).await;
    }

    pub(crate) async fn start_with(&self, internet: bool, body: Value) {
        let created = self.prepare(internet, body).await;
        assert_eq!(created.status, 201, "{created:?}");
        let started = self.on("POST", "", "/start").await;
        assert_eq!(started.status, 204, "{started:?}");
    }

    pub(crate) async fn wait(&self) -> Reply {
        self.on("POST", "", "/wait").await
    }

    /// The exit code `/wait` answers with.
    pub(crate) async fn exit_code(&self) -> i64 {
        let reply = self.wait().await;
        reply.json()["StatusCode"].as_i64().unwrap_or_else(|| panic!("{reply:?}"))
    }

    /// The sidecar's port.
    pub(crate) async fn port(&self) -> u16 {
        let reply = self.on("GET", "-proxy", "/json").await.json();
        let port = &reply["NetworkSettings"]["Ports"]["39001/tcp"][0]["HostPort"];
        port.as_str().unwrap_or_else(|| panic!("{reply}")).parse().unwrap()
    }

    async fn sidecar(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port().await)).await.unwrap();
        stream.write_all(&request(method, path, body.as_ref(), "")).await.unwrap();
        soon(path, read_reply(&mut stream)).await
    }

    /// Changes whether the program may reach the internet.
    pub(crate) async fn set_internet(&self, enabled: bool) {
        let settings = json!({"port": 1, "internet": {"enabled": enabled}});
        assert_eq!(self.sidecar("PUT", "/egress", Some(settings)).await.status, 200);
    }

    /// What workerd says of outbound connections: where it is asked, and for which hosts.
    pub(crate) async fn set_egress(&self, settings: Value) {
        assert_eq!(self.sidecar("PUT", "/egress", Some(settings)).await.status, 200);
    }

    /// The certificate that the program is to trust.
    pub(crate) async fn authority(&self) -> String {
        self.sidecar("GET", "/ca", None).await.text
    }

    /// `CONNECT` to a port of the program.
    pub(crate) async fn connect(&self, port: u16) -> Result<Tunnel, Reply> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port().await)).await.unwrap();
        let head = format!(
            "CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\
             X-Dst-Addr: 127.0.0.1:{port}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let reply = soon("CONNECT", read_reply(&mut stream)).await;
        if reply.status == 200 { Ok(Tunnel(stream)) } else { Err(reply) }
    }

    /// A request to the program on port 8080.
    pub(crate) async fn get(&self, path: &str) -> String {
        self.connect(8080).await.unwrap().get(path).await
    }

    /// Creates an exec as workerd does, inside its shell wrapper.
    pub(crate) async fn create_exec(&self, key: &str, tty: bool, command: &[&str]) -> String {
        let script = format!("echo $$ > /tmp/.workerd-exec-{key}.pid; exec \"$@\"");
        let mut words = vec!["/bin/sh", "-c", &script, "sh"];
        words.extend(command);
        self.create_plain_exec(tty, &words).await
    }

    pub(crate) async fn create_plain_exec(&self, tty: bool, command: &[&str]) -> String {
        let body = json!({"AttachStdin": true, "AttachStdout": true, "AttachStderr": true,
            "Tty": tty, "Cmd": command, "Env": ["EXTRA=1"], "WorkingDir": "/tmp"});
        let path = format!("/containers/{}/exec", self.name);
        let reply = self.call("POST", &path, Some(body)).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.json()["Id"].as_str().unwrap().to_owned()
    }

    /// Starts an exec and gives its connection.
    pub(crate) async fn start_exec(&self, id: &str, tty: bool) -> UnixStream {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        let body = json!({"Detach": false, "Tty": tty, "ConsoleSize": [30, 100]});
        let upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
        let path = format!("/exec/{id}/start");
        stream.write_all(&request("POST", &path, Some(&body), upgrade)).await.unwrap();
        let reply = soon("exec start", read_reply(&mut stream)).await;
        assert_eq!(reply.status, 101, "{reply:?}");
        stream
    }

    /// Runs a command to its end with that standard input.
    pub(crate) async fn exec(&self, command: &[&str], input: &[u8]) -> (Frames, i64) {
        let id = self.create_exec("aaaa-1", false, command).await;
        let mut stream = self.start_exec(&id, false).await;
        stream.write_all(input).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut bytes = Vec::new();
        soon("exec output", stream.read_to_end(&mut bytes)).await.unwrap();
        (frames(&bytes), self.exec_code(&id).await)
    }

    /// Waits for an exec's exit code.
    pub(crate) async fn exec_code(&self, id: &str) -> i64 {
        soon("exec end", async {
            loop {
                let state = self.call("GET", &format!("/exec/{id}/json"), None).await.json();
                if state["Running"] == false
                    && let Some(code) = state["ExitCode"].as_i64()
                {
                    return code;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

impl Tunnel {
    pub(crate) async fn get(&mut self, path: &str) -> String {
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        self.0.write_all(head.as_bytes()).await.unwrap();
        soon(path, read_reply(&mut self.0)).await.text
    }
}

fn request(method: &str, path: &str, body: Option<&Value>, headers: &str) -> Vec<u8> {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}");
    match body {
        Some(body) => {
            let body = body.to_string();
            let length = body.len();
            format!(
                "{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            )
        }
        None if method == "GET" => format!("{head}\r\n"),
        None => format!("{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    }
    .into_bytes()
}

/// Reads one response and not a byte more.
async fn read_reply(stream: &mut (impl AsyncRead + Unpin)) -> Reply {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) => panic!("{error} after {}", String::from_utf8_lossy(&head)),
        }
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |text| text.trim().parse().unwrap())];
    if status != 101 {
        stream.read_exact(&mut body).await.unwrap();
    }
    Reply { status, text: String::from_utf8_lossy(&body).into_owned(), bytes: body }
}

/// Docker's frames, put together.
fn frames(mut bytes: &[u8]) -> Frames {
    let mut frames = Frames::default();
    while let [stream, 0, 0, 0, a, b, c, d, rest @ ..] = bytes {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let text = std::str::from_utf8(&rest[..length]).unwrap();
        if *stream == 2 {
            frames.stderr.push_str(text)
        } else {
            frames.stdout.push_str(text)
        }
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "{bytes:?}");
    frames
}
