//! `berth containers exec`: a program in an instance, on this terminal.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_tungstenite::tungstenite::Message;

use super::{PROTOCOL, client};
use crate::api::{Request, Socket, escaped, failed};
use crate::args::ExecArgs;
use crate::docker::terminal::{self, Streams};
use crate::error::{CliError, Kind};

const ATTEMPT: &str = "run a program in the instance";
/// Bytes of what is typed in one message.
const CHUNK: usize = 16 * 1024;
/// Bytes on their way that nobody has taken yet.
const BUFFER: usize = 64 * 1024;

/// Its exit code is the program's.
pub(super) async fn run(args: &ExecArgs) -> Result<u8, CliError> {
    let client = client(&args.place).await?;
    let path = client.path(&format!("/berth/instances/{}/execs", escaped(&args.instance)));
    let wanted = json!({"command": args.command, "tty": args.tty, "stdin": args.interactive});
    let made: Value =
        client.ask(Request::post(path).json(&wanted)).await.map_err(failed(ATTEMPT))?;
    let id = made["id"].as_str().unwrap_or_default();
    let size = match terminal::size().filter(|_| args.tty) {
        Some((rows, columns)) => format!("?rows={rows}&columns={columns}"),
        None => String::new(),
    };
    let path = client.path(&format!("/berth/execs/{}{size}", escaped(id)));
    let socket = client.socket(&path, PROTOCOL).await;
    let socket = socket.map_err(failed(ATTEMPT))?;
    let (ours, programs) = tokio::io::duplex(BUFFER);
    let relaying = tokio::spawn(relay(socket, programs, args.tty));
    let streams = Streams { stdin: args.interactive, tty: args.tty };
    let served = terminal::serve(ours, streams).await;
    let code = relaying.await.map_err(|error| CliError::failure(ATTEMPT, error))??;
    served?;
    Ok(u8::try_from(code & 0xff).unwrap_or(1))
}

/// Hands bytes between the terminal and the program until that ends: its exit code.
async fn relay(socket: Socket, stream: DuplexStream, tty: bool) -> Result<i64, CliError> {
    let (mut to, mut from) = socket.split();
    let (mut typed, mut shown) = tokio::io::split(stream);
    let typing = async {
        let mut window = signal(SignalKind::window_change()).ok().filter(|_| tty);
        let mut buffer = vec![0; CHUNK];
        let mut ended = false;
        loop {
            let message = tokio::select! {
                read = typed.read(&mut buffer), if !ended => match read {
                    Ok(count @ 1..) => Message::binary(buffer[..count].to_vec()),
                    _ => {
                        ended = true;
                        Message::text(json!({ "end_of_input": {} }).to_string())
                    }
                },
                size = resized(&mut window) => Message::text(size),
            };
            if to.send(message).await.is_err() {
                // Who reads will be told why.
                std::future::pending::<()>().await;
            }
        }
    };
    let printing = async {
        while let Some(message) = from.next().await {
            match message.map_err(|error| CliError::failure("hear from the platform", error))? {
                Message::Binary(bytes) => {
                    let written = shown.write_all(&bytes).await;
                    written.map_err(|error| CliError::failure("print the output", error))?;
                }
                Message::Text(text) => {
                    if let Some(code) = exit_code(&text) {
                        let _ = shown.shutdown().await;
                        return Ok(code);
                    }
                }
                _ => {}
            }
        }
        Err(CliError::new(
            Kind::Failure,
            "the platform ended the connection before the program ended",
        )
        .hint("see whether `berth serve` runs there"))
    };
    tokio::select! {
        code = printing => code,
        never = typing => never,
    }
}

/// The terminal's new size, once it has one.
async fn resized(window: &mut Option<Signal>) -> String {
    loop {
        let changed = match window {
            Some(window) => window.recv().await,
            None => None,
        };
        match changed.and_then(|()| terminal::size()) {
            Some((rows, columns)) => {
                return json!({"resize": {"rows": rows, "columns": columns}}).to_string();
            }
            None => std::future::pending().await,
        }
    }
}

fn exit_code(text: &str) -> Option<i64> {
    let said: Value = serde_json::from_str(text).ok()?;
    said["exit_code"].as_i64()
}
