//! `berth env`: the lines by which wrangler and `berth deploy` find a platform.

use std::sync::Arc;

use control::{Scope, Tokens};
use project::config::Secret;
use store::Sqlite;

use crate::api::{Target, login};
use crate::args::EnvArgs;
use crate::docker;
use crate::error::{CliError, Kind};
use crate::paths;
use crate::printer::Printer;
use crate::serve::{Address, Folders};

pub(crate) fn run(args: &EnvArgs, printer: &Printer) -> Result<(), CliError> {
    let target = match &args.token {
        Some(name) => with_new_token(args, name)?,
        None => login::read(&login::path()?)?.ok_or_else(|| {
            CliError::new(Kind::Usage, "nobody has logged in to a platform").hint(
                "`berth login URL`; or on the platform's machine `berth env --token NAME`, which makes a \
                 token",
            )
        })?,
    };
    for line in target.dot_env() {
        printer.data(line);
    }
    if let Some(line) = docker::name::dot_env_line(&args.data.clone().unwrap_or_else(paths::home)) {
        printer.data(line);
    }
    Ok(())
}

/// The platform of this machine, with a token that deploys Workers and containers.
fn with_new_token(args: &EnvArgs, name: &str) -> Result<Target, CliError> {
    let folders = Folders::under(&args.data.clone().unwrap_or_else(paths::home));
    let Some(address) = Address::read(&folders)? else {
        let text = format!("no `berth serve` has served from {}", folders.data.display());
        return Err(
            CliError::new(Kind::Usage, text).hint("start it, or name its data directory by --data")
        );
    };
    let store = Sqlite::open(&folders.database)
        .map_err(|error| CliError::failure("open the records", error))?;
    let (_, token) = Tokens::new(Arc::new(store))
        .create(name, &[Scope::WorkersWrite, Scope::ContainersWrite], None)
        .map_err(|error| CliError::failure("make a token", error))?;
    Ok(address.with_token(Secret::new(token)))
}
