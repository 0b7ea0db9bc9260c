//! Receives what `tail.mjs` posts: a tiny HTTP server on a unix socket that only workerd can reach.

use std::convert::Infallible;
use std::io;
use std::path::Path;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::attribution::TailEvent;

/// What workerd tells.
#[derive(Debug)]
pub(crate) enum Told {
    /// Whose a console line is.
    Line(TailEvent),
    /// An event as a whole.
    Whole(Box<serde_json::Value>),
}

/// Longest post that is read; a longer one costs its line its origin, nothing more.
const LARGEST: usize = 1 << 20;

/// The server; ends when dropped.
#[derive(Debug)]
pub(crate) struct TailSink {
    task: AbortHandle,
}

impl Drop for TailSink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TailSink {
    /// Listens at `path` and passes on what arrives.
    pub(crate) fn bind(path: &Path) -> io::Result<(Self, mpsc::Receiver<Told>)> {
        let listener = UnixListener::bind(path)?;
        let (sender, receiver) = mpsc::channel(256);
        let task = tokio::spawn(accept(listener, sender)).abort_handle();
        Ok((Self { task }, receiver))
    }
}

async fn accept(listener: UnixListener, sender: mpsc::Sender<Told>) {
    // Connections end with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, sender.clone()));
                }
                Err(error) => tracing::warn!(%error, "tail socket"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: UnixStream, sender: mpsc::Sender<Told>) {
    let service = service_fn(|request| post(request, sender.clone()));
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "tail connection");
    }
}

async fn post(
    request: Request<Incoming>,
    sender: mpsc::Sender<Told>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let mut response = Response::new(Empty::new());
    let is_whole = request.uri().path() == "/whole";
    let body = Limited::new(request.into_body(), LARGEST).collect().await;
    let told = body.ok().and_then(|body| match is_whole {
        true => serde_json::from_slice(&body.to_bytes()).ok().map(Told::Whole),
        false => serde_json::from_slice(&body.to_bytes()).ok().map(Told::Line),
    });
    match told {
        Some(told) => {
            // Full: the line goes without its origin rather than workerd waiting.
            let _ = sender.try_send(told);
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        None => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    Ok(response)
}
