//! `cargo xtask guest`: the sandbox's promises in a virtual machine, with Debian's kernel and cgroup v2
//! alone. Hosts differ; this one is the same everywhere, and has what the machine at hand may lack.
//!
//! QEMU emulates the processor (TCG), so no KVM is needed; the tests take minutes rather than seconds.

mod archive;
mod boot;
mod kernel;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fs_err as fs;

use crate::{prerequisites, repository, say};

/// Programs of the host, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 6] = [
    ("busybox", "busybox-static"),
    ("dpkg-deb", "dpkg"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mkfs.xfs", "xfsprogs"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("strip", "binutils"),
];

/// Any test that starts a sandbox.
const A_TEST: &str = "start::a_program_starts_and_answers_on_its_loopback";

pub(crate) fn run() -> Result<()> {
    if std::env::consts::ARCH != "x86_64" || !prerequisites::is_there("apt-get") {
        say("skipped: the guest's kernel is Debian's for x86-64");
        return Ok(());
    }
    prerequisites::install(&PROGRAMS)?;
    let dir = repository::root().join("target/guest");
    fs::create_dir_all(&dir)?;
    let kernel = kernel::fetch(&dir)?;
    let tests = Tests::build()?;
    let initramfs = archive::make(&dir, &kernel, &tests)?;
    boot::run(&kernel.image, &initramfs, &dir.join("console.log"))
}

/// The sandbox's tests as programs.
struct Tests {
    /// `tests/sandbox` of the runtime.
    program: PathBuf,
    /// What it runs inside sandboxes.
    probe: PathBuf,
}

impl Tests {
    /// Builds them, with the features that the whole workspace is built with.
    fn build() -> Result<Self> {
        // One test on this machine compiles the probe.
        output(cargo_test().args(["--", "--exact", A_TEST]))?;
        let messages = output(cargo_test().args(["--no-run", "--message-format=json"]))?;
        let program = executable(&messages).context("cargo built no test program")?;
        let target = program.ancestors().nth(3).context("the program lies in no build's output")?;
        Ok(Self { probe: target.join("tmp/probe"), program })
    }
}

fn cargo_test() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = repository::command(cargo);
    command.args(["test", "--release", "--workspace", "--locked", "--test", "sandbox"]);
    command
}

/// The last executable that cargo's messages name.
fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().rev().filter_map(|line| serde_json::from_str(line).ok());
    let mut executables = messages.filter_map(|message: serde_json::Value| {
        message.get("executable")?.as_str().map(PathBuf::from)
    });
    executables.next()
}

/// Runs a command to its end and gives what it printed; it must succeed.
fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_owned();
    let output = command.output().with_context(|| format!("run {program:?}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed ({}): {error}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The busybox of this machine, static.
fn busybox() -> &'static Path {
    Path::new("/bin/busybox")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_program_is_read_from_cargos_messages() {
        let messages = concat!(
            "{\"reason\":\"compiler-artifact\",\"executable\":null}\n",
            "{\"reason\":\"compiler-artifact\",\"executable\":\"/target/release/deps/sandbox-1\"}\n",
            "{\"reason\":\"build-finished\",\"success\":true}\n",
        );
        assert_eq!(executable(messages), Some("/target/release/deps/sandbox-1".into()));
        assert_eq!(executable("no message"), None);
    }
}
