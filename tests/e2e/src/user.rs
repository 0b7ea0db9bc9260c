//! Whose `berth` the tests run: root's, or with `BERTH_TEST_USER=ordinary` that of a user who has
//! nothing but what every distribution gives its users.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use fs_err as fs;

use crate::cache::make_folder;

/// `nobody`: there on every machine, and nothing is its own.
pub const ORDINARY: u32 = 65_534;

/// Runs a command as that user.
pub const AS_ORDINARY: [&str; 4] =
    ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// The first of the user's subordinate ids, where it has some.
pub const FIRST_SUBORDINATE: u32 = 1_900_000_000;

/// What the user can read and write, in place of the build's output: that may be in a folder where
/// nobody else is let in. Its path is short, as sockets want it.
const FOLDER: &str = "/var/tmp/berth-e2e-user";

/// Cgroups that are the user's, below the root of each hierarchy. `cargo xtask ci` removes them.
const DELEGATED: &str = "e2e-user";

/// Gives the user a cgroup in each hierarchy, as an administrator or systemd would, and enters it. In
/// v2 each command has its own: one with processes cannot have others below it.
const DELEGATE: &str = "
while read -r _ dir kind _; do
    # One of cpuset takes no process before it is given processors.
    case $kind-$dir in
        *cpuset*) continue ;;
    esac
    case $kind in
        cgroup) own=$dir/DELEGATED ;;
        cgroup2) own=$dir/DELEGATED-$$ ;;
        *) continue ;;
    esac
    mkdir -p $own && chown USER:USER $own $own/cgroup.procs || exit 1
    for file in tasks cgroup.threads cgroup.subtree_control; do
        test ! -e $own/$file || chown USER:USER $own/$file || exit 1
    done
    echo $$ > $own/cgroup.procs || exit 1
done < /proc/mounts
";

/// Runs a command in a mount namespace of its own in which the user has subordinate ids: it is in the
/// files that administrators keep. The command follows.
#[must_use]
pub fn with_subordinate_ids(folder: &Path) -> Vec<String> {
    wrapper(folder, "")
}

/// The same with cgroups of the user's own, and with Rust.
pub(crate) fn with_ids_and_cgroups(folder: &Path) -> Vec<String> {
    let (user, rust) = (ORDINARY.to_string(), rust());
    let delegate = DELEGATE.replace("DELEGATED", DELEGATED).replace("USER", &user);
    let (from, to) = (rust.from.display(), rust.to.display());
    wrapper(folder, &format!("{delegate}mount --bind {from} {to} || exit 1\npath={to}/bin:$path"))
}

/// Where rustc is, which the examples' builds run, and where the user finds it: its own place may be
/// in root's home.
struct Rust {
    from: PathBuf,
    to: PathBuf,
}

fn rust() -> &'static Rust {
    static RUST: OnceLock<Rust> = OnceLock::new();
    RUST.get_or_init(|| {
        let output = Command::new("rustc").args(["--print", "sysroot"]).output();
        let output = output.expect("ask rustc where it is").stdout;
        let to = folder().join("rust");
        fs::create_dir_all(&to).expect("make a folder for Rust");
        Rust { from: String::from_utf8(output).expect("a path").trim().into(), to }
    })
}

fn wrapper(folder: &Path, first: &str) -> Vec<String> {
    let file = folder.join("subordinate");
    fs::write(&file, format!("{ORDINARY}:{FIRST_SUBORDINATE}:65536\n")).expect("write the ids");
    // A test may give the command a PATH on which nothing is found.
    let script = format!(
        "path=$PATH PATH=/usr/sbin:/usr/bin:/sbin:/bin\n{first}\n\
         for file in subuid subgid; do mount --bind \"$0\" /etc/$file || exit 1; done\n\
         PATH=$path; exec \"$@\""
    );
    let file = file.to_str().expect("a path in UTF-8");
    let start = ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", &script, file];
    let wrapper = start.into_iter().chain(AS_ORDINARY);
    wrapper.map(str::to_owned).collect()
}

/// Whether the tests run as an ordinary user.
#[must_use]
pub fn is_ordinary() -> bool {
    std::env::var_os("BERTH_TEST_USER").is_some_and(|user| user == "ordinary")
}

/// The user's folder, which it can write to.
pub(crate) fn folder() -> PathBuf {
    make_folder(Path::new(FOLDER));
    FOLDER.into()
}
