//! What of a data directory is saved, and how each part is read while others write it.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use ::backup::Writer;
use fs_err as fs;
use image::ImageStore;
use store::{Sqlite, copy_database};

use crate::error::{CliError, Kind};
use crate::serve::Folders;

/// Parts of the image store that cannot be made from others. Names come before content: what they
/// lead to is there when it is read.
pub(super) const NAMES_OF_IMAGES: [&str; 2] = ["images", "repositories"];
/// Where that content is, called by its hash.
pub(super) const CONTENT_OF_IMAGES: &str = "content/sha256";
/// Folders of the image store's that are not for others.
const UPLOADS: &str = "uploads";

/// Adds the parts of a data directory to an archive.
pub(super) struct Gather<'a, W: Write> {
    pub(super) folders: &'a Folders,
    pub(super) writer: Writer<W>,
    /// A folder for copies of databases, on the same disk.
    pub(super) work: &'a Path,
}

impl<W: Write> Gather<'_, W> {
    /// The records as they are at one moment, and the content that they name.
    pub(super) fn records(&mut self) -> Result<(), CliError> {
        let copy = self.work.join("control.sqlite");
        copy_database(&self.folders.database, &copy)
            .map_err(|error| CliError::failure("copy the records", error))?;
        let records = Sqlite::open(&copy);
        let records = records.map_err(|error| CliError::failure("read the records", error))?;
        let named = control::named_content(&records, &self.folders.blobs)
            .map_err(|error| CliError::new(Kind::Failure, error))?;
        drop(records);
        self.file("db/control.sqlite", &copy).map_err(failed)?;
        for name in named {
            let path = self.folders.blobs.join(&name);
            self.file(&self.below(&path), &path).map_err(|error| {
                // It is removed by a start of the platform alone, once nothing names it any more.
                let error = failed(error);
                error.hint("`berth serve` was started meanwhile: make the backup again")
            })?;
        }
        Ok(())
    }

    /// When cron triggers last ran.
    pub(super) fn crons(&mut self) -> Result<(), CliError> {
        for path in files(&self.folders.crons).map_err(failed)? {
            self.file_if_there(&path).map_err(failed)?;
        }
        Ok(())
    }

    /// The storage of Durable Objects: each database as it is at one moment. Those of alarms come last
    /// in each folder: an alarm whose object knows nothing of it rings in vain, one that is missing is
    /// missed.
    pub(super) fn objects(&mut self) -> Result<(), CliError> {
        let mut all = files(&self.folders.objects).map_err(failed)?;
        all.sort_by_key(|path| (path.parent().map(Path::to_owned), is_of_alarms(path)));
        for path in all.iter().filter(|path| !is_helper(path)) {
            if path.extension().is_none_or(|kind| kind != "sqlite") {
                self.file_if_there(path).map_err(failed)?;
                continue;
            }
            let copy = self.work.join("object.sqlite");
            let copied = copy_database(path, &copy);
            if copied.is_ok() {
                self.file(&self.below(path), &copy).map_err(failed)?;
            }
            remove(&copy).map_err(failed)?;
            match copied {
                // Its Worker was deleted meanwhile, or its class.
                Err(_) if !path.exists() => {}
                Err(error) => {
                    let what = format!("copy {}", path.display());
                    return Err(CliError::failure(&what, error));
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// What was pushed, and all images that have a name. Nothing is collected meanwhile.
    pub(super) fn images(&mut self) -> Result<(), CliError> {
        let folder = &self.folders.shared.images;
        let store = ImageStore::open(folder)
            .map_err(|error| CliError::failure("open the image store", error))?;
        let _kept = store
            .keep_all()
            .map_err(|error| CliError::failure("keep images from being collected", error))?;
        for part in NAMES_OF_IMAGES.iter().chain([&CONTENT_OF_IMAGES]) {
            for path in files(&folder.join(part)).map_err(failed)? {
                self.file_if_there(&path).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// What secrets are encrypted with, what signs credentials, and what SSH clients know the platform by.
    pub(super) fn keys(&mut self) -> Result<(), CliError> {
        let registry = self.folders.data.join("registry/key");
        let Folders { key, next_key, ssh_host_key, .. } = self.folders;
        for path in [key.clone(), next_key.clone(), ssh_host_key.clone(), registry] {
            self.file_if_there(&path).map_err(failed)?;
        }
        Ok(())
    }

    fn below(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.folders.data).unwrap_or(path);
        below.to_string_lossy().into_owned()
    }

    fn file_if_there(&mut self, path: &Path) -> io::Result<()> {
        match self.file(&self.below(path), path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn file(&mut self, name: &str, path: &Path) -> io::Result<()> {
        let file = fs::File::open(path)?;
        let size = file.metadata()?.len();
        self.writer.add(name, size, file)
    }
}

fn failed(error: io::Error) -> CliError {
    CliError::failure("save a file", error)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Files that belong to a database that is copied as one.
fn is_helper(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with("-wal") || name.ends_with("-shm")
}

fn is_of_alarms(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "metadata.sqlite")
}

/// All files below a folder, in the order of their paths; none if there is no such folder.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && entry.file_name() != UPLOADS {
            all.extend(files(&entry.path())?);
        } else if kind.is_file() {
            all.push(entry.path());
        }
    }
    all.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_below_and_no_folder_is_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/uploads/1")).unwrap();
        for file in ["a/x", "b", "a/uploads/1/half"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let found = files(folder.path()).unwrap();
        assert_eq!(found, [folder.path().join("a/x"), folder.path().join("b")]);
        assert!(files(&folder.path().join("none")).unwrap().is_empty());
    }

    #[test]
    fn helpers_are_no_files_of_their_own() {
        for (name, helper) in [("a.sqlite", false), ("a.sqlite-wal", true), ("a.sqlite-shm", true)]
        {
            assert_eq!(is_helper(Path::new(name)), helper);
        }
    }
}
