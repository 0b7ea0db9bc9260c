//! Logs, events and programs of instances over WebSockets.

use std::collections::VecDeque;

use futures_util::{SinkExt as _, Stream, StreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::broadcast::error::RecvError;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::plan::InstanceEvent;
use crate::platform::{InstanceEvents, Log, OutgoingArchive, Session};

/// The WebSockets' protocol.
pub(crate) const PROTOCOL: &str = "berth-v1";
/// Bytes of output in one message.
pub(crate) const CHUNK: usize = 16 * 1024;
/// Longest message that a client may send.
const MOST_BYTES: usize = 1024 * 1024;

/// What a client says in a text; bytes are the program's input.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    /// Its terminal's size.
    Resize { rows: u16, columns: u16 },
    /// The program's input is at its end.
    EndOfInput {},
}

/// Sends a log until it is at its end or its reader goes.
pub(crate) async fn send_log(connection: impl AsyncRead + AsyncWrite + Unpin, mut log: Log) {
    let pieces = stream::poll_fn(move |context| log.poll_recv(context));
    send(connection, pieces.map(Message::binary)).await;
}

/// Sends an archive: its size in a text, and then its bytes. A text in their place says why there are no
/// more.
pub(crate) async fn send_archive(
    connection: impl AsyncRead + AsyncWrite + Unpin,
    OutgoingArchive { size, mut pieces }: OutgoingArchive,
) {
    let head = Message::text(json!({ "size": size }).to_string());
    let pieces = stream::poll_fn(move |context| pieces.poll_recv(context));
    let pieces = pieces.map(|piece| match piece {
        Ok(bytes) => Message::binary(bytes),
        Err(error) => Message::text(json!({ "error": error.to_string() }).to_string()),
    });
    send(connection, stream::iter([head]).chain(pieces)).await;
}

/// Sends what has happened, and what happens if that is wanted, in one application or in all.
pub(crate) async fn send_events(
    connection: impl AsyncRead + AsyncWrite + Unpin,
    (past, coming): (Vec<InstanceEvent>, InstanceEvents),
    application: Option<String>,
    follow: bool,
) {
    let coming = stream::unfold(coming, |mut coming| async move {
        loop {
            match coming.recv().await {
                Ok(event) => return Some((event, coming)),
                // Who reads too slowly misses some.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    let coming = if follow { coming.boxed() } else { stream::empty().boxed() };
    let wanted =
        |event: &InstanceEvent| application.as_ref().is_none_or(|a| *a == event.application);
    let events = stream::iter(VecDeque::from(past)).chain(coming);
    let texts = events.filter_map(|event| {
        let text = wanted(&event).then(|| Message::text(shown(&event).to_string()));
        std::future::ready(text)
    });
    send(connection, texts).await;
}

fn shown(event: &InstanceEvent) -> serde_json::Value {
    json!({"time": event.at, "application": event.application, "instance": event.id,
        "durable_object": event.object, "event": event.kind, "message": event.message})
}

async fn send(
    connection: impl AsyncRead + AsyncWrite + Unpin,
    messages: impl Stream<Item = Message>,
) {
    let (mut to, mut from) = socket(connection).await.split();
    let sending = async {
        let mut messages = std::pin::pin!(messages);
        while let Some(message) = messages.next().await {
            if to.send(message).await.is_err() {
                return;
            }
        }
        // Who has gone already is told nothing.
        let _ = to.close().await;
    };
    let gone =
        async { while matches!(from.next().await, Some(Ok(message)) if !message.is_close()) {} };
    tokio::select! {
        () = sending => {}
        () = gone => {}
    }
}

/// Hands bytes between a program and its caller until the program ends, and then says with which exit
/// code. A program whose caller goes is at the end of its input.
pub(crate) async fn serve_program(
    connection: impl AsyncRead + AsyncWrite + Unpin,
    Session { stream, program }: Session,
) {
    let (mut to, mut from) = socket(connection).await.split();
    let (mut output, mut input) = tokio::io::split(stream);
    // Both at once: a program may write while it does not read.
    let printing = async {
        let mut buffer = vec![0; CHUNK];
        while let Ok(count @ 1..) = output.read(&mut buffer).await {
            if to.send(Message::binary(buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
        let code = json!({ "exit_code": program.ended().await });
        let _ = to.send(Message::text(code.to_string())).await;
        let _ = to.close().await;
    };
    let typing = async {
        while let Some(Ok(message)) = from.next().await {
            match message {
                // A program that has closed its input gets no more of it.
                Message::Binary(bytes) => _ = input.write_all(&bytes).await,
                Message::Text(text) => match serde_json::from_str(&text) {
                    Ok(Said::Resize { rows, columns }) => program.resize(rows, columns),
                    Ok(Said::EndOfInput {}) => _ = input.shutdown().await,
                    Err(error) => tracing::debug!(%error, "a caller of a program"),
                },
                Message::Close(_) => return,
                _ => {}
            }
        }
    };
    tokio::select! {
        () = printing => {}
        () = typing => {}
    }
}

/// A WebSocket whose handshake has been answered.
pub(crate) async fn socket<S: AsyncRead + AsyncWrite + Unpin>(connection: S) -> WebSocketStream<S> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MOST_BYTES))
        .max_frame_size(Some(MOST_BYTES));
    WebSocketStream::from_raw_socket(connection, Role::Server, Some(config)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_says_its_size_and_the_end_of_its_input() {
        let said = |text: &str| serde_json::from_str::<Said>(text).ok();
        let size = Said::Resize { rows: 24, columns: 80 };
        assert_eq!(said(r#"{"resize": {"rows": 24, "columns": 80}}"#), Some(size));
        assert_eq!(said(r#"{"end_of_input": {}}"#), Some(Said::EndOfInput {}));
        assert!(
            said(r#"{"resize": {"rows": -1, "columns": 80}}"#).is_none() && said("x").is_none()
        );
    }
}
