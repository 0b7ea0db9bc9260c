//! The sandbox runtime as commands open it.

use runtime::{Runtime, RuntimeConfig};

use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// Opens it and says what this host lacks.
///
/// # Errors
/// The host cannot run sandboxes.
pub(crate) async fn open(config: RuntimeConfig, printer: &Printer) -> Result<Runtime, CliError> {
    let runtime = Runtime::open(config)
        .await
        .map_err(|error| CliError::attempt(Kind::Host, "start the sandbox runtime", error))?;
    for warning in runtime.warnings() {
        printer.warning(warning);
    }
    Ok(runtime)
}
