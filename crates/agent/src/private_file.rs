//! Files that only their owner can read, written so that nobody ever sees half of one.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes the file whole beside its place and renames it there. Not synced to disk.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    fs_err::OpenOptions::from_options(options).open(&temporary)?.write_all(bytes)?;
    fs_err::rename(&temporary, path)
}
