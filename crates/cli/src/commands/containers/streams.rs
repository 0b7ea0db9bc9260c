//! `berth containers logs` and `events`: what instances print, and what happens to them.

use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde_json::Value;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio_tungstenite::tungstenite::Message;

use super::{PROTOCOL, client, find, text};
use crate::api::{Socket, escaped, failed};
use crate::args::{EventsArgs, LogsArgs};
use crate::dev::signals::stop_token;
use crate::docker::terminal;
use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// Bytes on their way that nobody has taken yet.
const BUFFER: usize = 64 * 1024;

pub(super) async fn logs(args: &LogsArgs) -> Result<(), CliError> {
    let client = client(&args.place).await?;
    let mut path = client.path(&format!(
        "/berth/instances/{}/log?follow={}&timestamps={}",
        escaped(&args.instance),
        args.follow,
        args.timestamps
    ));
    if let Some(tail) = args.tail {
        path += &format!("&tail={tail}");
    }
    if let Some(since) = args.since.and_then(|age| Timestamp::now().checked_sub(age).ok()) {
        path += &format!("&since={since}");
    }
    let socket = client.socket(&path, PROTOCOL).await;
    let socket = socket.map_err(failed("read the instance's log"))?;
    let (ours, frames) = tokio::io::duplex(BUFFER);
    let reading = tokio::spawn(receive(socket, frames));
    let stop = stop_token()?;
    let Some(printed) = stop.run_until_cancelled(terminal::demultiplex(ours)).await else {
        return Ok(());
    };
    printed.map_err(|error| CliError::failure("print the log", error))?;
    reading.await.map_err(|error| CliError::failure("read the instance's log", error))?
}

/// Hands the bytes of messages on until the platform has no more.
async fn receive(mut socket: Socket, mut to: DuplexStream) -> Result<(), CliError> {
    while let Some(message) = next(&mut socket).await? {
        if let Message::Binary(bytes) = message
            && to.write_all(&bytes).await.is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

pub(super) async fn events(args: &EventsArgs, printer: &Printer) -> Result<(), CliError> {
    let client = client(&args.place).await?;
    let mut path = client.path(&format!("/berth/events?follow={}", args.follow));
    if let Some(named) = &args.application {
        let application = find(&client, named).await?;
        path += &format!("&application={}", escaped(&text(&application["id"])));
    }
    let socket = client.socket(&path, PROTOCOL).await;
    let mut socket = socket.map_err(failed("read the events"))?;
    let printing = async {
        while let Some(message) = next(&mut socket).await? {
            if let Message::Text(text) = message {
                print(&text, args.json, printer);
            }
        }
        Ok(())
    };
    stop_token()?.run_until_cancelled(printing).await.unwrap_or(Ok(()))
}

fn print(event: &str, json: bool, printer: &Printer) {
    match serde_json::from_str::<Value>(event) {
        Ok(event) if !json => printer.data(line(&event)),
        _ => printer.data(event),
    }
}

fn line(event: &Value) -> String {
    let [time, application, instance, kind, message] =
        ["time", "application", "instance", "event", "message"].map(|key| text(&event[key]));
    let time = time.parse().map(|time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let time = time.unwrap_or_default();
    format!("{time}  {application}  {instance}  {kind}  {message}")
}

/// The next message; `None` when the platform has said that there is no more.
pub(super) async fn next(socket: &mut Socket) -> Result<Option<Message>, CliError> {
    const AGAIN: &str = "see whether `berth serve` runs there, and run it again";
    match socket.next().await {
        Some(Ok(Message::Close(_))) => Ok(None),
        Some(Ok(message)) => Ok(Some(message)),
        Some(Err(error)) => Err(CliError::failure("hear from the platform", error).hint(AGAIN)),
        None => {
            Err(CliError::new(Kind::Failure, "the platform has ended the connection").hint(AGAIN))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_a_line() {
        let event = json!({"time": "2026-01-02T03:04:05.678Z", "application": "app",
            "instance": "i", "durable_object": "o", "event": "started", "message": "in 3 ms"});
        assert_eq!(line(&event), "2026-01-02T03:04:05Z  app  i  started  in 3 ms");
    }
}
