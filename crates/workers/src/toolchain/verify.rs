//! Asks the programs who they are.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::{ESBUILD_VERSION, Options, Toolchain, ToolchainError, WORKERD_SAYS};

/// A program that does not say its version in this time never will; a cold disk takes seconds.
const DEADLINE: Duration = Duration::from_secs(60);

/// Both programs run and are the pinned versions.
pub(super) async fn installed(toolchain: &Toolchain) -> Result<(), ToolchainError> {
    for (program, expected) in
        [(&toolchain.workerd, WORKERD_SAYS), (&toolchain.esbuild, ESBUILD_VERSION)]
    {
        let found = version(program).await?;
        if found != expected {
            return Err(ToolchainError::WrongVersion { program: program.clone(), expected, found });
        }
    }
    Ok(())
}

/// Programs given by hand run; another version is worth a word, not an error.
pub(super) async fn given(
    toolchain: &Toolchain,
    options: &Options,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), ToolchainError> {
    let workerd = options.workerd.is_some().then_some((&toolchain.workerd, WORKERD_SAYS));
    let esbuild = options.esbuild.is_some().then_some((&toolchain.esbuild, ESBUILD_VERSION));
    for (program, expected) in workerd.into_iter().chain(esbuild) {
        let found = version(program).await?;
        if found != expected {
            progress(&format!(
                "{} says it is \"{found}\"; Berth is made for \"{expected}\"",
                program.display()
            ));
        }
    }
    Ok(())
}

/// The first line that `program --version` prints.
async fn version(program: &Path) -> Result<String, ToolchainError> {
    let error = |source| ToolchainError::Program { program: program.to_owned(), source };
    let run = tokio::process::Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(DEADLINE, run)
        .await
        .map_err(|_| error(io::Error::new(io::ErrorKind::TimedOut, "--version does not end")))?
        .map_err(error)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(error(io::Error::other(format!("--version: {}: {said}", output.status))));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
