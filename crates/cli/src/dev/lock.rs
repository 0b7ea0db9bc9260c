//! The lock of a project: one `berth dev` at a time, and a second one says who holds it.

use std::io::{Read, Seek, Write};
use std::path::Path;

use fs_err as fs;
use rustix::fs::{FlockOperation, flock};

use crate::error::{CliError, Kind};

/// Held for as long as it lives; the kernel lets go when the process dies, however it dies.
#[derive(Debug)]
pub(crate) struct Lock(fs::File);

impl Lock {
    /// Takes the lock at `path`.
    pub(crate) fn take(path: &Path) -> Result<Self, CliError> {
        let failed = |error| CliError::failure("lock the project", error);
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        match flock(file.file(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // An unreadable holder is still a holder.
                let _ = file.read_to_string(&mut holder);
                return Err(held_by(holder.trim()));
            }
            Err(error) => return Err(CliError::failure("lock the project", error)),
        }
        let mut lock = Self(file);
        lock.says(&format!("process {}", std::process::id()))?;
        Ok(lock)
    }

    /// Writes who holds the lock, for a second `berth dev` to read.
    pub(crate) fn says(&mut self, holder: &str) -> Result<(), CliError> {
        self.0
            .rewind()
            .and_then(|()| self.0.set_len(0))
            .and_then(|()| self.0.write_all(holder.as_bytes()))
            .map_err(|error| CliError::failure("write the project's lock", error))
    }
}

fn held_by(holder: &str) -> CliError {
    let who = if holder.is_empty() { String::new() } else { format!(": {holder}") };
    CliError::new(Kind::Held, format!("another `berth dev` runs on this project{who}"))
        .hint("stop it, or keep a second state with `--persist-to DIR`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_about_the_first_and_a_later_one_gets_the_lock() {
        let dir = std::env::temp_dir().join(format!("berth-lock-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("lock");
        let mut first = Lock::take(&path).unwrap();
        first.says("process 7 at http://localhost:1").unwrap();
        let error = Lock::take(&path).unwrap_err();
        assert_eq!(error.kind, Kind::Held);
        assert!(error.to_string().contains("process 7 at http://localhost:1"), "{error}");
        drop(first);
        Lock::take(&path).unwrap();
        fs::remove_dir_all(&dir).unwrap();
    }
}
