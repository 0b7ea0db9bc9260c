//! The attacker: compiled once, and run outside of any sandbox as a control.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::Answers;

/// The attacker's path, statically linked.
///
/// # Panics
/// It does not compile.
#[must_use]
pub fn attacker() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let target = std::env::current_exe().expect("the test's own path");
        let target = target.ancestors().nth(2).expect("tests lie two folders deep");
        let built = target.join(format!("attacker-{}", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("attacker/main.rs");
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let status = Command::new(rustc)
            .args(["--edition=2024", "-O", "-Ctarget-feature=+crt-static", "-Cpanic=abort", "-o"])
            .arg(&built)
            .arg(source)
            .status()
            .expect("run rustc");
        assert!(status.success(), "the attacker compiles");
        let path = target.join("attacker");
        fs_err::rename(built, &path).expect("put the attacker in its place");
        path
    })
}

/// What becomes of the attempts where nothing holds the attacker back.
///
/// # Panics
/// It does not run.
#[must_use]
pub fn outside(attempts: &[&str]) -> Answers {
    let output = run_outside(&[&["outside", "try"], attempts].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{attempts:?} outside: {}{errors}", output.status);
    Answers::parse(attempts, &String::from_utf8_lossy(&output.stdout))
}

/// Runs the attacker on the host, with these arguments.
///
/// # Panics
/// It cannot be started.
#[must_use]
pub fn run_outside(args: &[&str]) -> Output {
    Command::new(attacker()).args(args).output().expect("run the attacker")
}
