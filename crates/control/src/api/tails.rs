//! `…/tails`, and the WebSocket that a watcher opens.

use std::net::SocketAddr;

use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Asked, body};
use crate::envelope::{Body, Failure, page, success};
use crate::tails::{self, Filters, PROTOCOL, Tail};
use crate::workers::Workers;

#[derive(Default, Deserialize)]
struct Wanted {
    #[serde(default)]
    filters: Vec<Value>,
}

pub(super) async fn make(
    workers: &Workers,
    name: &str,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    let Asked { head, body, .. } = asked;
    let script = workers.state.script(name)?.value;
    if script.current.is_none() {
        return Err(Failure::no_version());
    }
    let sent = body::bytes(body).await?;
    let wanted: Wanted = match sent.is_empty() {
        true => Wanted::default(),
        false => serde_json::from_slice(&sent)
            .map_err(|error| Failure::bad_request(format!("the body: {error}")))?,
    };
    let client = head.extensions.get::<SocketAddr>().map(SocketAddr::ip);
    let filters = Filters::parse(&wanted.filters, client)?;
    let tail = workers.tails.make(name, &script.tag, filters)?;
    Ok(success(&shown(&tail, &head)))
}

pub(super) fn list(workers: &Workers, name: &str, head: &Parts) -> Result<Response<Body>, Failure> {
    workers.state.script(name)?;
    let tails = workers.tails.of(name);
    Ok(page(&tails.iter().map(|tail| shown(tail, head)).collect::<Vec<_>>()))
}

pub(super) fn delete(workers: &Workers, name: &str, id: &str) -> Result<Response<Body>, Failure> {
    match workers.tails.remove(name, id) {
        true => Ok(success(&Value::Null)),
        false => Err(no_tail()),
    }
}

/// A tail with the address at which its watcher reaches us as it has just done.
fn shown(tail: &Tail, head: &Parts) -> Value {
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or(head.uri.authority().map(|authority| authority.as_str()));
    let scheme = if head.extensions.get::<super::Tls>().is_some() { "wss" } else { "ws" };
    let url = format!("{scheme}://{}/client/v4/tails/{}", host.unwrap_or("localhost"), tail.id);
    json!({"id": tail.id, "url": url, "expires_at": tail.expires_at})
}

/// Opens a tail's WebSocket. Who asks knows the tail's id, and needs no token.
pub(super) async fn open(
    workers: &Workers,
    id: &str,
    head: Parts,
    body: Incoming,
) -> Result<Response<Body>, Failure> {
    let found = workers.tails.find(id).ok_or_else(no_tail)?;
    let header = |name: header::HeaderName| {
        head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let key = header(header::SEC_WEBSOCKET_KEY).to_owned();
    let offered = header(header::SEC_WEBSOCKET_PROTOCOL).split(',').map(str::trim);
    let is_websocket = header(header::UPGRADE).eq_ignore_ascii_case("websocket");
    if !is_websocket || key.is_empty() || !offered.into_iter().any(|name| name == PROTOCOL) {
        let message = format!("a tail is a WebSocket with the protocol `{PROTOCOL}`");
        return Err(Failure::new(StatusCode::UPGRADE_REQUIRED, 1000, message));
    }
    let accept = derive_accept_key(key.as_bytes());
    let platform = workers.platform.clone();
    let tag = found.0.tag.clone();
    // First, so that nothing is missed once the watcher knows that it is connected.
    let events = platform.watch(&tag).await;
    let events = events.map_err(|error| Failure::internal(error.to_string()))?;
    let upgrade = hyper::upgrade::on(http::Request::from_parts(head, body));
    tokio::spawn(async move {
        match upgrade.await {
            Ok(stream) => tails::serve(TokioIo::new(stream), found, events).await,
            Err(error) => {
                tracing::debug!(%error, "tail");
                drop(events);
            }
        }
        platform.unwatch(&tag).await;
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    let accept = HeaderValue::from_str(&accept).expect("base64 is plain ASCII");
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

fn no_tail() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, 10057, "There is no such tail of this Worker.")
}
