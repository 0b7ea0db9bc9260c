//! `berth secret`: what a Worker finds in its `env` and nobody can read back.

use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::worker::Worker;
use crate::api::{Request, failed};
use crate::args::{SecretArgs, SecretCommand};
use crate::error::CliError;
use crate::human::{confirm, print_json, read_secret, table};
use crate::printer::Printer;
use crate::secrets::{self, Secrets};

pub(crate) async fn run(args: &SecretArgs, printer: &Printer) -> Result<(), CliError> {
    let worker = Worker::find(&args.place, printer).await?;
    match &args.command {
        SecretCommand::Put { key } => put(&worker, key, printer).await,
        SecretCommand::List { json } => list(&worker, *json, printer).await,
        SecretCommand::Delete { key, force } => delete(&worker, key, *force, printer).await,
        SecretCommand::Bulk { file } => bulk(&worker, file.as_deref(), printer).await,
    }
}

async fn put(worker: &Worker, key: &str, printer: &Printer) -> Result<(), CliError> {
    let text = text_of(key, printer)?;
    let body = json!({"name": key, "text": text, "type": "secret_text"});
    let _: Value = worker
        .client
        .ask(Request::put(worker.path("/secrets")).json(&body))
        .await
        .map_err(failed(&format!("set the secret {key} of \"{}\"", worker.name)))?;
    printer.success(format_args!("Set the secret {key} of {}", worker.name));
    Ok(())
}

/// The text of a secret, asked for or read from standard input.
pub(super) fn text_of(key: &str, printer: &Printer) -> Result<String, CliError> {
    read_secret(&format!("Text of {key}"), printer)
}

/// The secrets of the newest version, without their texts.
pub(super) async fn all(worker: &Worker) -> Result<Vec<Value>, CliError> {
    let asked = worker.client.ask(Request::get(worker.path("/secrets"))).await;
    asked.map_err(failed(&format!("list the secrets of \"{}\"", worker.name)))
}

pub(super) async fn list(
    worker: &Worker,
    as_json: bool,
    printer: &Printer,
) -> Result<(), CliError> {
    let all = all(worker).await?;
    if as_json {
        return print_json(&all, printer);
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows: Vec<_> = all.iter().map(|it| [text(&it["name"]), text(&it["type"])]).collect();
    for line in table(["NAME", "TYPE"], &rows) {
        printer.data(line);
    }
    Ok(())
}

async fn delete(
    worker: &Worker,
    key: &str,
    force: bool,
    printer: &Printer,
) -> Result<(), CliError> {
    let question = format!("Delete the secret {key} of the Worker \"{}\"?", worker.name);
    if !force && !confirm(&question, printer)? {
        printer.info("Nothing is deleted");
        return Ok(());
    }
    let encoded = utf8_percent_encode(key, NON_ALPHANUMERIC);
    let path = worker.path(&format!("/secrets/{encoded}?url_encoded=true"));
    let _: Value = worker
        .client
        .ask(Request::delete(path))
        .await
        .map_err(failed(&format!("delete the secret {key} of \"{}\"", worker.name)))?;
    printer.success(format_args!("Deleted the secret {key} of {}", worker.name));
    Ok(())
}

async fn bulk(worker: &Worker, file: Option<&Path>, printer: &Printer) -> Result<(), CliError> {
    let secrets = secrets::read(file)?;
    let body = json!({ "secrets": patch(&secrets) });
    let _: Value = worker
        .client
        .ask(Request::patch(worker.path("/secrets-bulk")).json(&body))
        .await
        .map_err(failed(&format!("set the secrets of \"{}\"", worker.name)))?;
    let deleted = secrets.values().filter(|text| text.is_none()).count();
    let (set, name) = (secrets.len() - deleted, &worker.name);
    printer.success(format_args!("Set {set} and deleted {deleted} secrets of {name}"));
    Ok(())
}

/// What is asked of the API: `null` deletes one. Pure.
pub(super) fn patch(secrets: &Secrets) -> Value {
    let one = |(name, text): (&String, &Option<String>)| {
        let secret = |text| json!({"name": name, "text": text, "type": "secret_text"});
        (name.clone(), text.as_ref().map_or(Value::Null, secret))
    };
    Value::Object(secrets.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_set_and_nothing_deletes() {
        let secrets = Secrets::from([("A".into(), Some("1".into())), ("B".into(), None)]);
        let expected = json!({"A": {"name": "A", "text": "1", "type": "secret_text"}, "B": null});
        assert_eq!(patch(&secrets), expected);
    }
}
