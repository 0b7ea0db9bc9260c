//! `berth secrets-store`: secrets of an account, which Workers and registries refer to by name.

use std::path::Path;

use serde_json::{Value, json};

use crate::api::{Client, Request, Target, escaped, failed};
use crate::args::{
    CreateSecretArgs, DuplicateSecretArgs, NewSecret, SecretsStoreArgs, SecretsStoreCommand,
    StoreCommand, StoredSecretCommand, UpdateSecretArgs, WhichSecret,
};
use crate::error::{CliError, Kind};
use crate::human::{confirm, print_json, read_secret, table};
use crate::printer::Printer;

const STORES: &str = "/secrets_store/stores";

pub(crate) async fn run(args: &SecretsStoreArgs, printer: &Printer) -> Result<(), CliError> {
    // Nothing else could be meant: `berth dev` has no store.
    let _ = args.remote;
    let client = Client::open(&Target::find(Path::new("."), args.env.as_deref())?).await?;
    match &args.command {
        SecretsStoreCommand::Store(command) => of_stores(&client, command, printer).await,
        SecretsStoreCommand::Secret(command) => of_secrets(&client, command, printer).await,
    }
}

async fn of_stores(
    client: &Client,
    command: &StoreCommand,
    printer: &Printer,
) -> Result<(), CliError> {
    match command {
        StoreCommand::Create { name } => {
            let made = create_store(client, name).await?;
            printer.success(format_args!("Made the store {name}"));
            printer.data(text(&made["id"]));
            Ok(())
        }
        StoreCommand::List { json } => {
            let all = stores(client).await?;
            if *json {
                return print_json(&all, printer);
            }
            if all.is_empty() {
                printer.info("There are no stores");
                return Ok(());
            }
            let rows: Vec<_> = all.iter().map(store_row).collect();
            for line in table(["NAME", "ID", "ACCOUNT ID", "CREATED", "MODIFIED"], &rows) {
                printer.data(line);
            }
            Ok(())
        }
        StoreCommand::Delete { store } => {
            let found = find_store(client, store).await?;
            let _: Value = client
                .ask(Request::delete(store_path(client, &text(&found["id"]), "")))
                .await
                .map_err(failed(&format!("delete the store \"{store}\"")))?;
            printer.success(format_args!("Deleted the store {}", text(&found["name"])));
            Ok(())
        }
    }
}

async fn of_secrets(
    client: &Client,
    command: &StoredSecretCommand,
    printer: &Printer,
) -> Result<(), CliError> {
    match command {
        StoredSecretCommand::Create(args) => create(client, args, printer).await,
        StoredSecretCommand::List { store, json } => list(client, store, *json, printer).await,
        StoredSecretCommand::Get { which, json } => {
            let secret = find_secret(client, which).await?;
            match *json {
                true => print_json(&secret, printer),
                false => {
                    print(&[secret], printer);
                    Ok(())
                }
            }
        }
        StoredSecretCommand::Update(args) => update(client, args, printer).await,
        StoredSecretCommand::Delete { which, force } => {
            delete(client, which, *force, printer).await
        }
        StoredSecretCommand::Duplicate(args) => duplicate(client, args, printer).await,
    }
}

async fn create(
    client: &Client,
    args: &CreateSecretArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    refuse_value(args.value.as_deref())?;
    let store = text(&find_store(client, &args.store).await?["id"]);
    let name = &args.secret.name;
    let mut wanted = described(&args.secret);
    wanted["value"] = json!(read_secret(&format!("Value of {name}"), printer)?);
    let made = create_secret(client, &store, wanted).await?;
    printer.success(format_args!("Made the secret {name}"));
    printer.data(text(&made["id"]));
    Ok(())
}

async fn list(
    client: &Client,
    store: &str,
    as_json: bool,
    printer: &Printer,
) -> Result<(), CliError> {
    let store = find_store(client, store).await?;
    let all = secrets(client, &text(&store["id"])).await?;
    if as_json {
        return print_json(&all, printer);
    }
    if all.is_empty() {
        printer.info(format_args!("The store {} has no secrets", text(&store["name"])));
        return Ok(());
    }
    print(&all, printer);
    Ok(())
}

async fn update(
    client: &Client,
    args: &UpdateSecretArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    refuse_value(args.value.as_deref())?;
    let secret = find_secret(client, &args.which).await?;
    let name = text(&secret["name"]);
    let value = match asks_for_value(args) {
        true => Some(read_secret(&format!("New value of {name}"), printer)?),
        false => None,
    };
    let _: Value = client
        .ask(Request::patch(secret_path(client, &secret, "")).json(&change(args, value)))
        .await
        .map_err(failed(&format!("change the secret \"{name}\"")))?;
    printer.success(format_args!("Changed the secret {name}"));
    Ok(())
}

async fn delete(
    client: &Client,
    which: &WhichSecret,
    force: bool,
    printer: &Printer,
) -> Result<(), CliError> {
    let secret = find_secret(client, which).await?;
    let name = text(&secret["name"]);
    let question = format!("Delete the secret \"{name}\" of the store \"{}\"?", which.store);
    if !force && !confirm(&question, printer)? {
        printer.info("Nothing is deleted");
        return Ok(());
    }
    delete_secret(client, &secret).await?;
    printer.success(format_args!("Deleted the secret {name}"));
    Ok(())
}

async fn duplicate(
    client: &Client,
    args: &DuplicateSecretArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    let secret = find_secret(client, &args.which).await?;
    let copy = described(&args.copy);
    let made: Value = client
        .ask(Request::post(secret_path(client, &secret, "/duplicate")).json(&copy))
        .await
        .map_err(failed(&format!("duplicate the secret \"{}\"", text(&secret["name"]))))?;
    printer.success(format_args!("Made the secret {} of the same value", args.copy.name));
    printer.data(text(&made["id"]));
    Ok(())
}

/// A new secret without its value, as the API wants it.
fn described(secret: &NewSecret) -> Value {
    json!({ "name": secret.name, "scopes": secret.scopes, "comment": secret.comment })
}

/// All stores of the account.
pub(super) async fn stores(client: &Client) -> Result<Vec<Value>, CliError> {
    let request = Request::get(client.path(STORES));
    client.ask(request).await.map_err(failed("list the stores of secrets"))
}

pub(super) async fn create_store(client: &Client, name: &str) -> Result<Value, CliError> {
    let request = Request::post(client.path(STORES)).json(&json!({ "name": name }));
    client.ask(request).await.map_err(failed(&format!("make the store \"{name}\"")))
}

/// The store with this id or name.
pub(super) async fn find_store(client: &Client, named: &str) -> Result<Value, CliError> {
    named_so(stores(client).await?, named).ok_or_else(|| {
        CliError::new(Kind::Failure, format!("there is no store \"{named}\""))
            .hint("`berth secrets-store store list` shows which there are")
    })
}

/// All secrets of a store, without their values.
pub(super) async fn secrets(client: &Client, store: &str) -> Result<Vec<Value>, CliError> {
    let request = Request::get(store_path(client, store, "/secrets"));
    client.ask(request).await.map_err(failed("list the secrets of the store"))
}

/// Makes one secret; what is said of it.
pub(super) async fn create_secret(
    client: &Client,
    store: &str,
    wanted: Value,
) -> Result<Value, CliError> {
    let attempt = format!("make the secret \"{}\"", text(&wanted["name"]));
    let request = Request::post(store_path(client, store, "/secrets")).json(&json!([wanted]));
    let made: Vec<Value> = client.ask(request).await.map_err(failed(&attempt))?;
    Ok(made.into_iter().next().unwrap_or_default())
}

pub(super) async fn delete_secret(client: &Client, secret: &Value) -> Result<(), CliError> {
    let attempt = format!("delete the secret \"{}\"", text(&secret["name"]));
    let request = Request::delete(secret_path(client, secret, ""));
    client.ask::<Value>(request).await.map(drop).map_err(failed(&attempt))
}

async fn find_secret(client: &Client, which: &WhichSecret) -> Result<Value, CliError> {
    let WhichSecret { store, secret: named } = which;
    let id = text(&find_store(client, store).await?["id"]);
    named_so(secrets(client, &id).await?, named).ok_or_else(|| {
        CliError::new(Kind::Failure, format!("the store \"{store}\" has no secret \"{named}\""))
            .hint(format!("`berth secrets-store secret list {store}` shows which it has"))
    })
}

/// The one with this id or name.
pub(super) fn named_so(all: Vec<Value>, named: &str) -> Option<Value> {
    all.into_iter().find(|one| ["id", "name"].iter().any(|key| one[key] == named))
}

fn store_path(client: &Client, store: &str, below: &str) -> String {
    client.path(&format!("{STORES}/{}{below}", escaped(store)))
}

fn secret_path(client: &Client, secret: &Value, below: &str) -> String {
    let id = escaped(&text(&secret["id"]));
    store_path(client, &text(&secret["store_id"]), &format!("/secrets/{id}{below}"))
}

/// A process list and a shell's history would show it.
fn refuse_value(value: Option<&str>) -> Result<(), CliError> {
    let text = "`--value` would show the secret in lists of processes and in the shell's history";
    match value {
        None => Ok(()),
        Some(_) => Err(CliError::new(Kind::Usage, text)
            .hint("leave it out: the value is asked for, or read from standard input")),
    }
}

fn asks_for_value(args: &UpdateSecretArgs) -> bool {
    args.new_value || (args.scopes.is_empty() && args.comment.is_none())
}

/// What changes; the rest stays.
fn change(args: &UpdateSecretArgs, value: Option<String>) -> Value {
    let mut body = json!({});
    if let Some(value) = value {
        body["value"] = json!(value);
    }
    if !args.scopes.is_empty() {
        body["scopes"] = json!(args.scopes);
    }
    if let Some(comment) = &args.comment {
        body["comment"] = json!(comment);
    }
    body
}

fn print(secrets: &[Value], printer: &Printer) {
    let rows: Vec<_> = secrets.iter().map(secret_row).collect();
    let columns = ["NAME", "ID", "COMMENT", "SCOPES", "STATUS", "CREATED", "MODIFIED"];
    for line in table(columns, &rows) {
        printer.data(line);
    }
}

fn store_row(store: &Value) -> [String; 5] {
    ["name", "id", "account_id", "created", "modified"].map(|key| text(&store[key]))
}

fn secret_row(secret: &Value) -> [String; 7] {
    let scopes = secret["scopes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let scopes: Vec<&str> = scopes.iter().filter_map(Value::as_str).collect();
    [
        text(&secret["name"]),
        text(&secret["id"]),
        text(&secret["comment"]),
        scopes.join(", "),
        text(&secret["status"]),
        text(&secret["created"]),
        text(&secret["modified"]),
    ]
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn update_args(options: &[&str]) -> UpdateSecretArgs {
        let which = ["update", "s", "--secret-id", "A"];
        UpdateSecretArgs::parse_from(which.iter().chain(options))
    }

    #[test]
    fn only_what_is_said_changes_and_without_a_word_the_value() {
        let args = update_args(&["--scopes", "workers,containers"]);
        assert!(!asks_for_value(&args));
        assert_eq!(change(&args, None), json!({"scopes": ["workers", "containers"]}));
        let args = update_args(&["--comment", "why", "--new-value"]);
        assert!(asks_for_value(&args));
        let changed = json!({"value": "hush", "comment": "why"});
        assert_eq!(change(&args, Some("hush".into())), changed);
        assert!(asks_for_value(&update_args(&[])));
    }

    #[test]
    fn a_value_on_the_command_line_is_refused_and_not_repeated() {
        let error = refuse_value(Some("hush")).unwrap_err();
        assert!(!format!("{error:?}").contains("hush"));
        assert!(refuse_value(None).is_ok());
    }

    #[test]
    fn a_secret_is_found_by_its_id_or_its_name() {
        let all = vec![json!({"id": "1", "name": "A"}), json!({"id": "2", "name": "B"})];
        assert_eq!(named_so(all.clone(), "B").unwrap()["id"], "2");
        assert_eq!(named_so(all.clone(), "1").unwrap()["name"], "A");
        assert_eq!(named_so(all, "C"), None);
    }

    #[test]
    fn a_row_has_wranglers_columns() {
        let secret = json!({"name": "A", "id": "1", "comment": "", "status": "active",
            "scopes": ["workers", "containers"], "created": "then", "modified": "now"});
        let row = secret_row(&secret);
        assert_eq!(row, ["A", "1", "", "workers, containers", "active", "then", "now"]);
    }
}
