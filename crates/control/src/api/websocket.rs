//! Requests that become WebSockets.

use std::future::Future;

use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::envelope::{Body, Failure};

/// A request that asks for a WebSocket of a protocol that we speak, or of none.
pub(super) struct Handshake {
    protocol: Option<&'static str>,
    accept: String,
}

impl Handshake {
    /// What a request asks for.
    ///
    /// # Errors
    /// It asks for no WebSocket, or not for this protocol.
    pub(super) fn parse(head: &Parts, protocol: &'static str) -> Result<Self, Failure> {
        let offered = header(head, header::SEC_WEBSOCKET_PROTOCOL).split(',').map(str::trim);
        let is_offered = offered.into_iter().any(|name| name == protocol);
        match accept_key(head).filter(|_| is_offered) {
            Some(accept) => Ok(Self { protocol: Some(protocol), accept }),
            None => Err(refused(&format!("this is a WebSocket with the protocol `{protocol}`"))),
        }
    }

    /// The same, of a WebSocket that speaks no protocol by name.
    ///
    /// # Errors
    /// It asks for no WebSocket.
    pub(super) fn of_bytes(head: &Parts) -> Result<Self, Failure> {
        match accept_key(head) {
            Some(accept) => Ok(Self { protocol: None, accept }),
            None => Err(refused("this is a WebSocket")),
        }
    }

    /// Accepts it, and gives the connection to `serve`: `None` if the client has gone before.
    pub(super) fn accept<F: Future<Output = ()> + Send + 'static>(
        self,
        head: Parts,
        body: Incoming,
        serve: impl FnOnce(Option<TokioIo<Upgraded>>) -> F + Send + 'static,
    ) -> Response<Body> {
        let upgrade = hyper::upgrade::on(http::Request::from_parts(head, body));
        tokio::spawn(async move {
            let upgraded = upgrade.await.inspect_err(|error| tracing::debug!(%error, "upgrade"));
            serve(upgraded.ok().map(TokioIo::new)).await;
        });
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Some(protocol) = self.protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        let accept = HeaderValue::from_str(&self.accept).expect("base64 is plain ASCII");
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        response
    }
}

fn header(head: &Parts, name: header::HeaderName) -> &str {
    head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// What a request for a WebSocket is answered with; `None` if it is none.
fn accept_key(head: &Parts) -> Option<String> {
    let key = header(head, header::SEC_WEBSOCKET_KEY);
    let is_websocket = header(head, header::UPGRADE).eq_ignore_ascii_case("websocket");
    (is_websocket && !key.is_empty()).then(|| derive_accept_key(key.as_bytes()))
}

fn refused(message: &str) -> Failure {
    Failure::new(StatusCode::UPGRADE_REQUIRED, 1000, message)
}

/// The address of a WebSocket below `/client/v4`, as a client reaches us as it has just done.
pub(super) fn address(head: &Parts, path: &str) -> String {
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or(head.uri.authority().map(|authority| authority.as_str()));
    let scheme = if head.extensions.get::<super::Tls>().is_some() { "wss" } else { "ws" };
    format!("{scheme}://{}/client/v4{path}", host.unwrap_or("localhost"))
}
