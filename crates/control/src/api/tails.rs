//! `…/tails`, and the WebSocket that a watcher opens.

use std::net::SocketAddr;

use http::request::Parts;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;

use super::websocket::{Handshake, address};
use super::{Asked, body};
use crate::envelope::{Body, Failure, page, success};
use crate::tails::{self, Filters, PROTOCOL, Tail};
use crate::wire::{TailView, TailWish};
use crate::workers::Workers;

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
    let wanted: TailWish = match sent.is_empty() {
        true => TailWish::default(),
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
fn shown(tail: &Tail, head: &Parts) -> TailView {
    let url = address(head, &format!("/tails/{}", tail.id));
    TailView { id: tail.id.clone(), url, expires_at: tail.expires_at }
}

/// Opens a tail's WebSocket. Who asks knows the tail's id, and needs no token.
pub(super) async fn open(
    workers: &Workers,
    id: &str,
    head: Parts,
    body: Incoming,
) -> Result<Response<Body>, Failure> {
    let found = workers.tails.find(id).ok_or_else(no_tail)?;
    let handshake = Handshake::parse(&head, PROTOCOL)?;
    let platform = workers.platform.clone();
    let tag = found.0.tag.clone();
    // First, so that nothing is missed once the watcher knows that it is connected.
    let events = platform.watch(&tag).await;
    let events = events.map_err(|error| Failure::internal(error.to_string()))?;
    Ok(handshake.accept(head, body, move |connection| async move {
        match connection {
            Some(connection) => tails::serve(connection, found, events).await,
            None => drop(events),
        }
        platform.unwatch(&tag).await;
    }))
}

fn no_tail() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, 10057, "There is no such tail of this Worker.")
}
