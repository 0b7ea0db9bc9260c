//! What the clock on the wall says to one program, set at will: libfaketime (Debian: faketime). The
//! machine's own clock is nobody's to set.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use fs_err as fs;

use crate::project::Project;

/// A clock that can be set while a program runs. The program's other clock, which nobody sets, goes on.
#[derive(Debug, Clone)]
pub struct WallClock {
    /// How far it is from the machine's.
    file: PathBuf,
    library: PathBuf,
}

/// Seconds since 1970, by the machine's clock.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The library for programs of several threads, which Debian keeps by machine type.
fn library() -> Option<PathBuf> {
    let types = fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    let mut found = types.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    found.find(|library| library.is_file())
}

impl WallClock {
    /// One that is kept in a project's folder and says what the machine's does.
    ///
    /// # Panics
    /// libfaketime (Debian: faketime) is not there.
    #[must_use]
    pub fn of(project: &Project) -> Self {
        let library = library().expect("libfaketime is there (Debian: faketime)");
        let clock = Self { file: project.path().join("clock"), library };
        clock.move_by(0);
        clock
    }

    /// Sets it to so many seconds after 1970.
    ///
    /// # Panics
    /// It cannot be written down.
    pub fn set(&self, seconds: i64) {
        self.move_by(seconds - now());
    }

    /// Sets it to so many seconds from what the machine's says.
    ///
    /// # Panics
    /// It cannot be written down.
    pub fn move_by(&self, seconds: i64) {
        // As a whole: it is read at any moment.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}")).expect("write what the clock says");
        fs::rename(new, &self.file).expect("set the clock");
    }

    /// What makes a program see it, and nothing else that the library could change. Programs that start
    /// without their parent's environment, as a Worker's and a container's do, see the machine's clock.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        let path = |path: &Path| path.as_os_str().to_owned();
        vec![
            ("LD_PRELOAD", path(&self.library)),
            ("FAKETIME_TIMESTAMP_FILE", path(&self.file)),
            ("FAKETIME_NO_CACHE", "1".into()),
            // The name since 0.9.10, and the one before.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("DONT_FAKE_MONOTONIC", "1".into()),
            // The times of files stay what they are.
            ("NO_FAKE_STAT", "1".into()),
            // A program that is killed would leave it.
            ("FAKETIME_DISABLE_SHM", "1".into()),
        ]
    }
}
