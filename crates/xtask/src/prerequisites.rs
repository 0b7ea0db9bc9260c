//! What the tests need of the machine: looked for, and installed where that is possible.

use std::env;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, bail};

use crate::{repository, say};

/// Programs that the tests run, and the Debian packages that bring them.
pub(crate) const OF_THE_TESTS: [(&str, &str); 26] = [
    ("apt-get", "apt"),
    ("buildah", "buildah"),
    ("bzip2", "bzip2"),
    ("cc", "gcc"),
    ("chroot", "coreutils"),
    ("curl", "curl"),
    ("dpkg-deb", "dpkg"),
    ("faketime", "faketime"),
    ("git", "git"),
    ("ip", "iproute2"),
    ("mmdebstrap", "mmdebstrap"),
    ("mount", "mount"),
    ("newuidmap", "uidmap"),
    ("npm", "npm"),
    ("openssl", "openssl"),
    ("pebble", "pebble"),
    ("pebble-challtestsrv", "pebble"),
    ("rustc", "rustc"),
    ("setpriv", "util-linux"),
    ("skopeo", "skopeo"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("strace", "strace"),
    ("tar", "tar"),
    ("unshare", "util-linux"),
    ("xz", "xz-utils"),
];

/// Installs what is missing of `(program, Debian package)`, with apt as root; elsewhere names it.
pub(crate) fn install(programs: &[(&str, &str)]) -> Result<()> {
    let missing = programs.iter().filter(|(program, _)| !is_there(program));
    let mut packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let root = fs_err::metadata("/proc/self").is_ok_and(|own| {
        use std::os::unix::fs::MetadataExt;
        own.uid() == 0
    });
    if !root || !is_there("apt-get") {
        bail!("install first: {}", packages.join(" "));
    }
    let _turn = turn_of_apt();
    say(&format!("installing {}", packages.join(" ")));
    repository::run("apt-get", &["update", "--quiet=2"])?;
    let install = ["install", "--quiet=2", "--yes", "--no-install-recommends"];
    repository::run("apt-get", &[&install[..], &packages].concat())
}

/// Steps that run beside each other: apt refuses a second one instead of waiting.
pub(crate) fn turn_of_apt() -> MutexGuard<'static, ()> {
    static APT: Mutex<()> = Mutex::new(());
    APT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a program is on the `PATH`.
pub(crate) fn is_there(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    // Administrators' programs are not on every user's path.
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.into_iter().any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_name() {
        assert!(is_there("sh") && !is_there("no-such-program"));
    }
}
