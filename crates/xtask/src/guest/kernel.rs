//! Debian's kernel for virtual machines and the modules that sandboxes need, unpacked and not installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fs_err as fs;

use super::{busybox, output};
use crate::{prerequisites, say};

/// Depends on the newest kernel of its kind.
const PACKAGE: &str = "linux-image-cloud-amd64";
/// What sandboxes use that is not built into it: layers, egress rules, disks, quotas.
const MODULES: [&str; 4] = ["overlay", "nft_tproxy", "loop", "xfs"];

/// A kernel to boot.
pub(super) struct Kernel {
    pub(super) image: PathBuf,
    /// Module files, each after those it needs.
    pub(super) modules: Vec<PathBuf>,
}

/// Downloads and unpacks it, unless that was done before.
pub(super) fn fetch(dir: &Path) -> Result<Kernel> {
    let _turn = prerequisites::turn_of_apt();
    let package = match newest() {
        Ok(package) => package,
        // A fresh machine has no package lists.
        Err(_) => {
            output(Command::new("apt-get").args(["update", "--quiet=2"]))?;
            newest()?
        }
    };
    let version = package.trim_start_matches("linux-image-").to_owned();
    let root = dir.join(&package);
    if !root.exists() {
        say(&format!("downloading {package}"));
        unpack(dir, &package, &root)?;
    }
    let modules = root.join("lib/modules").join(&version);
    output(Command::new(busybox()).arg("depmod").arg("-b").arg(&root).arg(&version))?;
    let needs = fs::read_to_string(modules.join("modules.dep"))?;
    Ok(Kernel {
        image: root.join("boot").join(format!("vmlinuz-{version}")),
        modules: in_order(&needs, &MODULES).into_iter().map(|file| modules.join(file)).collect(),
    })
}

fn newest() -> Result<String> {
    let depends = output(Command::new("apt-cache").args(["depends", PACKAGE]))?;
    let names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let mut images = names.filter(|name| name.starts_with("linux-image-"));
    Ok(images.next().with_context(|| format!("no kernel in {PACKAGE}"))?.to_owned())
}

/// Appears at `root` whole or not at all.
fn unpack(dir: &Path, package: &str, root: &Path) -> Result<()> {
    let download = dir.join("download");
    if download.exists() {
        fs::remove_dir_all(&download)?;
    }
    fs::create_dir_all(&download)?;
    output(
        Command::new("apt-get").args(["download", "--quiet=2", package]).current_dir(&download),
    )?;
    let mut files = fs::read_dir(&download)?;
    let file = files.next().context("apt-get downloaded nothing")??.path();
    let unpacked = download.join("root");
    output(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(&unpacked))?;
    ensure!(unpacked.join("boot").exists(), "{package} has no kernel in it");
    fs::rename(&unpacked, root)?;
    fs::remove_dir_all(&download)?;
    Ok(())
}

/// Files of the named modules and of all they need, each after its needs, from the text of a
/// `modules.dep`: lines of `file: direct and indirect needs`. A name without a line is built in.
fn in_order<'a>(dep: &'a str, names: &[&str]) -> Vec<&'a str> {
    let line_of = |name: &str| {
        dep.lines().filter_map(|line| line.split_once(':')).find(|(file, _)| {
            Path::new(file).file_name().is_some_and(|f| *f == *format!("{name}.ko"))
        })
    };
    let mut order = Vec::new();
    for (file, needs) in names.iter().filter_map(|name| line_of(name)) {
        visit(dep, file, needs, &mut order);
    }
    order
}

fn visit<'a>(dep: &'a str, file: &'a str, needs: &'a str, order: &mut Vec<&'a str>) {
    if order.contains(&file) {
        return;
    }
    for need in needs.split_whitespace() {
        let line = dep.lines().filter_map(|line| line.split_once(':')).find(|(f, _)| *f == need);
        visit(dep, need, line.map_or("", |(_, needs)| needs), order);
    }
    order.push(file);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_after_those_they_need_and_once() {
        let dep = "k/a.ko: k/b.ko k/c.ko\nk/b.ko: k/c.ko\nk/c.ko:\nk/d.ko: k/b.ko k/c.ko\n";
        assert_eq!(in_order(dep, &["a", "d"]), ["k/c.ko", "k/b.ko", "k/a.ko", "k/d.ko"]);
        assert_eq!(in_order(dep, &["built-in"]), Vec::<&str>::new());
    }
}
