//! The engine's replies: whole ones, streams of JSON, and connections that become something else.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::error::EngineError;
use crate::docker_api::reply::{HttpReply, Reply, whole};

/// What a call comes to.
pub(super) type Answer = Result<HttpReply, EngineError>;

/// 200 with JSON.
pub(super) fn ok(body: Value) -> Answer {
    Ok(Reply::ok(body).into_http())
}

/// A status alone.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut reply = Response::new(whole(""));
    *reply.status_mut() = status;
    Ok(reply)
}

/// 201 with JSON.
pub(super) fn created(body: Value) -> Answer {
    Ok(Reply { status: StatusCode::CREATED, body: Some(body) }.into_http())
}

impl From<EngineError> for HttpReply {
    fn from(error: EngineError) -> Self {
        let status = error.status();
        Reply { status, body: Some(json!({"message": error.to_string()})) }.into_http()
    }
}

/// A body that grows: what is sent is a piece of it, dropping the sender is its end.
pub(super) fn growing(kind: &'static str) -> (mpsc::Sender<Bytes>, HttpReply) {
    let (send, receive) = mpsc::channel(64);
    let mut reply = Response::new(Growing(receive).boxed());
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    (send, reply)
}

/// A body whose pieces come by a channel.
struct Growing(mpsc::Receiver<Bytes>);

impl Body for Growing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// The connection becomes something else: 101 where the caller asked so, 200 as of old.
pub(super) fn hijacked(asked_to_upgrade: bool, tty: bool) -> HttpReply {
    let mut reply = Response::new(whole(""));
    let headers = reply.headers_mut();
    let kind = if tty {
        "application/vnd.docker.raw-stream"
    } else {
        "application/vnd.docker.multiplexed-stream"
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if asked_to_upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("tcp"));
        *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    }
    reply
}
