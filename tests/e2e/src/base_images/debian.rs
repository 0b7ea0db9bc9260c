//! Root file systems from Debian packages, unpacked without installing anything.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use fs_err::os::unix::fs::symlink;

use crate::packages::{download, run, unpack};

/// Needed by maintainer scripts or interactive use alone; no program of the images calls them.
const LEFT_OUT: [&str; 12] = [
    "adduser",
    "debconf",
    "dpkg",
    "gcc-",
    "install-info",
    "mailcap",
    "media-types",
    "mime-support",
    "passwd",
    "perl",
    "readline-common",
    "libpam",
];

/// `busybox` with its applets, as the image of that name has it.
pub(super) fn busybox(folder: &Path) -> PathBuf {
    let root = folder.join("root");
    let packages = folder.join("packages");
    unpack(&download(&packages, &BTreeSet::from(["busybox-static".to_owned()])), &root);
    let applets = run(Command::new(root.join("bin/busybox")).arg("--list"));
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).expect("link an applet");
    }
    fs::remove_dir_all(root.join("usr/share")).expect("remove the documentation");
    base_files(&root);
    root
}

/// A shell and the usual tools.
pub(super) fn slim(folder: &Path) -> PathBuf {
    let root = merged_root(folder);
    let wanted = [
        "base-files",
        "bash",
        "dash",
        "coreutils",
        "sed",
        "grep",
        "findutils",
        "tar",
        "gzip",
        "hostname",
        "debianutils",
    ];
    unpack(&download(&folder.join("packages"), &closure(&wanted)), &root);
    base_files(&root);
    without_documentation(&root);
    root
}

/// What Python adds to [`slim`].
pub(super) fn python(folder: &Path) -> PathBuf {
    let root = merged_root(folder);
    let mut packages = closure(&["python3-minimal", "libpython3-stdlib"]);
    packages.retain(|name| !closure(&["bash", "coreutils"]).contains(name));
    unpack(&download(&folder.join("packages"), &packages), &root);
    let local = root.join("usr/local/bin");
    fs::create_dir_all(&local).expect("make /usr/local/bin");
    for name in ["python3", "python"] {
        symlink("/usr/bin/python3", local.join(name)).expect("link python");
    }
    without_documentation(&root);
    root
}

/// A root whose `/bin`, `/lib` … are links into `/usr`, as Debian has it.
fn merged_root(folder: &Path) -> PathBuf {
    let root = folder.join("root");
    for name in ["bin", "sbin", "lib", "lib64"] {
        fs::create_dir_all(root.join("usr").join(name)).expect("make a folder");
        symlink(format!("usr/{name}"), root.join(name)).expect("link a folder");
    }
    root
}

/// Users, groups and folders that every image has.
fn base_files(root: &Path) {
    for folder in ["etc", "root", "home", "var/run", "dev", "proc", "sys"] {
        fs::create_dir_all(root.join(folder)).expect("make a folder");
    }
    fs::create_dir_all(root.join("tmp")).expect("make /tmp");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
    fs::set_permissions(root.join("tmp"), open).expect("open /tmp to all");
    let users = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/false\n\
                 nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n";
    fs::write(root.join("etc/passwd"), users).expect("write users");
    let groups = "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n";
    fs::write(root.join("etc/group"), groups).expect("write groups");
}

fn without_documentation(root: &Path) {
    for folder in ["doc", "man", "locale", "info", "lintian"] {
        // Not every package brings each of them.
        let _ = fs::remove_dir_all(root.join("usr/share").join(folder));
    }
}

/// The packages and all they depend on.
fn closure(packages: &[&str]) -> BTreeSet<String> {
    let no = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"];
    let mut command = Command::new("apt-cache");
    command.args(["depends", "--recurse"]).args(no.map(|what| format!("--no-{what}")));
    let tree = run(command.args(packages));
    // A package begins its line; `<name>` is a virtual one; `name:i386` is foreign.
    let names =
        tree.lines().filter(|line| !line.starts_with([' ', '<', '|']) && !line.contains(':'));
    let wanted = names.filter(|name| !LEFT_OUT.iter().any(|left| name.starts_with(left)));
    wanted.map(str::to_owned).collect()
}
