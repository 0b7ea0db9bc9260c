//! `berth dev`.
use crate::args::DevArgs;
use crate::error::CliError;
use crate::printer::Printer;
pub(crate) async fn run(_args: DevArgs, _printer: &Printer) -> Result<(), CliError> {
    Ok(())
}
