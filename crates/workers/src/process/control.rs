//! Calls `scheduled()` through the control entry, a script of ours on a private unix socket.

use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::{ScheduledError, ScheduledOutcome};

/// Calls `scheduled()` and waits until it has finished, however long that takes.
pub(crate) async fn scheduled(
    socket: &Path,
    cron: &str,
    time: SystemTime,
) -> Result<ScheduledOutcome, ScheduledError> {
    let millis = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let body = serde_json::json!({ "cron": cron, "time": u64::try_from(millis).unwrap_or(0) });
    let (status, answer) = post(socket, body.to_string()).await.map_err(ScheduledError::Io)?;
    if !status.is_success() {
        let text = String::from_utf8_lossy(&answer).into_owned();
        return Err(ScheduledError::Refused(text));
    }
    serde_json::from_slice(&answer).map_err(|error| ScheduledError::Io(io::Error::other(error)))
}

/// Tells a process whether somebody watches.
pub(crate) async fn watch(socket: &Path, watched: bool) -> io::Result<()> {
    let (status, _) = post(socket, watched.to_string()).await?;
    match status.is_success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("status {status}"))),
    }
}

async fn post(socket: &Path, body: String) -> io::Result<(http::StatusCode, Bytes)> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let request = Request::post("/")
        .header(http::header::HOST, "control")
        .body(Full::new(Bytes::from(body)))
        .map_err(io::Error::other)?;
    let exchange = async move {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), 64 << 10).collect().await;
        Ok((status, body.map_err(io::Error::other)?.to_bytes()))
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection is driven here, so that nothing is left when the caller gives up. Its
        // end without an answer shows in the exchange.
        _ = connection => exchange.await,
    }
}
