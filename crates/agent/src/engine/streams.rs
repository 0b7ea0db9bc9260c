//! What goes in and out of a running container: its console, further programs, its files.

use std::sync::Arc;

use http::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::Inner;
use super::api::{Call, unknown};
use super::containers::{Container, Found};
use super::error::EngineError;
use super::reply::{Answer, empty, hijacked};
use crate::docker_api::path::Query;
use crate::docker_api::{CreateExec, archives, exec};
use crate::event::Stream;
use crate::exec::frames::{FrameStream, frame};
use crate::output::console::{Console, Tap};

/// Bytes that are typed at once.
const CHUNK: usize = 16 * 1024;

/// Which of its streams a caller is attached to.
#[derive(Debug, Clone, Copy)]
struct Attached {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
    /// Whether the end of this caller's input is the program's.
    stdin_once: bool,
}

/// `POST /containers/{id}/attach?stream=&stdin=&stdout=&stderr=`
pub(super) async fn attach(found: &Found, query: Query<'_>, call: Call) -> Answer {
    let Found::Plain(container) = found else {
        let what = "attaching to a Durable Object's container (its logs can be followed)";
        return Err(EngineError::NotSupported(what.to_owned()));
    };
    let body = container.record().body;
    let attached = Attached {
        stdin: query.flag("stdin") && container.plain.stdin,
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        tty: container.plain.tty,
        stdin_once: body["StdinOnce"] == true,
    };
    let asks = call.asks_to_upgrade();
    let Some(upgrade) = call.upgrade else {
        let text = "attaching needs a connection that can be taken over".to_owned();
        return Err(EngineError::BadParameter(text));
    };
    // Attached from now on: nothing that is printed after the answer is missed, be it by a program
    // that is still to be started.
    let tap = query.flag("stream").then(|| container.plain.console.attach());
    let container = Arc::clone(container);
    tokio::spawn(async move {
        match (upgrade.await, tap) {
            (Ok(stream), Some(tap)) => serve(TokioIo::new(stream), tap, &container, attached).await,
            (Ok(stream), None) => _ = TokioIo::new(stream).shutdown().await,
            (Err(error), _) => tracing::debug!(%error, "whoever wanted to attach went away"),
        }
    });
    Ok(hijacked(asks, container_tty(found)))
}

fn container_tty(found: &Found) -> bool {
    matches!(found, Found::Plain(container) if container.plain.tty)
}

/// Serves one attached connection until the program ends or the caller goes.
async fn serve<S: AsyncRead + AsyncWrite + Send + 'static>(
    stream: S,
    tap: Tap,
    container: &Container,
    attached: Attached,
) {
    let (from, to) = tokio::io::split(stream);
    let output = print(to, tap, attached);
    let input = read(from, &container.plain.console, attached);
    tokio::pin!(output);
    tokio::select! {
        () = &mut output => {}
        // Its input's end is no end of its output.
        gone = input => if !gone { output.await },
    }
}

async fn print(mut to: impl AsyncWrite + Unpin, mut tap: Tap, attached: Attached) {
    while let Some((stream, bytes)) = tap.recv().await {
        let wanted = match stream {
            Stream::Stdout => attached.stdout,
            Stream::Stderr => attached.stderr,
        };
        if !wanted {
            continue;
        }
        let written = match (attached.tty, stream) {
            (true, _) => to.write_all(&bytes).await,
            (false, Stream::Stdout) => to.write_all(&frame(FrameStream::Stdout, &bytes)).await,
            (false, Stream::Stderr) => to.write_all(&frame(FrameStream::Stderr, &bytes)).await,
        };
        if written.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

/// Types what the caller sends; says whether the caller is gone for good.
async fn read(mut from: impl AsyncRead + Unpin, console: &Console, attached: Attached) -> bool {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) => break,
            Ok(count) if attached.stdin => {
                if console.type_in(&buffer[..count]).await.is_err() {
                    return false;
                }
            }
            Ok(_) => {}
            Err(_) => return true,
        }
    }
    if attached.stdin && attached.stdin_once && !attached.tty {
        console.end_input().await;
    }
    false
}

/// `POST /containers/{id}/resize?h=&w=`
pub(super) async fn resize(found: &Found, query: Query<'_>) -> Answer {
    let Found::Plain(container) = found else { return empty(StatusCode::OK) };
    let size = |key: &str| -> Result<u16, EngineError> {
        let text = query.get(key).unwrap_or_default();
        let wrong = || EngineError::BadParameter(format!("invalid value for \"{key}\": {text}"));
        text.parse().map_err(|_| wrong())
    };
    container.plain.console.resize(size("w")?, size("h")?).await;
    empty(StatusCode::OK)
}

/// `POST /containers/{id}/exec`
pub(super) async fn create_exec(engine: &Inner, found: &Found, call: Call) -> Answer {
    let instance = found.running(engine)?;
    let body = call.json().await?;
    let refused = [("Privileged", "exec --privileged")];
    if let Some((_, option)) = refused.iter().find(|(key, _)| body[*key] == true) {
        return Err(EngineError::NotSupported((*option).to_owned()));
    }
    let request: CreateExec = serde_json::from_value(body)
        .map_err(|error| EngineError::BadParameter(format!("request body: {error}")))?;
    Ok(exec::create(&engine.api, instance, request).into_http())
}

/// `/containers/{id}/archive?path=`
pub(super) async fn archive(
    engine: &Arc<Inner>,
    found: &Found,
    query: Query<'_>,
    call: Call,
) -> Answer {
    let path = query.get("path").filter(|path| !path.is_empty() && !path.contains('\0'));
    let path = path.ok_or_else(|| EngineError::BadParameter("missing \"path\"".to_owned()))?;
    let instance = found.running(engine)?;
    let store = engine.images.store();
    match call.method {
        Method::PUT => {
            let upload = match archives::receive(store, call.body).await {
                Ok(upload) => upload,
                Err(reply) => return Ok(reply.into_http()),
            };
            Ok(archives::put(&instance, path, upload).await.into_http())
        }
        Method::GET | Method::HEAD => {
            let stat = archives::stat(&instance, &path).await;
            let stat = stat.map_err(|reply| EngineError::NotFound(message(&reply)))?;
            let mut reply = match call.method {
                Method::HEAD => empty(StatusCode::OK)?,
                _ => archives::get(&engine.api, &instance, path).await,
            };
            let value = http::HeaderValue::from_str(&stat);
            let value = value.map_err(|error| EngineError::Failed(error.to_string()))?;
            reply.headers_mut().insert("x-docker-container-path-stat", value);
            Ok(reply)
        }
        method => Err(unknown(&method, &call.target)),
    }
}

fn message(reply: &crate::docker_api::reply::Reply) -> String {
    let text = reply.body.as_ref().and_then(|body| body["message"].as_str());
    text.unwrap_or_default().to_owned()
}
