//! A platform takes the place of another one in the same data directory.
//!
//! ```text
//! restoring/       an archive that is being unpacked; counts for nothing
//! restore.next/    one that is whole: whoever serves from the directory ends its instances …
//! restore.now/     … and calls it so. Its parts take their places before anything is opened
//! replaced/        the parts that were there before
//! ```
//!
//! Each step is a rename, so whatever is killed in between, the next start goes on where it stopped.

use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::gather::{CONTENT_OF_IMAGES, NAMES_OF_IMAGES, files};
use super::restore::sync;
use crate::serve::Folders;

/// Files that belong to a database, and would be taken for the next one's.
const HELPERS: [&str; 2] = ["-wal", "-shm"];

/// A platform that waits for those who serve to make room.
pub(crate) fn next(folders: &Folders) -> PathBuf {
    folders.data.join("restore.next")
}

/// One whose parts are taking their places.
pub(super) fn now(folders: &Folders) -> PathBuf {
    folders.data.join("restore.now")
}

/// What was there before the last one.
pub(crate) fn replaced(folders: &Folders) -> PathBuf {
    folders.data.join("replaced")
}

/// Lets the platform that waits be the one of this directory.
pub(super) fn accept(folders: &Folders) -> io::Result<()> {
    remove_tree(&replaced(folders))?;
    fs::rename(next(folders), now(folders))?;
    sync(&folders.data)
}

/// Puts the parts of an accepted platform in their places, if there is one.
pub(super) fn take_up(folders: &Folders) -> io::Result<()> {
    let now = now(folders);
    if !now.exists() {
        return Ok(());
    }
    let parts = Parts::of(folders);
    for part in parts.whole.iter().filter(|part| now.join(part).exists()) {
        move_aside(folders, part)?;
        move_in(folders, part)?;
    }
    for path in files(&now)? {
        let part = path.strip_prefix(&now).unwrap_or(&path);
        // What is called by its hash is the same.
        if !part.starts_with(&parts.content) {
            move_aside(folders, part)?;
        }
        move_in(folders, part)?;
    }
    // Folders alone are left of it.
    sync(&folders.data)?;
    remove_tree(&now)
}

/// How a data directory is divided; paths below it.
pub(super) struct Parts {
    /// Folders of which nothing stays as it was.
    whole: Vec<PathBuf>,
    /// What of it is in every archive, if only as nothing.
    always: usize,
    /// The folder of what is called by its hash.
    content: PathBuf,
}

impl Parts {
    pub(super) fn of(folders: &Folders) -> Self {
        let below = |path: &Path| path.strip_prefix(&folders.data).unwrap_or(path).to_owned();
        let images = below(&folders.shared.images);
        let mut whole = vec![below(&folders.objects), PathBuf::from("workers")];
        let always = whole.len();
        whole.extend(NAMES_OF_IMAGES.iter().map(|part| images.join(part)));
        Self { whole, always, content: images.join(CONTENT_OF_IMAGES) }
    }

    /// Folders that take the place of others even where there is nothing in them.
    pub(super) fn always(&self) -> &[PathBuf] {
        &self.whole[..self.always]
    }
}

/// Keeps what is in a part's place among what was replaced.
fn move_aside(folders: &Folders, part: &Path) -> io::Result<()> {
    for helper in HELPERS {
        let mut name = part.as_os_str().to_owned();
        name.push(helper);
        rename(&folders.data.join(&name), &replaced(folders).join(&name))?;
    }
    rename(&folders.data.join(part), &replaced(folders).join(part))
}

fn move_in(folders: &Folders, part: &Path) -> io::Result<()> {
    rename(&now(folders).join(part), &folders.data.join(part))
}

/// Renames what is there, unless it is a folder with nothing in it.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    if !from.exists() || std::fs::remove_dir(from).is_ok() {
        return Ok(());
    }
    #[cfg(test)]
    count_down()?;
    let folder = to.parent().unwrap_or(to);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::rename(from, to)
}

pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
thread_local! {
    /// So many renames are still made before it is cut off.
    static LEFT: std::cell::Cell<Option<usize>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
pub(super) fn cut_off_after(renames: Option<usize>) {
    LEFT.set(renames);
}

#[cfg(test)]
fn count_down() -> io::Result<()> {
    match LEFT.get() {
        Some(0) => Err(io::Error::other("cut off")),
        left => {
            LEFT.set(left.map(|left| left - 1));
            Ok(())
        }
    }
}
