//! A registry of the distribution API in a few threads: tokens, redirects, and faults on demand.

mod uploads;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use image::Digest;

use super::{TestImage, descriptor};

/// What the registry does beside answering.
#[derive(Default)]
pub(crate) struct Behaviour {
    /// `user:password` that the token server wants; `None` gives anyone a token.
    pub(crate) password: Option<String>,
    /// Every request needs a token.
    pub(crate) token: bool,
    /// Every request needs name and password.
    pub(crate) basic: bool,
    /// Blobs are served from another path, as from a storage bucket.
    pub(crate) redirect: bool,
    /// So many answers are 503 before requests are served.
    pub(crate) unavailable: usize,
    /// Blob answers break off after this many bytes, each blob once.
    pub(crate) cut_after: Option<usize>,
    /// Blobs come with a flipped byte.
    pub(crate) damage: bool,
    /// Whether `Range` is understood.
    pub(crate) ranges: bool,
    /// Every answer has this status.
    pub(crate) status: Option<u16>,
    /// What an upload is answered: a status and a message.
    pub(crate) refuse_upload: Option<(u16, &'static str)>,
    /// The first body of an upload breaks off after this many bytes, which the registry keeps.
    pub(crate) cut_upload_after: Option<usize>,
    /// After a break, uploads are forgotten.
    pub(crate) forget_uploads: bool,
    /// Largest piece of an upload that is taken.
    pub(crate) chunk: Option<usize>,
    /// Blobs that another repository has are mounted.
    pub(crate) mount: bool,
    /// So much of a blob is sent; the rest comes when [`Registry::go_on`] is called.
    pub(crate) stall_after: Option<usize>,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
}

#[derive(Default)]
struct State {
    manifests: HashMap<String, (String, Vec<u8>)>,
    blobs: HashMap<String, Vec<u8>>,
    cut: Vec<String>,
    uploads: uploads::Uploads,
    hidden: bool,
    requests: Vec<Request>,
    behaviour: Behaviour,
}

/// Serves until dropped.
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Registry {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { behaviour, ..State::default() }));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(&state), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut connections = Vec::new();
            while let Ok((stream, _)) = listener.accept() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&shared);
                connections.push(std::thread::spawn(move || serve(stream, &shared, address)));
            }
            connections.into_iter().for_each(|connection| connection.join().unwrap());
        });
        Self { address, state, stop, thread: Some(thread) }
    }

    /// `127.0.0.1:port/name`.
    pub(crate) fn name(&self, rest: &str) -> image::Reference {
        format!("{}/{rest}", self.address).parse().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes the image available as `tag` and by digest.
    pub(crate) fn push(&self, tag: &str, image: &TestImage) -> Digest {
        let mut state = self.state.lock().unwrap();
        for blob in &image.blobs {
            state.blobs.insert(Digest::of(blob).to_string(), blob.clone());
        }
        let digest = Digest::of(&image.manifest);
        for version in [tag, digest.as_str()] {
            state
                .manifests
                .insert(version.to_owned(), (image.media_type.to_owned(), image.manifest.clone()));
        }
        digest
    }

    /// Makes an index of images for several architectures available as `tag`.
    pub(crate) fn push_index(&self, tag: &str, images: &[(&str, &TestImage)]) -> Digest {
        let manifests: Vec<_> = images
            .iter()
            .map(|(architecture, image)| {
                self.push(architecture, image);
                let mut entry = descriptor(image.media_type, &image.manifest);
                entry["platform"] =
                    serde_json::json!({"os": "linux", "architecture": architecture});
                entry
            })
            .collect();
        let index = serde_json::json!({"schemaVersion": 2, "manifests": manifests});
        let bytes = serde_json::to_vec(&index).unwrap();
        let digest = Digest::of(&bytes);
        let mut state = self.state.lock().unwrap();
        let media_type = "application/vnd.oci.image.index.v1+json";
        for version in [tag, digest.as_str()] {
            state.manifests.insert(version.to_owned(), (media_type.to_owned(), bytes.clone()));
        }
        digest
    }

    /// The manifest at a tag or digest.
    pub(crate) fn manifest(&self, version: &str) -> Option<(String, Vec<u8>)> {
        self.state.lock().unwrap().manifests.get(version).cloned()
    }

    /// Sends what was kept back.
    pub(crate) fn go_on(&self) {
        self.state.lock().unwrap().behaviour.stall_after = None;
    }

    /// From now on `HEAD` finds no blob.
    pub(crate) fn hide_blobs(&self) {
        self.state.lock().unwrap().hidden = true;
    }

    /// Requests with this method whose path has that part.
    pub(crate) fn count(&self, method: &str, part: &str) -> usize {
        self.requests_for(part).iter().filter(|request| request.method == method).count()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    pub(crate) fn requests_for(&self, part: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path.contains(part)).collect()
    }

    pub(crate) fn forget_requests(&self) {
        self.state.lock().unwrap().requests.clear();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.go_on();
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// An answer; `body` may be cut off.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    announced: usize,
}

impl Answer {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { status, headers: Vec::new(), announced: body.len(), body }
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// One connection, one request: `Connection: close` keeps the threads countable.
fn serve(stream: TcpStream, state: &Mutex<State>, address: SocketAddr) {
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let mut words = line.split(' ').map(str::to_owned);
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_else(|| "/".to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let request = Request { method, path, headers };
    let length = request.headers.get("content-length").and_then(|text| text.parse().ok());
    let length: usize = length.unwrap_or(0);
    let cut = state.lock().unwrap().cut_upload(&request, length);
    let mut body = Vec::new();
    let _ = reader.by_ref().take(cut.unwrap_or(length) as u64).read_to_end(&mut body);
    let answer = state.lock().unwrap().answer(&request, &body, address);
    if cut.is_some() {
        return;
    }
    let mut head = format!(
        "HTTP/1.1 {} X\r\nContent-Length: {}\r\nConnection: close\r\n",
        answer.status, answer.announced
    );
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    // The other side may hang up when it has seen enough.
    let _ = (&stream).write_all(format!("{head}\r\n").as_bytes());
    if request.method == "HEAD" {
        return;
    }
    let mut body = &answer.body[..];
    let stall = state.lock().unwrap().behaviour.stall_after;
    if let Some(stall) = stall.filter(|stall| *stall < body.len()) {
        let (first, rest) = body.split_at(stall);
        let _ = (&stream).write_all(first);
        while state.lock().unwrap().behaviour.stall_after.is_some() {
            std::thread::yield_now();
        }
        body = rest;
    }
    let _ = (&stream).write_all(body);
}

impl State {
    fn answer(&mut self, request: &Request, body: &[u8], address: SocketAddr) -> Answer {
        self.requests.push(request.clone());
        let path = request.path.split('?').next().unwrap();
        let authorization = request.headers.get("authorization").map(String::as_str);
        if path == "/token" {
            return self.token(authorization);
        }
        if let Some(status) = self.behaviour.status {
            return Answer::new(status, r#"{"errors":[{"code":"X","message":"because"}]}"#);
        }
        if self.behaviour.unavailable > 0 {
            self.behaviour.unavailable -= 1;
            return Answer::new(503, "").with("Retry-After", "0");
        }
        if let Some(digest) = path.strip_prefix("/storage/") {
            if authorization.is_some() {
                return Answer::new(400, "a token was sent to storage");
            }
            return self.blob(digest, request);
        }
        if self.behaviour.token && authorization != Some("Bearer good-token") {
            let actions = if request.method == "GET" { "pull" } else { "pull,push" };
            let challenge = format!(
                "Bearer realm=\"http://{address}/token\",service=\"test\",scope=\"repository:a/b:{actions}\""
            );
            return Answer::new(401, "").with("WWW-Authenticate", challenge);
        }
        if self.behaviour.basic && authorization != Some("Basic dXNlcjpzZWNyZXQ=") {
            return Answer::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\"");
        }
        if let Some((_, version)) =
            path.split_once("/manifests/").filter(|_| request.method == "PUT")
        {
            return self.put_manifest(version, request, body);
        }
        if let Some((_, id)) = path.split_once("/blobs/uploads/") {
            return self.upload(id, request, body);
        }
        if let Some((_, version)) = path.split_once("/manifests/") {
            let Some((media_type, bytes)) = self.manifests.get(version) else {
                let body = r#"{"errors":[{"code":"X","message":"manifest unknown"}]}"#;
                return Answer::new(404, body);
            };
            return Answer::new(200, bytes.clone()).with("Content-Type", media_type.clone());
        }
        match path.split_once("/blobs/") {
            Some(_) if self.hidden && request.method == "HEAD" => Answer::new(404, ""),
            Some((_, digest)) if self.behaviour.redirect => {
                Answer::new(307, "").with("Location", format!("http://{address}/storage/{digest}"))
            }
            Some((_, digest)) => self.blob(digest, request),
            None => Answer::new(404, ""),
        }
    }

    fn token(&self, authorization: Option<&str>) -> Answer {
        match &self.behaviour.password {
            // user:secret
            Some(_) if authorization != Some("Basic dXNlcjpzZWNyZXQ=") => Answer::new(401, ""),
            _ => Answer::new(200, r#"{"token":"good-token"}"#),
        }
    }

    fn blob(&mut self, digest: &str, request: &Request) -> Answer {
        let Some(blob) = self.blobs.get(digest) else { return Answer::new(404, "") };
        let mut bytes = blob.clone();
        if self.behaviour.damage {
            bytes[0] ^= 0xff;
        }
        let range = request.headers.get("range").filter(|_| self.behaviour.ranges);
        let start: Option<usize> =
            range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let total = bytes.len();
        let mut answer = match start {
            Some(start) => Answer::new(206, bytes.split_off(start))
                .with("Content-Range", format!("bytes {start}-{}/{total}", total - 1)),
            None => Answer::new(200, bytes),
        };
        let first = !self.cut.iter().any(|cut| cut == digest);
        if let Some(length) = self.behaviour.cut_after.filter(|length| first && *length < total) {
            self.cut.push(digest.to_owned());
            answer.body.truncate(length);
        }
        answer
    }
}
