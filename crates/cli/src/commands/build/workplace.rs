//! Where a build's sandboxes live. Builds at once have a place each; one that was killed leaves its
//! place to the next, which clears it.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use image::Digest;
use runtime::{Runtime, RuntimeConfig};

use crate::error::{CliError, Kind};
use crate::paths;
use crate::printer::Printer;
use crate::sandboxes;

/// Sandboxes kept ready: stages are built at once.
const PARKED: usize = 2;
/// Builds at once.
const PLACES: u32 = 256;

/// A place that is ours.
#[derive(Debug)]
pub(crate) struct Workplace {
    runtime: Runtime,
    dir: PathBuf,
    /// Held for as long as it lives; the kernel lets go when the process dies.
    _lock: File,
}

impl Workplace {
    pub(crate) async fn open(printer: &Printer) -> Result<Self, CliError> {
        let (number, lock) = take_place()?;
        let dir = places().join(number.to_string());
        let config = RuntimeConfig {
            dir: dir.clone(),
            cgroup: cgroup(&dir),
            parked: PARKED,
            disks: Vec::new(),
            layers: vec![paths::Shared::under(&paths::home()).images],
        };
        let runtime = sandboxes::open(config, printer).await?;
        Ok(Self { runtime, dir, _lock: lock })
    }

    pub(crate) fn runtime(&self) -> Runtime {
        self.runtime.clone()
    }

    /// Ends what is left of the sandboxes and takes their folder away.
    pub(crate) async fn close(&self) {
        self.runtime.clone().close().await;
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::debug!("{error}");
        }
    }
}

/// A name that no other home's places have: cgroups are the machine's.
fn cgroup(place: &Path) -> String {
    let digest = Digest::of(place.as_os_str().as_bytes());
    format!("berth/build-{}", &digest.hex()[..12])
}

fn places() -> PathBuf {
    paths::home().join("build")
}

/// The first place that nobody holds.
fn take_place() -> Result<(u32, File), CliError> {
    let failed = |error| CliError::failure("find a place to build in", error);
    fs::create_dir_all(places()).map_err(failed)?;
    for number in 0..PLACES {
        let path = places().join(format!("{number}.lock"));
        let mut options = fs::OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(path).map_err(failed)?;
        let (file, _) = file.into_parts();
        match file.try_lock() {
            Ok(()) => return Ok((number, file)),
            Err(std::fs::TryLockError::WouldBlock) => {}
            Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    Err(CliError::new(Kind::Held, format!("{PLACES} builds run at once")))
}
