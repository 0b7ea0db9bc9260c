//! Debian's packages, downloaded and unpacked without installing anything.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;

use crate::cache::entry;

/// Where Debian keeps its `docker` command: a package of its own, or in older releases the
/// engine's.
const DOCKER_PACKAGES: [&str; 2] = ["docker-cli", "docker.io"];

/// Debian's `docker` command, downloaded once: the engine that comes with it is not wanted here.
///
/// # Panics
/// Debian's archive cannot be had.
#[must_use]
pub(crate) fn docker_command() -> PathBuf {
    let folder = entry("docker-command", |folder| {
        let known = |package: &&&str| {
            let shown = Command::new("apt-cache").args(["show", "--quiet=2", package]).output();
            shown.is_ok_and(|output| output.status.success())
        };
        let package = DOCKER_PACKAGES.iter().find(known).unwrap_or(&"docker.io");
        let packages = folder.join("packages");
        let root = folder.join("root");
        unpack(&download(&packages, &BTreeSet::from([(*package).to_owned()])), &root);
        fs::rename(root.join("usr/bin/docker"), folder.join("docker")).expect("keep the command");
        for rest in [packages, root] {
            fs::remove_dir_all(rest).expect("remove the rest of the package");
        }
    });
    folder.join("docker")
}

/// Downloads packages into a folder.
pub(crate) fn download(folder: &Path, packages: &BTreeSet<String>) -> Vec<PathBuf> {
    fs::create_dir_all(folder).expect("make a folder for packages");
    let mut command = Command::new("apt-get");
    command.args(["download", "--quiet=2"]).args(packages).current_dir(folder);
    if !command.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        // The lists may be old or missing.
        run(Command::new("apt-get").args(["update", "--quiet=2"]));
        run(command.stderr(Stdio::piped()));
    }
    let files = fs::read_dir(folder).expect("list the packages");
    files.map(|file| file.expect("list the packages").path()).collect()
}

/// Unpacks packages into one root.
pub(crate) fn unpack(packages: &[PathBuf], root: &Path) {
    fs::create_dir_all(root).expect("make a root");
    for package in packages {
        let mut tar = Command::new("dpkg-deb")
            .arg("--fsys-tarfile")
            .arg(package)
            .stdout(Stdio::piped())
            .spawn()
            .expect("run dpkg-deb");
        let stream = tar.stdout.take().expect("stdout is a pipe");
        let mut unpack = Command::new("tar");
        unpack
            .args(["--extract", "--keep-directory-symlink", "--directory"])
            .arg(root)
            .stdin(stream);
        run(&mut unpack);
        assert!(tar.wait().is_ok_and(|status| status.success()), "unpack {}", package.display());
    }
}

/// Runs a command to its end and returns what it wrote.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("run {command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
