//! Backups of a platform: everything that cannot be made again, in one file.

mod gather;
mod restore;
mod take_up;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use ::backup::{FORMAT, Head, Writer};
use jiff::Timestamp;

use crate::error::{CliError, Kind};
use crate::serve::Folders;
use gather::Gather;
use restore::There;

pub(crate) use ::backup::Manifest;
pub(crate) use take_up::{next, replaced};

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

/// What a restore may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permitted<'a> {
    /// The key that its secrets are encrypted with, if it is neither in it nor in its place.
    pub(crate) key: Option<&'a Path>,
    /// Whether it may take the place of a platform.
    pub(crate) replace: bool,
}

/// How far a restore has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restored {
    /// The directory is ready for `berth serve`.
    Done,
    /// `berth serve`, which runs, is about to take it up.
    Served,
    /// Nobody serves, but instances are left: the next `berth serve` ends them and takes it up.
    AtNextStart,
}

/// Makes a platform of an archive: in a directory that has nothing in it, or in place of another one.
///
/// # Errors
/// There is something that may not be replaced, the archive is damaged or newer, its secrets cannot be
/// read, or the disk is full. All is as it was before then.
pub(crate) fn restore(
    from: &Path,
    folders: &Folders,
    permitted: Permitted<'_>,
) -> Result<(Manifest, Restored), CliError> {
    if take_up::now(folders).exists() {
        folders.make()?;
        let _held = folders.hold()?;
        finish(folders)?;
    }
    let stage = |to: &Path| restore::stage(from, permitted.key, folders, to);
    match restore::there(folders)? {
        There::Nothing => {
            let manifest = stage(&take_up::now(folders))?;
            finish(folders)?;
            Ok((manifest, Restored::Done))
        }
        There::Platform if permitted.replace => replace(folders, stage),
        There::Platform => {
            let text = format!("there is a platform in {} already", folders.data.display());
            Err(CliError::new(Kind::Usage, text).hint(
                "--replace puts the archive in its place, and keeps what is replaced; --data DIR \
                 restores elsewhere",
            ))
        }
        There::Other(name) => {
            let text = format!("{} is not empty: it has `{name}`", folders.data.display());
            Err(CliError::new(Kind::Usage, text).hint("restore into another one by --data"))
        }
    }
}

/// Lets what waits be the platform of this directory, at the next [`finish`]. Nothing of the one before
/// may run any more: no Worker, no instance.
///
/// # Errors
/// The directory cannot be written to.
pub(crate) fn accept(folders: &Folders) -> Result<(), CliError> {
    take_up::accept(folders).map_err(not_taken_up)
}

/// Finishes a restore that was accepted, if there is one. To be called by whoever holds the directory,
/// before anything of it is opened.
///
/// # Errors
/// The directory cannot be written to; the next call goes on.
pub(crate) fn finish(folders: &Folders) -> Result<(), CliError> {
    take_up::take_up(folders).map_err(not_taken_up)
}

fn not_taken_up(error: std::io::Error) -> CliError {
    CliError::failure("take up what was restored", error)
}

/// Whether nothing waits to be taken up.
pub(crate) fn is_taken_up(folders: &Folders) -> bool {
    !next(folders).exists() && !take_up::now(folders).exists()
}

/// Refuses what a restore that waits would undo, or would be undone by.
///
/// # Errors
/// One waits.
pub(crate) fn check_none_waits(folders: &Folders) -> Result<(), CliError> {
    let next = next(folders);
    if !next.exists() {
        return Ok(());
    }
    let text = "a restore waits for `berth serve` to take it up";
    Err(CliError::new(Kind::Usage, text)
        .hint(format!("start `berth serve`, or remove {}", next.display())))
}

fn replace(
    folders: &Folders,
    stage: impl Fn(&Path) -> Result<Manifest, CliError>,
) -> Result<(Manifest, Restored), CliError> {
    check_none_waits(folders)?;
    let next = next(folders);
    let held = match folders.hold() {
        Ok(held) => held,
        Err(error) if error.kind == Kind::Held => return Ok((stage(&next)?, Restored::Served)),
        Err(error) => return Err(error),
    };
    let manifest = stage(&next)?;
    if agent::has_instances(&folders.agent) {
        return Ok((manifest, Restored::AtNextStart));
    }
    accept(folders).and_then(|()| finish(folders))?;
    drop(held);
    Ok((manifest, Restored::Done))
}

#[cfg(test)]
mod tests;
