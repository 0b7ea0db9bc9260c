//! What a user's client does: HTTP requests and WebSockets.

use std::collections::BTreeMap;
use std::fmt;
use std::net::TcpStream;
use std::time::Duration;

use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Message};

/// Longest time one request may take; above every deadline of the npm class.
const REQUEST_DEADLINE: Duration = Duration::from_secs(120);

/// Sends requests to one address.
#[derive(Debug, Clone)]
pub struct Client {
    agent: ureq::Agent,
    address: String,
    /// What it says as `Host`; the address if that is empty.
    host: String,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Header values by lower-case name; of several the last.
    pub headers: BTreeMap<String, String>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Client {
    /// A client of the server at `address`, such as `localhost:8787`.
    #[must_use]
    pub fn new(address: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(REQUEST_DEADLINE))
            .build();
        Self { agent: config.into(), address: address.to_owned(), host: String::new() }
    }

    /// The same, asking for this host in each request.
    #[must_use]
    pub fn for_host(self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self }
    }

    /// `GET`; fails where there is no HTTP answer.
    pub fn try_get(&self, path: &str) -> Result<Reply, Box<ureq::Error>> {
        let mut request = self.agent.get(format!("http://{}{path}", self.address));
        if !self.host.is_empty() {
            request = request.header("host", &self.host);
        }
        Reply::read(request.call()?)
    }

    /// `GET`.
    ///
    /// # Panics
    /// There is no HTTP answer.
    #[must_use]
    pub fn get(&self, path: &str) -> Reply {
        self.try_get(path).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// `POST` with a body.
    ///
    /// # Panics
    /// There is no HTTP answer.
    #[must_use]
    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Reply {
        let mut request = self.agent.post(format!("http://{}{path}", self.address));
        if !self.host.is_empty() {
            request = request.header("host", &self.host);
        }
        let reply = request.send(body.as_ref()).map_err(Box::new).and_then(Reply::read);
        reply.unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// Any request, with headers and a body.
    ///
    /// # Panics
    /// There is no HTTP answer.
    #[must_use]
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Reply {
        let url = format!("http://{}{path}", self.address);
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        let host = ("host", self.host.as_str());
        for (name, value) in headers.iter().chain((!self.host.is_empty()).then_some(&host)) {
            request = request.header(*name, *value);
        }
        let body = body.as_ref();
        let sent = if matches!(method, "GET" | "HEAD" | "DELETE") {
            self.agent.run(request.body(()).expect("a request"))
        } else {
            self.agent.run(request.body(body).expect("a request"))
        };
        let reply = sent.map_err(Box::new).and_then(Reply::read);
        reply.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Opens a WebSocket.
    ///
    /// # Panics
    /// The handshake fails.
    #[must_use]
    pub fn websocket(&self, path: &str) -> WebSocket {
        let host = if self.host.is_empty() { &self.address } else { &self.host };
        let url = format!("ws://{host}{path}");
        let stream = TcpStream::connect(&self.address).expect("connect for a WebSocket");
        stream.set_read_timeout(Some(REQUEST_DEADLINE)).expect("set a deadline");
        let handshake = tungstenite::client(&url, stream);
        let (socket, _) = handshake.unwrap_or_else(|error| panic!("WebSocket {url}: {error}"));
        WebSocket(socket)
    }
}

impl Reply {
    fn read(mut reply: ureq::http::Response<ureq::Body>) -> Result<Self, Box<ureq::Error>> {
        let headers = reply.headers().iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        Ok(Self {
            status: reply.status().as_u16(),
            headers: headers.collect(),
            body: reply.body_mut().read_to_vec()?,
        })
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in: {self}"))
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.text())
    }
}

/// An open WebSocket.
#[derive(Debug)]
pub struct WebSocket(tungstenite::WebSocket<TcpStream>);

impl WebSocket {
    /// Sends a text and returns the next message.
    ///
    /// # Panics
    /// The connection ends or the answer takes too long.
    #[must_use]
    pub fn ask(&mut self, text: &str) -> Message {
        self.send(Message::text(text));
        self.receive()
    }

    /// Sends bytes and returns the next message.
    ///
    /// # Panics
    /// The connection ends or the answer takes too long.
    #[must_use]
    pub fn ask_bytes(&mut self, bytes: Vec<u8>) -> Message {
        self.send(Message::binary(bytes));
        self.receive()
    }

    /// Sends a message.
    ///
    /// # Panics
    /// The connection has ended.
    pub fn send(&mut self, message: Message) {
        self.0.send(message).expect("send on the WebSocket");
    }

    /// The next message.
    ///
    /// # Panics
    /// The connection ends or it takes too long.
    #[must_use]
    pub fn receive(&mut self) -> Message {
        self.0.read().expect("read from the WebSocket")
    }

    /// Closes with a code and waits for the other side's own close.
    ///
    /// # Panics
    /// The connection ends without one.
    #[must_use]
    pub fn close(mut self, code: u16, reason: &'static str) -> Option<CloseFrame> {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        self.0.close(Some(frame)).expect("close the WebSocket");
        loop {
            if let Message::Close(frame) = self.receive() {
                return frame;
            }
        }
    }
}
