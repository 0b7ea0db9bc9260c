//! `berth login`: keeps a platform's address and a token for it, once the platform has taken it.

use std::io::{IsTerminal as _, Read as _};

use project::config::Secret;
use serde_json::Value;

use crate::api::{Client, Request, Target, failed, login};
use crate::args::LoginArgs;
use crate::error::{CliError, Kind};
use crate::human::ask_secret;
use crate::printer::Printer;

/// Longest token that is read.
const MOST_BYTES: u64 = 64 * 1024;

pub(crate) async fn run(args: &LoginArgs, printer: &Printer) -> Result<(), CliError> {
    let path = login::path()?;
    let token = token(&args.url, printer)?;
    let mut target = Target::at(&args.url, token, args.registry.clone())?;
    let client = Client::open(&target).await?;
    let verified: Value = client
        .ask(Request::get("/user/tokens/verify"))
        .await
        .map_err(failed("have the token checked"))?;
    target.account = Some(client.account().to_owned());
    login::write(&path, &target)?;
    let name = verified["name"].as_str().unwrap_or_default();
    printer.success(format_args!("Logged in to {} with the token \"{name}\"", target.url));
    Ok(())
}

/// The token, which is on no command line.
fn token(url: &str, printer: &Printer) -> Result<Secret, CliError> {
    let failed = |error| CliError::failure("read the token", error);
    let mut text = String::new();
    if std::io::stdin().is_terminal() {
        text = ask_secret(&format!("Token for {url}"), printer).map_err(failed)?;
    } else {
        std::io::stdin().take(MOST_BYTES).read_to_string(&mut text).map_err(failed)?;
    }
    match text.trim() {
        "" => Err(CliError::new(Kind::Usage, "there is no token").hint(
            "write it to standard input; on the platform's machine `berth token create` makes one",
        )),
        text => Ok(Secret::new(text)),
    }
}
