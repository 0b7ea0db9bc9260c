//! The project's own npm packages: installed on a first run, never touched again.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// Installs the packages of the project at `root` when it has a `package.json` and no
/// `node_modules`: exactly the locked ones where there is a lock file.
pub(crate) async fn install(root: &Path, printer: &Printer) -> Result<(), CliError> {
    if !root.join("package.json").exists() || root.join("node_modules").exists() {
        return Ok(());
    }
    let verb = if root.join("package-lock.json").exists() { "ci" } else { "install" };
    printer.info(format_args!("Installing the project's packages (npm {verb})"));
    let failed = |error: std::io::Error| {
        let error = CliError::attempt(Kind::Build, "run npm", error);
        error.hint(format!("install Node.js with npm, or run `npm {verb}` in {}", root.display()))
    };
    let output = Command::new("npm")
        .args([verb, "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(root)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let message = format!("`npm {verb}` failed in {}: {}", root.display(), said.trim());
    Err(CliError::new(Kind::Build, message).hint("run it by hand to see more"))
}
