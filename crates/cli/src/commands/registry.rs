//! `berth registry`: one file for each command.

mod credentials;
mod serve;

use std::path::PathBuf;

use registry::SigningKey;
pub(super) use serve::{Issuer, hosts};

use crate::args::{RegistryCommand, RegistryPlace};
use crate::error::CliError;
use crate::paths;
use crate::printer::Printer;

pub(crate) async fn run(command: RegistryCommand, printer: &Printer) -> Result<(), CliError> {
    match command {
        RegistryCommand::Serve(args) => serve::run(args, printer).await,
        RegistryCommand::Credentials(args) => credentials::run(&args, printer),
    }
}

/// Where the registry of a place keeps what is its own.
fn home(place: &RegistryPlace) -> PathBuf {
    place.data.clone().unwrap_or_else(paths::home)
}

fn key(place: &RegistryPlace) -> Result<SigningKey, CliError> {
    let path = home(place).join("registry/key");
    SigningKey::open(&path).map_err(|error| {
        let shown = CliError::failure("open the registry's signing key", &error);
        match error {
            registry::KeyError::Readable { path } => shown
                .hint(format!("remove it: credentials signed with it end (rm {})", path.display())),
            registry::KeyError::Damaged { path } => {
                shown.hint(format!("remove it, and a new one is made (rm {})", path.display()))
            }
            _ => shown,
        }
    })
}

/// The token of the API, which follows from the key: who has the data has it.
fn api_token(key: &SigningKey) -> String {
    key.derive("client/v4")
}
