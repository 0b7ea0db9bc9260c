//! `berth tail`: what happens in a deployed Worker, while it happens.

mod show;

use std::io::IsTerminal as _;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::worker::Worker;
use crate::api::{Request, Socket, SocketError, failed, open_socket};
use crate::args::{TailArgs, TailFormat, TailStatus, WorkerPlace};
use crate::dev::signals::stop_token;
use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// What the platform speaks to its watchers.
const PROTOCOL: &str = "trace-v1";
/// What to do when the platform has gone.
const AGAIN: &str = "see whether `berth serve` runs there, and run it again";

pub(crate) async fn run(args: &TailArgs, printer: &Printer) -> Result<(), CliError> {
    let name = args.worker.clone().or_else(|| args.place.name.clone());
    let place = WorkerPlace { name, ..args.place.clone() };
    let worker = Worker::find(&place, printer).await?;
    let stop = stop_token()?;
    let attempt = format!("watch \"{}\"", worker.name);
    let path = worker.path("/tails");
    let wanted = Request::post(&path).json(&json!({ "filters": filters(args) }));
    let tail: Value = worker.client.ask(wanted).await.map_err(failed(&attempt))?;
    let url = tail["url"].as_str().unwrap_or_default();
    let watching = async {
        let opened = open_socket(url, Some(PROTOCOL), None).await;
        let socket = opened.map_err(|error: SocketError| CliError::failure(&attempt, error))?;
        printer.info(format_args!("Watching {}; Ctrl-C ends it", worker.name));
        let is_terminal = std::io::stdout().is_terminal();
        let chosen = if is_terminal { TailFormat::Pretty } else { TailFormat::Json };
        watch(socket, args.format.unwrap_or(chosen), printer).await
    };
    let watched = stop.run_until_cancelled(watching).await;
    // It would live for hours otherwise, and a Worker has few.
    let id = tail["id"].as_str().unwrap_or_default();
    let gone: Result<Option<Value>, _> =
        worker.client.find(Request::delete(format!("{path}/{id}"))).await;
    watched.unwrap_or(Ok(()))?;
    gone.map(drop).map_err(failed("end the watching"))
}

/// Prints what comes until the platform says that it is over.
async fn watch(mut socket: Socket, format: TailFormat, printer: &Printer) -> Result<(), CliError> {
    while let Some(message) = socket.next().await {
        match message {
            Ok(Message::Text(text)) => print(&text, format, printer),
            Ok(Message::Binary(bytes)) => print(&String::from_utf8_lossy(&bytes), format, printer),
            Ok(Message::Close(Some(frame))) if frame.code == CloseCode::Normal => return Ok(()),
            Ok(_) => {}
            Err(error) => {
                return Err(CliError::failure("hear from the platform", error).hint(AGAIN));
            }
        }
    }
    Err(CliError::new(Kind::Failure, "the platform has ended the connection").hint(AGAIN))
}

fn print(text: &str, format: TailFormat, printer: &Printer) {
    let event: Result<Value, _> = serde_json::from_str(text);
    match (format, event) {
        (TailFormat::Pretty, Ok(event)) => {
            show::lines(&event).into_iter().for_each(|line| printer.data(line));
        }
        (TailFormat::Json, _) | (_, Err(_)) => printer.data(text),
    }
}

/// The conditions, as wrangler sends them.
fn filters(args: &TailArgs) -> Vec<Value> {
    let mut filters = Vec::new();
    if let Some(rate) = args.sampling_rate {
        filters.push(json!({ "sampling_rate": rate }));
    }
    let outcomes: Vec<&str> =
        args.status.iter().flat_map(|status| outcomes(*status)).copied().collect();
    if !outcomes.is_empty() {
        filters.push(json!({ "outcome": outcomes }));
    }
    if !args.method.is_empty() {
        filters.push(json!({ "method": args.method }));
    }
    match args.header() {
        Some((key, Some(query))) => filters.push(json!({"header": {"key": key, "query": query}})),
        Some((key, None)) => filters.push(json!({"header": {"key": key}})),
        None => {}
    }
    if !args.ips.is_empty() {
        filters.push(json!({ "client_ip": args.ips }));
    }
    if let Some(query) = &args.search {
        filters.push(json!({ "query": query }));
    }
    if let Some(version) = &args.version_id {
        filters.push(json!({ "scriptVersion": version }));
    }
    filters
}

fn outcomes(status: TailStatus) -> &'static [&'static str] {
    match status {
        TailStatus::Ok => &["ok"],
        TailStatus::Canceled => &["canceled"],
        TailStatus::Error => &["exception", "exceededCpu", "exceededMemory", "unknown"],
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn filters_are_sent_as_wrangler_sends_them() {
        let args = |args: &[&str]| TailArgs::try_parse_from([&["tail"][..], args].concat());
        assert!(filters(&args(&[]).unwrap()).is_empty());
        let all = args(&[
            "--sampling-rate=0.5",
            "--status=error",
            "--method",
            "GET",
            "--method",
            "PUT",
            "--header",
            "x-tag: blue",
            "--ip",
            "self",
            "--search",
            "needle",
            "--version-id",
            "v",
        ]);
        let expected = json!([
            {"sampling_rate": 0.5},
            {"outcome": ["exception", "exceededCpu", "exceededMemory", "unknown"]},
            {"method": ["GET", "PUT"]},
            {"header": {"key": "x-tag", "query": "blue"}},
            {"client_ip": ["self"]},
            {"query": "needle"},
            {"scriptVersion": "v"},
        ]);
        assert_eq!(json!(filters(&all.unwrap())), expected);
        assert_eq!(filters(&args(&["--header", "x"]).unwrap()), [json!({"header": {"key": "x"}})]);
        for wrong in [&["--sampling-rate", "1"][..], &["--status", "bad"], &["a", "--name", "b"]] {
            assert!(args(wrong).is_err(), "{wrong:?}");
        }
    }
}
