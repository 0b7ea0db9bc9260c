//! A container registry for tests: the distribution API over a folder, with Docker Hub's tokens.
//!
//! Read-only. Every request without a token is answered 401 with where to get one, as Docker Hub
//! does, so that no test passes without that exchange.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;

use fs_err as fs;

use crate::base_images;

const TOKEN: &str = "a-token-of-the-tests";

/// A running registry; it serves until the test program ends.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
}

/// One request's head, as far as a registry looks at it.
struct Request {
    method: String,
    path: String,
    token: Option<String>,
}

/// An answer: status, headers and body.
struct Answer(u16, Vec<(&'static str, String)>, Vec<u8>);

impl Registry {
    /// The registry of the base images, one for each test program.
    ///
    /// # Panics
    /// They can't be made.
    #[must_use]
    pub fn of_base_images() -> &'static Self {
        static REGISTRY: OnceLock<Registry> = OnceLock::new();
        REGISTRY.get_or_init(|| Self::serve(base_images::folder()))
    }

    /// Serves a folder laid out as [`base_images`] does.
    ///
    /// # Panics
    /// No port is free.
    #[must_use]
    pub fn serve(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen for the registry");
        let address = listener.local_addr().expect("a listener has an address");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let folder = folder.clone();
                // A client that goes away is its own business.
                thread::spawn(move || _ = serve_connection(&stream, &folder, address));
            }
        });
        Self { address }
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn serve_connection(stream: &TcpStream, folder: &Path, address: SocketAddr) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = Request::read(&mut reader)? {
        let Answer(status, headers, body) = answer(&request, folder, address);
        let mut head = format!("HTTP/1.1 {status} -\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut stream = stream;
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        if request.method != "HEAD" {
            stream.write_all(&body)?;
        }
    }
    Ok(())
}

impl Request {
    fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let path = words.next().unwrap_or_default().to_owned();
        let mut token = None;
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
                return Ok(Some(Self { method, path, token }));
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("authorization")
            {
                token = value.trim().strip_prefix("Bearer ").map(str::to_owned);
            }
        }
    }
}

fn answer(request: &Request, folder: &Path, address: SocketAddr) -> Answer {
    let path = request.path.split('?').next().unwrap_or_default();
    if path == "/token" {
        let body = format!("{{\"token\":\"{TOKEN}\",\"expires_in\":300}}");
        return Answer(200, vec![("Content-Type", "application/json".to_owned())], body.into());
    }
    if request.token.as_deref() != Some(TOKEN) {
        let realm = format!("Bearer realm=\"http://{address}/token\",service=\"tests\"");
        return Answer(401, vec![("WWW-Authenticate", realm)], Vec::new());
    }
    if path == "/v2/" {
        return Answer(200, Vec::new(), b"{}".to_vec());
    }
    let found = path.strip_prefix("/v2/").and_then(|rest| {
        if let Some((_, digest)) = rest.split_once("/blobs/") {
            return blob(folder, digest);
        }
        let (repository, reference) = rest.split_once("/manifests/")?;
        manifest(folder, repository, reference)
    });
    found.unwrap_or_else(|| {
        let code = if path.contains("/blobs/") { "BLOB_UNKNOWN" } else { "MANIFEST_UNKNOWN" };
        let body = format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"not here\"}}]}}");
        Answer(404, vec![("Content-Type", "application/json".to_owned())], body.into())
    })
}

fn blob(folder: &Path, digest: &str) -> Option<Answer> {
    let hex = digest.strip_prefix("sha256:").filter(|hex| is_name(hex))?;
    let body = fs::read(folder.join("blobs").join(hex)).ok()?;
    let kind = ("Content-Type", "application/octet-stream".to_owned());
    Some(Answer(200, vec![kind, ("Docker-Content-Digest", digest.to_owned())], body))
}

fn manifest(folder: &Path, repository: &str, reference: &str) -> Option<Answer> {
    let digest = if reference.starts_with("sha256:") {
        reference.to_owned()
    } else {
        let repository = repository.strip_prefix("library/").unwrap_or(repository);
        if !is_name(repository) || !is_name(reference) {
            return None;
        }
        fs::read_to_string(folder.join("tags").join(repository).join(reference)).ok()?
    };
    let Answer(status, _, body) = blob(folder, &digest)?;
    let json: serde_json::Value = serde_json::from_slice(&body).ok()?;
    let kind = ("Content-Type", json.get("mediaType")?.as_str()?.to_owned());
    Some(Answer(status, vec![kind, ("Docker-Content-Digest", digest)], body))
}

/// Whether a part of a path is a plain name, which leads nowhere else.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
