//! `berth secret`: what a Worker finds in its `env` and nobody can read back.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::worker::Worker;
use crate::api::{Request, failed};
use crate::args::{SecretArgs, SecretCommand};
use crate::error::{CliError, Kind};
use crate::human::{confirm, print_json, read_secret, table};
use crate::printer::Printer;

/// Longest text or file that is read.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

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
    let text = read_secret(&format!("Text of {key}"), printer)?;
    let body = json!({"name": key, "text": text, "type": "secret_text"});
    let _: Value = worker
        .client
        .ask(Request::put(worker.path("/secrets")).json(&body))
        .await
        .map_err(failed(&format!("set the secret {key} of \"{}\"", worker.name)))?;
    printer.success(format_args!("Set the secret {key} of {}", worker.name));
    Ok(())
}

async fn list(worker: &Worker, as_json: bool, printer: &Printer) -> Result<(), CliError> {
    let all: Vec<Value> = worker
        .client
        .ask(Request::get(worker.path("/secrets")))
        .await
        .map_err(failed(&format!("list the secrets of \"{}\"", worker.name)))?;
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
    let text = match file {
        Some(file) => fs_err::read_to_string(file)
            .map_err(|error| CliError::failure("read the secrets", error))?,
        None => stdin()?,
    };
    let secrets = parse(&text)?;
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

fn stdin() -> Result<String, CliError> {
    let mut text = String::new();
    let read = std::io::stdin().take(MOST_BYTES).read_to_string(&mut text);
    read.map_err(|error| CliError::failure("read standard input", error))?;
    Ok(text)
}

/// Texts by their names. Only the place of a mistake is told: they are secrets.
fn parse(text: &str) -> Result<BTreeMap<String, Option<String>>, CliError> {
    serde_json::from_str(text).map_err(|error| {
        let text = format!("the secrets are no JSON object of texts, from line {}", error.line());
        CliError::new(Kind::Usage, text).hint("write {\"NAME\": \"text\", \"NO_LONGER\": null}")
    })
}

fn patch(secrets: &BTreeMap<String, Option<String>>) -> Value {
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
        let secrets = parse(r#"{"A": "1", "B": null}"#).unwrap();
        let expected = json!({"A": {"name": "A", "text": "1", "type": "secret_text"}, "B": null});
        assert_eq!(patch(&secrets), expected);
        let error = parse("{\"A\": hush}").unwrap_err().to_string();
        assert!(error.contains("line 1") && !error.contains("hush"), "{error}");
    }
}
