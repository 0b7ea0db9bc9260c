//! `berth token`: who may use this machine's API. Works on the data directory, whether `berth serve`
//! runs or not.

use std::sync::Arc;
use std::time::Duration;

use control::{Scope, Token, TokenError, Tokens};
use jiff::Timestamp;
use serde_json::json;
use store::Sqlite;

use crate::args::{TokenArgs, TokenCommand};
use crate::error::CliError;
use crate::human::{ago, print_json, table};
use crate::paths;
use crate::printer::Printer;
use crate::serve::Folders;

pub(crate) fn run(args: &TokenArgs, printer: &Printer) -> Result<(), CliError> {
    let folders = Folders::under(&args.data.clone().unwrap_or_else(paths::home));
    folders.make()?;
    let store = Sqlite::open(&folders.database)
        .map_err(|error| CliError::failure("open the records", error))?;
    let tokens = Tokens::new(Arc::new(store));
    match &args.command {
        TokenCommand::Create { name, scopes, expires_in } => {
            create(&tokens, name, scopes, *expires_in, printer)
        }
        TokenCommand::List { json } => list(&tokens, *json, printer),
        TokenCommand::Revoke { id } => revoke(&tokens, id, printer),
    }
}

fn create(
    tokens: &Tokens,
    name: &str,
    scopes: &[Scope],
    expires_in: Option<Duration>,
    printer: &Printer,
) -> Result<(), CliError> {
    let end = expires_in.and_then(|time| Timestamp::now().checked_add(time).ok());
    let (token, text) = tokens
        .create(name, scopes, end)
        .map_err(|error| CliError::failure("make a token", error))?;
    printer.info(format_args!("Token {} \"{name}\"; it is shown this once:", token.id));
    printer.data(text);
    Ok(())
}

fn list(tokens: &Tokens, as_json: bool, printer: &Printer) -> Result<(), CliError> {
    let all = tokens.list().map_err(|error| CliError::failure("list the tokens", error))?;
    if as_json {
        let shown = |token: &Token| {
            json!({"id": token.id, "name": token.name, "scopes": token.scopes,
                "created_on": token.created_on, "expires_on": token.expires_on})
        };
        return print_json(&all.iter().map(shown).collect::<Vec<_>>(), printer);
    }
    let now = Timestamp::now();
    let row = |token: &Token| {
        let scopes: Vec<_> = token.scopes.iter().map(|scope| scope.name()).collect();
        let expires = match token.expires_on {
            None => "never".to_owned(),
            Some(end) if token.is_valid(now) => end.strftime("%Y-%m-%d %H:%M").to_string(),
            Some(_) => "expired".to_owned(),
        };
        let age = ago(now.as_second(), token.created_on.as_second());
        [token.id.clone(), token.name.clone(), scopes.join(","), age, expires]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    for line in table(["ID", "NAME", "SCOPES", "CREATED", "EXPIRES"], &rows) {
        printer.data(line);
    }
    Ok(())
}

fn revoke(tokens: &Tokens, id: &str, printer: &Printer) -> Result<(), CliError> {
    tokens.revoke(id).map_err(|error| {
        let unknown = matches!(error, TokenError::Unknown(_));
        let error = CliError::failure("revoke the token", error);
        if unknown { error.hint("`berth token list` shows the ids") } else { error }
    })?;
    printer.success(format_args!("Token {id} is worth nothing from now on"));
    Ok(())
}
