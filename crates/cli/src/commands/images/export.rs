//! `berth images export`.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::Path;

use image::{ArchiveFormat, Exported};

use super::Context;
use super::import::archive_failed;
use crate::args::{ExportArgs, ExportFormat};
use crate::error::{CliError, Kind};

pub(super) fn run(args: &ExportArgs, context: &Context) -> Result<(), CliError> {
    let mut images: Vec<Exported> = Vec::new();
    for text in &args.images {
        let (image, name) = context.find(text)?;
        match images.iter_mut().find(|known| known.digest == image.digest) {
            Some(known) => known.references.extend(name),
            None => {
                let references = name.into_iter().collect();
                images.push(Exported { digest: image.digest, references });
            }
        }
    }
    if args.output.as_os_str() == "-" {
        if io::stdout().is_terminal() {
            let text = "an archive is nothing for a terminal";
            return Err(CliError::new(Kind::Usage, text).hint("use `--output FILE`, or `>`"));
        }
        return export(args, &images, &mut io::stdout().lock(), context);
    }
    to_file(args, &images, &args.output, context)
}

/// The file has its name when it is whole; before, another one's content stays.
fn to_file(
    args: &ExportArgs,
    images: &[Exported],
    path: &Path,
    context: &Context,
) -> Result<(), CliError> {
    let failed = |error| CliError::failure("write the archive", error);
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".part-{}", std::process::id()));
    let part = Path::new(&part);
    let file = fs_err::File::create(part).map_err(failed)?;
    let mut writer = BufWriter::with_capacity(256 * 1024, file);
    let written = export(args, images, &mut writer, context)
        .and_then(|()| writer.get_ref().sync_all().map_err(failed))
        .and_then(|()| fs_err::rename(part, path).map_err(failed));
    if written.is_err() {
        // The error that is told is the one before.
        let _ = fs_err::remove_file(part);
    }
    written
}

fn export(
    args: &ExportArgs,
    images: &[Exported],
    writer: &mut dyn Write,
    context: &Context,
) -> Result<(), CliError> {
    let format = match args.format {
        ExportFormat::Docker => ArchiveFormat::Docker,
        ExportFormat::Oci => ArchiveFormat::Oci,
    };
    let progress = context.progress("export");
    let exported = context.store.export(images, format, writer, &progress);
    exported.map_err(|error| archive_failed("export the images", error))
}
