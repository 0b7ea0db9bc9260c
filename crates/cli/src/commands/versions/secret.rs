//! `berth versions secret`: versions like the newest one with other secrets, which do not serve yet.

use serde_json::{Value, json};

use super::made;
use crate::api::{Request, failed};
use crate::args::{Notes, VersionSecretCommand};
use crate::commands::secret::{all, list, patch, text_of};
use crate::commands::worker::Worker;
use crate::error::{CliError, Kind};
use crate::human::confirm;
use crate::printer::Printer;
use crate::secrets::{self, Secrets};

pub(super) async fn run(
    worker: &Worker,
    command: &VersionSecretCommand,
    printer: &Printer,
) -> Result<(), CliError> {
    match command {
        VersionSecretCommand::Put { key, notes } => {
            let secrets = Secrets::from([(key.clone(), Some(text_of(key, printer)?))]);
            change(worker, &secrets, notes, printer).await
        }
        VersionSecretCommand::List { json } => list(worker, *json, printer).await,
        VersionSecretCommand::Delete { key, force, notes } => {
            check_there(worker, key).await?;
            let question = format!("Make a version of \"{}\" without {key}?", worker.name);
            if !force && !confirm(&question, printer)? {
                printer.info("Nothing has changed");
                return Ok(());
            }
            let secrets = Secrets::from([(key.clone(), None)]);
            change(worker, &secrets, notes, printer).await
        }
        VersionSecretCommand::Bulk { file, notes } => {
            change(worker, &secrets::read(file.as_deref())?, notes, printer).await
        }
    }
}

/// Makes the version.
async fn change(
    worker: &Worker,
    secrets: &Secrets,
    notes: &Notes,
    printer: &Printer,
) -> Result<(), CliError> {
    let path = format!("/workers/workers/{}/versions/latest", worker.name);
    let body = json!({"env": patch(secrets), "annotations": notes.annotations()});
    let version: Value = worker
        .client
        .ask(Request::patch(worker.client.path(&path)).json(&body))
        .await
        .map_err(failed(&format!("change the secrets of a version of \"{}\"", worker.name)))?;
    printer.success(format_args!("Made a version of {} with other secrets", worker.name));
    made(version["id"].as_str().unwrap_or_default(), printer);
    Ok(())
}

/// The platform deletes also what there is not, by a version like the one before.
async fn check_there(worker: &Worker, key: &str) -> Result<(), CliError> {
    if all(worker).await?.iter().any(|secret| secret["name"] == json!(key)) {
        return Ok(());
    }
    let text = format!("the newest version of \"{}\" has no secret {key}", worker.name);
    Err(CliError::new(Kind::Failure, text)
        .hint("`berth versions secret list` shows those that it has"))
}
