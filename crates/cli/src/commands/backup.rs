//! `berth backup` and `berth restore`: a platform in one file. They work on the data directory,
//! both whether `berth serve` runs or not.

use std::time::{Duration, Instant};

use crate::args::{BackupArgs, RestoreArgs};
use crate::backup::{self, Manifest, Permitted, Restored, Wanted};
use crate::error::{CliError, Kind};
use crate::human::size;
use crate::paths;
use crate::printer::Printer;
use crate::serve::Folders;

/// Longer than `berth serve` takes to finish requests and to end instances.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &BackupArgs, printer: &Printer) -> Result<(), CliError> {
    let folders = Folders::under(&args.data.clone().unwrap_or_else(paths::home));
    let wanted = Wanted { keys: args.with_keys, images: !args.without_images };
    let manifest = backup::save(&folders, &args.file, wanted)?;
    printer.success(format_args!("{}: {}", args.file.display(), described(&manifest)));
    if !args.with_keys {
        let key = match folders.key.exists() {
            true => folders.key.display().to_string(),
            false => "their key".to_owned(),
        };
        printer.info(format_args!(
            "The secrets in it are encrypted; keep {key} too, in another place"
        ));
    }
    Ok(())
}

pub(crate) fn restore(args: &RestoreArgs, printer: &Printer) -> Result<(), CliError> {
    let folders = Folders::under(&args.data.clone().unwrap_or_else(paths::home));
    let permitted = Permitted { key: args.key.as_deref(), replace: args.replace };
    let (manifest, restored) = backup::restore(&args.file, &folders, permitted)?;
    match restored {
        Restored::Done => {}
        Restored::Served => wait(&folders, printer)?,
        Restored::AtNextStart => {
            printer.warning(
                "instances are left of a `berth serve` that does not run: the next one ends them and \
                 takes this up",
            );
        }
    }
    printer.success(format_args!(
        "{}: {}, as they were {} (Berth {})",
        folders.data.display(),
        described(&manifest),
        manifest.head.created_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        manifest.head.berth
    ));
    let replaced = backup::replaced(&folders);
    if replaced.exists() && restored != Restored::AtNextStart {
        let replaced = replaced.display();
        printer.info(format_args!("What was replaced is kept in {replaced} until the next time"));
    }
    if !(manifest.head.keys || args.key.is_some() || folders.secrets_key()?.exists()) {
        printer.warning(format_args!(
            "the archive has no keys: put the one that was kept at {} before `berth serve`, mode 0600; \
             without it Workers that have secrets do not start",
            folders.key.display()
        ));
    }
    Ok(())
}

/// Waits until `berth serve` has taken up what was restored.
fn wait(folders: &Folders, printer: &Printer) -> Result<(), CliError> {
    printer.info("`berth serve` finishes its requests, ends its instances and takes it up…");
    let began = Instant::now();
    while !backup::is_taken_up(folders) {
        if began.elapsed() > PATIENCE {
            let text = "`berth serve` has not taken up yet what was restored";
            return Err(CliError::new(Kind::Failure, text).hint(format!(
                "its output says why; it does so when it starts again, unless you remove {}",
                backup::next(folders).display()
            )));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn described(manifest: &Manifest) -> String {
    let bytes = manifest.files.iter().map(|file| file.size).sum();
    format!("{} files, {}", manifest.files.len(), size(bytes))
}
