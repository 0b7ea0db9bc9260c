//! The place where everything runs: a network, mount and process namespace of the run's own.
//!
//! Docker's published ports, its mounts and its daemons, Berth and its instances: all of it ends
//! with the namespaces' first process. What namespaces don't hold, the run's folder and Docker's
//! cgroups, a janitor removes: a process that waits until the run is gone, however it went.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use fs_err as fs;

/// Prepares the namespaces and runs the rest of the command line. It stays as their first process,
/// so that it reaps what others leave, and is not ended by Ctrl-C before them. Docker's sockets and
/// keys, which have fixed places, come to lie in memory.
const FIRST_PROCESS: &str = "
ip link set lo up && mount -t tmpfs tmpfs /run || exit 1
if [ -d /etc/docker ]; then mount -t tmpfs tmpfs /etc/docker || exit 1; fi
\"$@\"
exit $?";

/// Waits for the end of its stdin, then removes the folder `$1`, the cgroups named `$2`, and what a
/// `berth dev` that was killed has left of its sessions: their folders in Berth's home `$3` and
/// their cgroups. What still ends may hold these for a moment. Cgroups of `start_bench` are not of
/// one run alone: those that another one uses stay.
const JANITOR: &str = "
trap '' INT TERM HUP
cat
sessions=$(ls \"$3/dev\" 2>/dev/null)
cgroups() { find /sys/fs/cgroup -depth -type d -path \"*$1*\"; }
left() {
    for name in \"$2\" $sessions; do cgroups \"$name\"; done
    ls -d \"$1\" 2>/dev/null
    for session in $sessions; do ls -d \"$3/dev/$session\" 2>/dev/null; done
}
for attempt in $(seq 100); do
    cgroups berth-bench | xargs -r rmdir 2>/dev/null
    left \"$@\" | while read -r path; do
        case \"$path\" in
            /sys/*) rmdir \"$path\" 2>/dev/null ;;
            *) rm -rf --one-file-system \"$path\" 2>/dev/null ;;
        esac
    done
    [ -n \"$(left \"$@\")\" ] || exit 0
    sleep 0.1
done
echo \"could not remove:\" >&2
left \"$@\" >&2
exit 1";

/// A run's folder, and the janitor that removes it.
#[derive(Debug)]
pub(crate) struct Enclosure {
    dir: PathBuf,
    janitor: Child,
}

impl Enclosure {
    /// Makes the folder; `home` is Berth's home of the run, if not the folder's `h`.
    pub(crate) fn make(name: &str, home: Option<&Path>) -> Result<Self> {
        // Short, for the sockets in it; on a disk, for the daemons' data.
        let dir = PathBuf::from(format!("/var/tmp/{name}-{}", std::process::id()));
        fs::create_dir(&dir)?;
        let mut janitor = Command::new("sh");
        janitor.args(["-c", JANITOR, "janitor"]).arg(&dir).arg(cgroup(&dir));
        janitor.arg(home.map_or_else(|| dir.join("h"), Path::to_owned));
        let janitor = janitor.stdin(Stdio::piped()).spawn().context("start the janitor")?;
        Ok(Self { dir, janitor })
    }

    /// For whatever a run writes; gone after it.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs this very command line inside, to its end, with `--inside`, the folder and
    /// `more`.
    pub(crate) fn run(&self, more: &[String]) -> Result<()> {
        let this = std::env::current_exe().context("find this program")?;
        let mut command = Command::new("setpriv");
        // If this process is killed, so is `unshare`, and then all within.
        command.args(["--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork"]);
        command.args(["--kill-child", "--mount-proc", "sh", "-c", FIRST_PROCESS, "sh"]);
        command.arg(this).args(std::env::args_os().skip(1)).arg("--inside").arg(&self.dir);
        command.args(more);
        let status = command.status().context("run unshare")?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

impl Drop for Enclosure {
    fn drop(&mut self) {
        // Closes its stdin.
        let _ = self.janitor.wait();
    }
}

/// The parent of Docker's cgroups in the run of this folder.
pub(crate) fn cgroup(dir: &Path) -> &Path {
    dir.file_name().map_or(dir, Path::new)
}
