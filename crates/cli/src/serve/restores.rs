//! A restore in the directory of a platform that serves: it makes room, and starts again with what was
//! restored.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::Folders;
use crate::backup;
use crate::dev::watch::Watch;
use crate::error::CliError;
use crate::printer::Printer;

/// Returns when a restore waits to be taken up.
pub(crate) async fn wanted(folders: &Folders, printer: &Printer) {
    let next = backup::next(folders);
    let mut watch = Watch::new().map(|mut watch| {
        watch.set(BTreeSet::from([next.clone()]), BTreeSet::new());
        watch
    });
    if let Err(error) = &watch {
        printer.warning(format_args!("a restore is not seen until the next start: {error}"));
    }
    // Looked for after the watch has begun: one that comes in between is seen, too.
    while !next.exists() {
        match &mut watch {
            Ok(watch) => drop(watch.changed().await),
            Err(_) => std::future::pending().await,
        }
    }
}

/// Lets what was restored take the place of what is here, and starts this program again with the same
/// options in this process: whoever watches over it sees no end. If it was told to stop meanwhile it
/// ends instead.
///
/// # Errors
/// It cannot; the next start takes it up then.
pub(crate) fn take_up(folders: &Folders, is_stopped: bool) -> Result<(), CliError> {
    backup::accept(folders)?;
    if is_stopped {
        return backup::finish(folders);
    }
    let mut given = std::env::args_os();
    let mut program = Command::new(program());
    if let Some(name) = given.next() {
        program.arg0(name);
    }
    Err(CliError::failure("start again", program.args(given).exec()))
}

/// The file that runs: by its name, which the process has in lists, unless another one has it by now.
fn program() -> PathBuf {
    let named = std::env::current_exe().ok().filter(|path| path.exists());
    named.unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
}
