//! `berth-docker`: `berth docker` under the name of a program of its own, for whoever wants the path
//! of a `docker` command (`WRANGLER_DOCKER_BIN`). It becomes the `berth` beside it.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let berth = berth();
    let mut arguments = vec![OsString::from("docker")];
    arguments.extend(std::env::args_os().skip(1));
    // Returns only if it failed.
    let error = Command::new(&berth).args(arguments).exec();
    let _ = writeln!(
        std::io::stderr(),
        "error: failed to run {}: {error}\n\nhint: keep `berth` in the folder of `berth-docker`, or on the PATH",
        berth.display()
    );
    ExitCode::from(5)
}

/// The `berth` in this program's folder, links followed, or else one on the `PATH`.
fn berth() -> PathBuf {
    let own = std::env::current_exe().and_then(std::fs::canonicalize);
    let beside = own.ok().and_then(|own| Some(own.parent()?.join("berth")));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from("berth"))
}
