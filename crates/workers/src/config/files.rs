//! Writes a rendered configuration where only this user can read it: it holds secrets.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{AssetTexts, File};
use crate::spec::Assets;

/// A file or folder that could not be made or read.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} {}", path.display())]
pub struct FileError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl FileError {
    pub(crate) fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self { action, path: path.to_owned(), source }
    }
}

/// Makes `folder` (mode 0700; must not exist) and writes the files into it (mode 0600).
pub(crate) fn write(folder: &Path, files: &[File]) -> Result<(), FileError> {
    private_dir(folder)?;
    for file in files {
        let path = folder.join(&file.path);
        let parent = path.parent().unwrap_or(folder);
        if parent != folder && !parent.exists() {
            private_dir(parent)?;
        }
        write_new(&path, &file.contents)
            .map_err(|source| FileError::new("write", &path, source))?;
    }
    Ok(())
}

/// Makes one folder that others cannot look into.
pub(crate) fn private_dir(path: &Path) -> Result<(), FileError> {
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(|source| FileError::new("make", path, source))
}

fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?
        .write_all(contents)
}

impl AssetTexts {
    /// Reads the rule files of an assets folder; a missing one is `None`.
    pub(crate) fn read(assets: &Assets) -> Result<Self, FileError> {
        let read = |name: &str| {
            let path = assets.directory.join(name);
            match fs_err::read_to_string(&path) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(FileError::new("read", &path, source)),
            }
        };
        Ok(Self {
            headers: read("_headers")?,
            redirects: read("_redirects")?,
            ignore: read(".assetsignore")?,
        })
    }
}
