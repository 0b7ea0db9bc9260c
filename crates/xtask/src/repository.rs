//! The repository: its root, its files and running a command in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::say;

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("the package lies two folders deep")
}

/// Every file that is or would be committed, relative to [`root`].
pub(crate) fn files() -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]).current_dir(root());
    let output = git.output().context("run git")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).context("a file's name is not UTF-8")?;
    let files = names.split_terminator('\0').map(PathBuf::from);
    // A file may be deleted and not committed as such yet.
    Ok(files.filter(|file| root().join(file).is_file()).collect())
}

/// A command at the root. What cargo told this program of its own package is not told on: build
/// scripts that watch these variables, such as ring's, would run anew and rebuild all that is above.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command at the root, with its output shown.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<()> {
    let status = command(program).args(args).status();
    let status = status.with_context(|| format!("run {program}"))?;
    ensure!(status.success(), "`{program} {}` failed ({status})", args.join(" "));
    Ok(())
}

/// The same beside another command: what it says is shown when it has ended.
pub(crate) fn run_beside(program: &str, args: &[&str]) -> Result<()> {
    let output = command(program).args(args).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("run {program}"))?;
    say(&String::from_utf8_lossy(&output.stdout));
    let status = output.status;
    ensure!(status.success(), "`{program} {}` failed ({status})", args.join(" "));
    Ok(())
}
