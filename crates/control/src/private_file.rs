//! Files of keys, made once, which only their owner can read.

use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

/// Makes a file (mode 0600), which is there whole or not at all; if somebody else has made it meanwhile,
/// theirs stays.
///
/// # Errors
/// It cannot be written.
pub(crate) fn make(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    // Its mode is 0600 from the beginning.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != ErrorKind::AlreadyExists => Err(error.error),
        _ => fs_err::File::open(folder)?.sync_all(),
    }
}
