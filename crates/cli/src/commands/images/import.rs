//! `berth images import`.

use std::io::{self, IsTerminal as _, Read};

use image::{ArchiveError, ImportOptions, Imported, Reference, RootFileSystem};
use serde_json::json;

use super::{Context, failed};
use crate::args::ImportArgs;
use crate::error::{CliError, Kind};
use crate::human::print_json;

pub(super) fn run(args: &ImportArgs, context: &Context) -> Result<(), CliError> {
    let archive = open(args)?;
    let (options, shown) = (ImportOptions::default(), args.file.display().to_string());
    let progress = context.progress(&shown);
    let imported = match &args.rootfs {
        None => context.store.import(archive, &options, &progress),
        Some(name) => {
            let message = args.message.clone();
            let about = RootFileSystem {
                reference: Some(name.clone()),
                message: message.unwrap_or_else(|| format!("imported from {shown}")),
                created: jiff::Timestamp::now().as_second(),
                ..RootFileSystem::default()
            };
            let digest =
                context.store.import_root_file_system(archive, &about, &options, &progress);
            digest.map(|digest| vec![Imported { digest, references: vec![name.clone()] }])
        }
    };
    let imported = imported.map_err(|error| archive_failed("import the archive", error))?;
    if args.json {
        let shown = imported.iter().map(|image| {
            let names: Vec<String> = image.references.iter().map(Reference::familiar).collect();
            json!({ "digest": image.digest, "names": names })
        });
        return print_json(&shown.collect::<Vec<_>>(), &context.printer);
    }
    for image in &imported {
        let name = |name: &Reference| {
            context.printer.data(format_args!("Loaded image: {}", name.familiar()));
        };
        image.references.iter().for_each(name);
        if image.references.is_empty() {
            context.printer.data(format_args!("Loaded image ID: {}", image.digest));
        }
    }
    Ok(())
}

fn open(args: &ImportArgs) -> Result<Box<dyn Read>, CliError> {
    if args.file.as_os_str() != "-" {
        let file = fs_err::File::open(&args.file);
        return Ok(Box::new(file.map_err(|e| CliError::failure("open the archive", e))?));
    }
    if io::stdin().is_terminal() {
        let text = "an archive does not come from a terminal";
        return Err(CliError::new(Kind::Usage, text).hint("name a file, or use `<`"));
    }
    Ok(Box::new(io::stdin()))
}

/// An error of an archive as a person reads it.
pub(super) fn archive_failed(attempt: &str, error: ArchiveError) -> CliError {
    let (hint, cancelled) = (error.hint(), error.is_cancelled());
    failed(attempt, error, hint, cancelled)
}
