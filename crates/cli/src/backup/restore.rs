//! A data directory from an archive: all of it, or nothing.

use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::archive::{self, ArchiveError, Manifest};
use crate::error::{CliError, Kind};

/// Where files are until all of them are there and checked. `berth serve` starts in no directory that
/// has it.
pub(crate) const UNFINISHED: &str = "restoring";
/// Moved into place last: without records a directory is a new one.
const LAST: &str = "db";

/// Puts everything that is in an archive into a directory that has nothing in it.
///
/// # Errors
/// The directory is not empty, the archive is damaged or newer, or the disk is full. The directory is
/// empty again then.
pub(super) fn restore(archive: &Path, data: &Path) -> Result<Manifest, CliError> {
    let failed = |error: io::Error| CliError::failure("restore", error);
    let was_there = data.exists();
    check_empty(data)?;
    let unfinished = data.join(UNFINISHED);
    let begun = remove_tree(&unfinished).and_then(|()| make_folder(&unfinished));
    begun.map_err(failed)?;
    let restored = unpack(archive, &unfinished).and_then(|manifest| {
        move_into_place(&unfinished, data).map_err(failed)?;
        Ok(manifest)
    });
    if restored.is_err() {
        // What went wrong is worth more than that it could not be cleared up.
        let _ = remove_tree(&unfinished);
        if !was_there {
            let _ = fs::remove_dir(data);
        }
    }
    restored
}

fn check_empty(data: &Path) -> Result<(), CliError> {
    let entries = match fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(CliError::failure("look into the data directory", error)),
    };
    let mut others = entries.filter_map(Result::ok).filter(|entry| entry.file_name() != UNFINISHED);
    match others.next() {
        None => Ok(()),
        Some(entry) => {
            let name = entry.file_name().to_string_lossy().into_owned();
            let text = format!("{} is not empty: it has `{name}`", data.display());
            Err(CliError::new(Kind::Usage, text).hint("restore into another one by --data"))
        }
    }
}

fn unpack(archive: &Path, to: &Path) -> Result<Manifest, CliError> {
    let file =
        fs::File::open(archive).map_err(|error| CliError::failure("open the archive", error))?;
    let read =
        archive::read(io::BufReader::new(file), |path, reader| write(&to.join(path), reader));
    read.map_err(|error| {
        let newer = matches!(error, ArchiveError::Newer { .. });
        let error = CliError::failure("restore", error);
        match newer {
            true => error.hint("restore with that version of Berth, or a newer one"),
            false => error,
        }
    })
}

fn write(path: &Path, reader: &mut dyn Read) -> io::Result<()> {
    make_folder(path.parent().unwrap_or(path))?;
    let mut file =
        std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    io::copy(reader, &mut file)?;
    file.sync_all()
}

fn make_folder(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn move_into_place(unfinished: &Path, data: &Path) -> io::Result<()> {
    let mut parts: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(unfinished)? {
        parts.push(entry?.path());
    }
    parts.sort_by_key(|path| path.file_name().is_some_and(|name| name == LAST));
    for part in parts {
        let name = part.file_name().unwrap_or_default();
        fs::rename(&part, data.join(name))?;
    }
    fs::remove_dir(unfinished)?;
    fs::File::open(data)?.sync_all()
}

fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::archive::{FORMAT, Head, Writer};
    use super::*;

    fn archive(folder: &Path) -> PathBuf {
        let head = Head {
            format: FORMAT,
            berth: "1.0.0".into(),
            created_at: Timestamp::UNIX_EPOCH,
            keys: false,
            images: false,
        };
        let mut writer = Writer::begin(Vec::new(), head).unwrap();
        writer.add("db/control.sqlite", 7, &b"records"[..]).unwrap();
        writer.add("objects/a/b.sqlite", 1, &b"o"[..]).unwrap();
        let path = folder.join("archive");
        fs::write(&path, writer.finish().unwrap().0).unwrap();
        path
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|it| it.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn everything_is_there_and_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("new/data");
        restore(&archive(folder.path()), &data).unwrap();
        assert_eq!(names(&data), ["db", "objects"]);
        let file = data.join("db/control.sqlite");
        assert_eq!(fs::read(&file).unwrap(), b"records");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(data.join("db")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_damaged_archive_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path());
        let mut bytes = fs::read(&archive).unwrap();
        bytes.truncate(2000);
        fs::write(&archive, bytes).unwrap();
        let (new, empty) = (folder.path().join("new"), folder.path().join("empty"));
        fs::create_dir(&empty).unwrap();
        assert!(restore(&archive, &new).is_err() && restore(&archive, &empty).is_err());
        assert!(!new.exists());
        assert_eq!(names(&empty), [""; 0]);
    }

    #[test]
    fn a_directory_with_something_in_it_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path());
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("precious"), "").unwrap();
        let error = format!("{:?}", restore(&archive, &data).unwrap_err());
        assert!(error.contains("precious"), "{error}");
        assert_eq!(names(&data), ["precious"]);
    }

    #[test]
    fn what_a_killed_one_has_left_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir_all(data.join(UNFINISHED)).unwrap();
        fs::write(data.join(UNFINISHED).join("half"), "").unwrap();
        restore(&archive(folder.path()), &data).unwrap();
        assert_eq!(names(&data), ["db", "objects"]);
    }
}
