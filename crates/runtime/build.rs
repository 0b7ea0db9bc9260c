//! Builds `berth-init` as a static program of its own, so that the runtime can carry it.
//!
//! Cargo cannot yet give one package another's binary built with other flags, so this runs cargo
//! again, in a target directory of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Variables of the outer build that mean something else for the inner one.
const OUTER: [&str; 12] = [
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "CLIPPY_ARGS",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
    "CARGO_PRIMARY_PACKAGE",
    "LD_LIBRARY_PATH",
];

fn main() {
    let init = manifest_dir().join("../init");
    for path in ["src", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", init.join(path).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(variable("OUT_DIR"));
    // A host without a static libc still gets a working program: it runs before any sandbox's root
    // exists, and init never executes itself again.
    let built = build(&init, &out, "-Ctarget-feature=+crt-static")
        .or_else(|| build(&init, &out, "-Ctarget-feature=-crt-static"))
        .expect("cargo builds berth-init; its own output above says why it did not");
    std::fs::copy(built, out.join("berth-init")).expect("the build directory is writable");
}

fn build(init: &Path, out: &Path, rustflags: &str) -> Option<PathBuf> {
    let target = variable("TARGET");
    let target_dir = out.join("init");
    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .args(["build", "--release", "--bin", "berth-init", "--target", &target])
        .arg("--manifest-path")
        .arg(init.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_dir);
    for name in OUTER {
        cargo.env_remove(name);
    }
    cargo
        .env("RUSTFLAGS", rustflags)
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
        .env("CARGO_PROFILE_RELEASE_LTO", "true")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    let built = target_dir.join(target).join("release/berth-init");
    cargo.status().ok().filter(|status| status.success()).map(|_| built)
}

fn manifest_dir() -> PathBuf {
    PathBuf::from(variable("CARGO_MANIFEST_DIR"))
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"))
}
