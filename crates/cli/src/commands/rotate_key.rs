//! `berth rotate-key`: another key for the secrets of a platform that does not run.

use std::sync::Arc;

use store::{Sqlite, Store};

use crate::args::RotateKeyArgs;
use crate::backup;
use crate::error::{CliError, Kind};
use crate::paths;
use crate::printer::Printer;
use crate::serve::Folders;

pub(crate) fn run(args: &RotateKeyArgs, printer: &Printer) -> Result<(), CliError> {
    let folders = Folders::under(&args.data.clone().unwrap_or_else(paths::home));
    if !folders.database.exists() {
        let text = format!("there is no platform in {}", folders.data.display());
        return Err(CliError::new(Kind::Usage, text).hint("--data says where it is"));
    }
    folders.make()?;
    // One that runs would go on encrypting with the key that it has read.
    let _held = folders.hold()?;
    backup::finish(&folders)?;
    backup::check_none_waits(&folders)?;
    let store: Arc<dyn Store> = Arc::new(
        Sqlite::open(&folders.database)
            .map_err(|error| CliError::failure("open the records", error))?,
    );
    let key = folders.secrets_key()?;
    let changed =
        control::change_key(&store, &key).map_err(|error| CliError::new(Kind::Failure, error))?;
    let new = match folders.key.exists() {
        true => format!("a new key, {}", folders.key.display()),
        false => "the key that was given".to_owned(),
    };
    printer.success(format_args!(
        "{changed} secrets are encrypted anew with {new}; backups from before need the old one"
    ));
    Ok(())
}
