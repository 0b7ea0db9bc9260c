//! `berth versions` and `berth deployments`: what a Worker was, and which of it has served.

use jiff::Timestamp;
use serde_json::Value;

use super::worker::Worker;
use crate::api::{Request, failed};
use crate::args::{VersionsArgs, VersionsCommand};
use crate::error::CliError;
use crate::human::{ago, print_json, table};
use crate::printer::Printer;

pub(crate) async fn run(args: &VersionsArgs, printer: &Printer) -> Result<(), CliError> {
    let VersionsCommand::List { json } = args.command;
    let worker = Worker::find(&args.place, printer).await?;
    let answer: Value = worker
        .client
        .ask(Request::get(worker.path("/versions")))
        .await
        .map_err(failed(&format!("list the versions of \"{}\"", worker.name)))?;
    if json {
        return print_json(&answer["items"], printer);
    }
    let row = |version: &Value| {
        let (metadata, notes) = (&version["metadata"], &version["annotations"]);
        [
            text(&version["id"]),
            since(&metadata["created_on"]),
            text(&metadata["author_email"]),
            text(&notes["workers/tag"]),
            text(&notes["workers/message"]),
        ]
    };
    let rows: Vec<_> = answer["items"].as_array().into_iter().flatten().map(row).collect();
    for line in table(["VERSION", "CREATED", "AUTHOR", "TAG", "MESSAGE"], &rows) {
        printer.data(line);
    }
    Ok(())
}

/// `berth deployments list`.
pub(crate) async fn deployments(args: &VersionsArgs, printer: &Printer) -> Result<(), CliError> {
    let VersionsCommand::List { json } = args.command;
    let worker = Worker::find(&args.place, printer).await?;
    let all = deployments_of(&worker).await?;
    if json {
        return print_json(&all, printer);
    }
    let row = |deployment: &Value| {
        let notes = &deployment["annotations"];
        [
            text(&deployment["versions"][0]["version_id"]),
            since(&deployment["created_on"]),
            text(&deployment["author_email"]),
            text(&notes["workers/triggered_by"]),
            text(&notes["workers/message"]),
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    for line in table(["VERSION", "DEPLOYED", "AUTHOR", "BY", "MESSAGE"], &rows) {
        printer.data(line);
    }
    Ok(())
}

/// The deployments of a Worker, the newest first.
pub(super) async fn deployments_of(worker: &Worker) -> Result<Vec<Value>, CliError> {
    let mut answer: Value = worker
        .client
        .ask(Request::get(worker.path("/deployments")))
        .await
        .map_err(failed(&format!("list the deployments of \"{}\"", worker.name)))?;
    Ok(match answer["deployments"].take() {
        Value::Array(all) => all,
        _ => Vec::new(),
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn since(value: &Value) -> String {
    let then = value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let now = Timestamp::now().as_second();
    then.map(|then| ago(now, then.as_second())).unwrap_or_default()
}
