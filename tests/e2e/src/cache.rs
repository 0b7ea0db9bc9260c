//! What is made once and used by every test: base images, node modules, Berth's own downloads.
//!
//! It lies beside the build's output, so that `cargo clean` takes it along, and each entry appears
//! at once: it is made beside its place, under a lock, and renamed.

use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{FlockOperation, flock};

use crate::user;

/// Longest path of Berth's home in bytes: the names of its unix sockets must fit behind it.
const LONGEST_HOME: usize = 50;

/// The folder of the cache.
///
/// # Panics
/// The running program does not lie in a target directory.
#[must_use]
pub fn cache_dir() -> PathBuf {
    if user::is_ordinary() { user::folder() } else { own_dir() }
}

/// The cache of what only the tests' own process reads, whoever `berth` runs as.
pub(crate) fn own_dir() -> PathBuf {
    target_dir().join("e2e-cache")
}

/// The `berth` under test: `BERTH_BIN`, or the one built beside the tests.
///
/// # Panics
/// It is not built.
#[must_use]
pub fn berth_binary() -> PathBuf {
    let binary = std::env::var_os("BERTH_BIN")
        .map_or_else(|| target_dir().join("release/berth"), PathBuf::from);
    assert!(
        binary.exists(),
        "{} is missing: build it first (`cargo build --release -p berth`)",
        binary.display()
    );
    binary
}

/// A home of Berth for all tests that name it: they share its installed toolchain and its images.
///
/// # Panics
/// It can't be made.
#[must_use]
pub fn berth_home(name: &str) -> PathBuf {
    let home = cache_dir().join(name);
    let home = if home.as_os_str().len() <= LONGEST_HOME {
        home
    } else {
        PathBuf::from(format!("/var/tmp/berth-e2e-{name}"))
    };
    make_folder(&home);
    home
}

/// Makes a folder in which the `berth` under test can write.
pub(crate) fn make_folder(folder: &Path) {
    fs::create_dir_all(folder).expect("make a folder");
    if user::is_ordinary() {
        let user = Some(user::ORDINARY);
        fs_err::os::unix::fs::chown(folder, user, user).expect("give the user its folder");
    }
}

/// The repository.
pub(crate) fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("the package lies two folders deep").to_owned()
}

/// The folder of cache entry `name`, made by `make` unless it is there.
///
/// # Panics
/// The cache can't be written.
pub fn entry(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    entry_in(&cache_dir(), name, make)
}

/// The same in a given cache.
pub(crate) fn entry_in(cache: &Path, name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let folder = cache.join(name);
    if folder.exists() {
        return folder;
    }
    fs::create_dir_all(cache).expect("make the cache");
    let lock = fs::File::create(cache.join(format!("{name}.lock"))).expect("open the lock");
    flock(lock.file(), FlockOperation::LockExclusive).expect("lock a cache entry");
    if !folder.exists() {
        let unfinished = tempfile::tempdir_in(cache).expect("make a folder in the cache");
        make(unfinished.path());
        fs::rename(unfinished.keep(), &folder).expect("move the entry into its place");
    }
    folder
}

fn target_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("CARGO_TARGET_DIR") {
        return PathBuf::from(dir);
    }
    repository().join("target")
}
