//! Promises kept for an ordinary user: end-to-end tests run as `nobody`, who has cgroups of its own.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Result;
use fs_err as fs;

use crate::repository;

/// Those of everything that is other for such a user: user namespace, cgroups, adoption. The rest
/// passes too, and takes ten minutes.
const PROMISES: [&str; 5] =
    ["durable_object::", "snapshots::", "pid1::", "oom_and_fresh_disk::", "crash::"];

/// Where hierarchies are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";
/// The user's folder and cgroups (`tests/e2e/src/user.rs`).
const FOLDER: &str = "/var/tmp/berth-e2e-user";
const DELEGATED: &str = "e2e-user";

pub(crate) fn run() -> Result<()> {
    // The first of these tests has to find nothing, as on a new machine.
    remove_folder()?;
    let cargo =
        ["BERTH_TEST_USER=ordinary", "cargo", "test", "--release", "--workspace", "--locked"];
    let tests = [&cargo[..], &["--test", "promises", "--"], &PROMISES].concat();
    let done = repository::run("env", &tests);
    remove_cgroups();
    done.and(remove_folder())
}

fn remove_folder() -> Result<()> {
    match fs::remove_dir_all(FOLDER) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// The user cannot remove the cgroups it was given, nor leave them.
fn remove_cgroups() {
    let mounts = folders(Path::new(CGROUPS));
    for mount in mounts.iter().map(|mount| mount.as_path()).chain([Path::new(CGROUPS)]) {
        let delegated = folders(mount).into_iter().filter(|folder| {
            folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(DELEGATED))
        });
        for folder in delegated {
            for below in folders(&folder) {
                let _ = fs::remove_dir(below);
            }
            let _ = fs::remove_dir(folder);
        }
    }
}

fn folders(path: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    paths.filter(|path| path.is_dir()).collect()
}
