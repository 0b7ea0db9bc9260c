//! `berth registry credentials`: a user name and password that last some minutes.

use registry::{Credential, Permission};
use serde_json::json;

use super::{api_token, key};
use crate::args::CredentialsArgs;
use crate::error::{CliError, Kind};
use crate::printer::Printer;

pub(crate) fn run(args: &CredentialsArgs, printer: &Printer) -> Result<(), CliError> {
    let key = key(&args.place)?;
    if args.api {
        printer.data(api_token(&key));
        return Ok(());
    }
    let mut permissions = Vec::new();
    permissions.extend(args.pull.then_some(Permission::Pull));
    permissions.extend(args.terms.push.then_some(Permission::Push));
    if permissions.is_empty() {
        // Not by `-p`: a process list would show it.
        return Err(CliError::new(Kind::Usage, "a credential is for --pull, --push or both").hint(
            "berth registry credentials --pull --push | \
             docker login -u v1 --password-stdin localhost:5000",
        ));
    }
    let (account, minutes) = (&args.place.account, args.terms.expiration_minutes);
    let given = Credential::issue(&key, account, &permissions, minutes);
    if args.json {
        let shown = json!({
            "account_id": account,
            "username": given.username,
            "password": given.password,
            "expiration_minutes": minutes,
        });
        printer.data(format_args!("{shown:#}"));
    } else {
        printer.data(given.password);
    }
    Ok(())
}
