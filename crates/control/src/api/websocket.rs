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

/// A request that asks for a WebSocket of a protocol that we speak.
pub(super) struct Handshake {
    protocol: &'static str,
    accept: String,
}

impl Handshake {
    /// What a request asks for.
    ///
    /// # Errors
    /// It asks for no WebSocket, or not for this protocol.
    pub(super) fn parse(head: &Parts, protocol: &'static str) -> Result<Self, Failure> {
        let header = |name: header::HeaderName| {
            head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let key = header(header::SEC_WEBSOCKET_KEY);
        let offered = header(header::SEC_WEBSOCKET_PROTOCOL).split(',').map(str::trim);
        let is_websocket = header(header::UPGRADE).eq_ignore_ascii_case("websocket");
        if !is_websocket || key.is_empty() || !offered.into_iter().any(|name| name == protocol) {
            let message = format!("this is a WebSocket with the protocol `{protocol}`");
            return Err(Failure::new(StatusCode::UPGRADE_REQUIRED, 1000, message));
        }
        Ok(Self { protocol, accept: derive_accept_key(key.as_bytes()) })
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
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(self.protocol));
        let accept = HeaderValue::from_str(&self.accept).expect("base64 is plain ASCII");
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        response
    }
}
