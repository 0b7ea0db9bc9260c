//! `berth backup` and `berth restore`: a platform in one file. They work on the data directory; a
//! backup whether `berth serve` runs or not.

use crate::args::{BackupArgs, RestoreArgs};
use crate::backup::{self, Manifest, Wanted};
use crate::error::CliError;
use crate::human::size;
use crate::paths;
use crate::printer::Printer;
use crate::serve::Folders;

pub(crate) fn run(args: &BackupArgs, printer: &Printer) -> Result<(), CliError> {
    let folders = Folders::under(&args.data.clone().unwrap_or_else(paths::home));
    let wanted = Wanted { keys: args.with_keys, images: !args.without_images };
    let manifest = backup::save(&folders, &args.file, wanted)?;
    printer.success(format_args!("{}: {}", args.file.display(), described(&manifest)));
    if !args.with_keys {
        printer.info(format_args!(
            "The secrets in it are encrypted; keep {} too, in another place",
            folders.key.display()
        ));
    }
    Ok(())
}

pub(crate) fn restore(args: &RestoreArgs, printer: &Printer) -> Result<(), CliError> {
    let folders = Folders::under(&args.data.clone().unwrap_or_else(paths::home));
    let manifest = backup::restore(&args.file, &folders)?;
    printer.success(format_args!(
        "{}: {}, as they were {} (Berth {})",
        folders.data.display(),
        described(&manifest),
        manifest.head.created_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        manifest.head.berth
    ));
    if !manifest.head.keys {
        printer.warning(format_args!(
            "the archive has no keys: put the one that was kept at {} before `berth serve`, mode 0600; \
             without it Workers that have secrets do not start",
            folders.key.display()
        ));
    }
    Ok(())
}

fn described(manifest: &Manifest) -> String {
    let bytes = manifest.files.iter().map(|file| file.size).sum();
    format!("{} files, {}", manifest.files.len(), size(bytes))
}
