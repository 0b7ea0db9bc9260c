//! What is in an archive, unpacked and checked beside the platform that it is to become.

use std::fs::TryLockError;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use ::backup::{ArchiveError, Manifest};
use control::Sealer;
use fs_err as fs;
use store::{Sqlite, Store};

use super::take_up::{Parts, remove_tree};
use crate::error::{CliError, Kind};
use crate::serve::Folders;

/// Where files are until all of them are there and checked. What a killed restore has left there counts
/// for nothing.
pub(super) const UNFINISHED: &str = "restoring";

/// What is in a data directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    Platform,
    /// Something else, by its name.
    Other(String),
}

/// Looks into a data directory.
pub(super) fn there(folders: &Folders) -> Result<There, CliError> {
    let entries = match fs::read_dir(&folders.data) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(There::Nothing),
        Err(error) => return Err(CliError::failure("look into the data directory", error)),
    };
    let mut others = entries.filter_map(Result::ok).filter(|entry| entry.file_name() != UNFINISHED);
    Ok(match others.next() {
        _ if folders.database.exists() => There::Platform,
        None => There::Nothing,
        Some(entry) => There::Other(entry.file_name().to_string_lossy().into_owned()),
    })
}

/// Unpacks an archive and gives it the name `to`, in one step, once every byte is there and checked.
///
/// # Errors
/// It is damaged or newer, its secrets cannot be read, or the disk is full. Nothing of it is left then.
pub(super) fn stage(
    archive: &Path,
    key: Option<&Path>,
    folders: &Folders,
    to: &Path,
) -> Result<Manifest, CliError> {
    let failed = |error: io::Error| CliError::failure("restore", error);
    let was_there = folders.data.exists();
    let _alone = make_folder(&folders.data).and_then(|()| alone(&folders.data)).map_err(failed)?;
    let unfinished = folders.data.join(UNFINISHED);
    remove_tree(&unfinished).map_err(failed)?;
    let staged = unpack_to(archive, &unfinished).and_then(|manifest| {
        complete(&unfinished, key, folders)?;
        fs::rename(&unfinished, to).and_then(|()| sync(&folders.data)).map_err(failed)?;
        Ok(manifest)
    });
    if staged.is_err() {
        // What went wrong is worth more than that it could not be cleared up.
        let _ = remove_tree(&unfinished);
        if !was_there {
            let _ = fs::remove_dir(&folders.data);
        }
    }
    staged
}

/// The right to unpack in a data directory, while this lives.
fn alone(data: &Path) -> io::Result<std::fs::File> {
    let folder = fs::File::open(data)?.into_parts().0;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(TryLockError::WouldBlock) => Err(io::Error::other("another restore is under way")),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Unpacks an archive, and makes what every platform has.
pub(super) fn unpack_to(archive: &Path, to: &Path) -> Result<Manifest, CliError> {
    for part in Parts::of(&Folders::under(to)).always() {
        make_folder(&to.join(part)).map_err(|error| CliError::failure("restore", error))?;
    }
    let file =
        fs::File::open(archive).map_err(|error| CliError::failure("open the archive", error))?;
    let read =
        ::backup::read(io::BufReader::new(file), |path, reader| write(&to.join(path), reader));
    read.map_err(|error| {
        let newer = matches!(error, ArchiveError::Newer { .. });
        let error = CliError::failure("restore", error);
        match newer {
            true => error.hint("restore with that version of Berth, or a newer one"),
            false => error,
        }
    })
}

/// Adds the key that was given, and sees that the platform could serve.
fn complete(unfinished: &Path, key: Option<&Path>, folders: &Folders) -> Result<(), CliError> {
    let failed = |error: io::Error| CliError::failure("restore", error);
    let staged = Folders::under(unfinished);
    fs::metadata(&staged.database)
        .map_err(|error| CliError::failure("find the records in the archive", error))?;
    if let Some(key) = key {
        let key = fs::read(key).map_err(|error| CliError::failure("read the key", error))?;
        remove(&staged.key).and_then(|()| remove(&staged.next_key)).map_err(failed)?;
        write(&staged.key, &mut &key[..]).map_err(failed)?;
    }
    check_secrets(&staged, folders)?;
    sync(unfinished).map_err(failed)
}

/// Whether the key that will count can read the secrets: tried on copies. Where there is no key yet
/// nothing can be said.
fn check_secrets(staged: &Folders, folders: &Folders) -> Result<(), CliError> {
    let failed = |error: io::Error| CliError::failure("check the secrets of the archive", error);
    let key = if staged.key.exists() { &staged.key } else { &folders.key };
    let place = folders.secrets_key()?.with_file(key);
    if !place.exists() {
        return Ok(());
    }
    let work = tempfile::tempdir_in(&staged.data).map_err(failed)?;
    let (copied, records) = (work.path().join("secrets.key"), work.path().join("control.sqlite"));
    let next = Sealer::next_key_file;
    for (from, to) in [(key, &copied), (&next(key), &next(&copied)), (&staged.database, &records)] {
        if from.exists() {
            fs::copy(from, to).map_err(failed)?;
        }
    }
    let store = Sqlite::open(&records)
        .map_err(|error| CliError::failure("read the records of the archive", error))?;
    let store: Arc<dyn Store> = Arc::new(store);
    control::change_key(&store, &place.with_file(&copied)).map(drop).map_err(|error| {
        let text = format!("the key of the secrets does not fit the archive: {error}");
        CliError::new(Kind::Failure, text)
            .hint("give the key that counted when the backup was made: --key FILE")
    })
}

fn write(path: &Path, reader: &mut dyn Read) -> io::Result<()> {
    make_folder(path.parent().unwrap_or(path))?;
    let mut file =
        std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    io::copy(reader, &mut file)?;
    file.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// All that was written on the disk of a folder is on it for good.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(fs::File::open(folder)?.into_parts().0)?)
}
