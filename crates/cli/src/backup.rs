//! Backups of a platform: everything that cannot be made again, in one file.

mod archive;
mod gather;
mod restore;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use fs_err as fs;
use jiff::Timestamp;

use crate::error::{CliError, Kind};
use crate::serve::Folders;
use archive::{FORMAT, Head, Writer};
use gather::Gather;

pub(crate) use archive::Manifest;
pub(crate) use restore::UNFINISHED;

/// What of it is left to the one who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Whether the keys are in it.
    pub(crate) keys: bool,
    /// Whether images are in it.
    pub(crate) images: bool,
}

/// Saves what a platform has in a new file, which is there whole or not at all. The platform may run
/// meanwhile.
///
/// # Errors
/// The file is there already, there is no platform, or something of it cannot be read.
pub(crate) fn save(folders: &Folders, to: &Path, wanted: Wanted) -> Result<Manifest, CliError> {
    if !folders.database.exists() {
        let text = format!("there is no platform in {}", folders.data.display());
        return Err(CliError::new(Kind::Usage, text).hint("--data says where it is"));
    }
    let exists = || CliError::new(Kind::Usage, format!("{} is there already", to.display()));
    if to.exists() {
        return Err(exists());
    }
    folders.make()?;
    let failed = |error: std::io::Error| CliError::failure("write the backup", error);
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    // Its mode is 0600 from the beginning.
    let file = tempfile::NamedTempFile::new_in(parent.unwrap_or(Path::new("."))).map_err(failed)?;
    let work = tempfile::Builder::new().prefix("backup-").tempdir_in(folders.data.join("run"));
    let work = work.map_err(failed)?;
    let manifest = fill(folders, file.as_file(), work.path(), wanted)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(to).map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(),
        _ => failed(error.error),
    })?;
    Ok(manifest)
}

/// Writes the archive.
fn fill(folders: &Folders, file: &File, work: &Path, wanted: Wanted) -> Result<Manifest, CliError> {
    let failed = |error: std::io::Error| CliError::failure("write the backup", error);
    let head = Head {
        format: FORMAT,
        berth: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: Timestamp::now(),
        keys: wanted.keys,
        images: wanted.images,
    };
    let writer = Writer::begin(BufWriter::new(file), head).map_err(failed)?;
    let mut gather = Gather { folders, writer, work };
    gather.records()?;
    gather.crons()?;
    gather.objects()?;
    if wanted.images {
        gather.images()?;
    }
    if wanted.keys {
        gather.keys()?;
    }
    let (mut to_disk, manifest) = gather.writer.finish().map_err(failed)?;
    to_disk.flush().map_err(failed)?;
    Ok(manifest)
}

/// See [`restore::restore`]; the directory is ready for `berth serve` then.
///
/// # Errors
/// See there.
pub(crate) fn restore(from: &Path, folders: &Folders) -> Result<Manifest, CliError> {
    let manifest = restore::restore(from, &folders.data)?;
    // What serves makes the rest; a key that is not there would be made, too, and read nothing.
    fs::metadata(&folders.database)
        .map_err(|error| CliError::failure("find the records in the archive", error))?;
    Ok(manifest)
}
