//! `cargo xtask ci`: everything that must pass, in the order that fails fastest.

use std::num::NonZero;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::repository;
use crate::{chaos, conformance, guest, ordinary_user, prerequisites, say, tidy, wrangler};

type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 8] = [
    ("format", || repository::run("cargo", &["fmt", "--all", "--check"])),
    ("tidy", tidy::run),
    ("prerequisites of the tests", || prerequisites::install(&prerequisites::OF_THE_TESTS)),
    ("clippy", || {
        let packages = ["clippy", "--release", "--workspace", "--all-targets", "--locked"];
        repository::run("cargo", &[&packages[..], &["--", "--deny", "warnings"]].concat())
    }),
    // All targets at once, so that every dependency is built with one set of features, and `berth`
    // is there before the tests that start it.
    ("build", || {
        repository::run(
            "cargo",
            &["build", "--release", "--workspace", "--all-targets", "--locked"],
        )
    }),
    ("dependencies", dependencies),
    ("tests, and the corpus of Dockerfiles beside them", || together(tests, corpus)),
    // A guest's processor is one of ours, for minutes. What runs beside it waits most of its time.
    ("sandboxes in a guest with cgroup v2, and beside them", || {
        together(guest::run, || run_steps(&BESIDE_THE_GUEST))
    }),
];

const BESIDE_THE_GUEST: [Step; 3] = [
    ("every command of wrangler, and tests as an ordinary user beside them", || {
        together(wrangler::run_all, ordinary_user::run)
    }),
    ("conformance of the registry", conformance::run),
    ("chaos", chaos::run_briefly),
];

/// The corpus's tests; no others have it in their names.
const CORPUS: &str = "dockerfiles::";

/// One more at once than there are processors: most tests wait most of their time, for a program to
/// start or an instance to sleep. All run, so that one run tells of all that fail.
fn tests() -> Result<()> {
    let threads = format!("RUST_TEST_THREADS={}", processors() + 1);
    let cargo = ["cargo", "test", "--release", "--workspace", "--locked", "--no-fail-fast"];
    repository::run("env", &[&[&*threads], &cargo[..], &["--", "--skip", CORPUS]].concat())
}

/// Builds, which keep a processor busy for as long as all others take. What it says comes at its end,
/// in one piece.
fn corpus() -> Result<()> {
    let threads = format!("RUST_TEST_THREADS={}", processors().div_ceil(2));
    let tests =
        ["cargo", "test", "--release", "--workspace", "--locked", "--test", "corpus", CORPUS];
    repository::run_beside("env", &[&[&*threads], &tests[..]].concat())
}

fn processors() -> usize {
    thread::available_parallelism().map_or(2, NonZero::get)
}

fn together(one: fn() -> Result<()>, other: fn() -> Result<()>) -> Result<()> {
    thread::scope(|scope| {
        let other = scope.spawn(other);
        let one = one();
        one.and(other.join().unwrap_or_else(|_| bail!("the other of two steps panicked")))
    })
}

fn run_steps(steps: &[Step]) -> Result<()> {
    for (name, step) in steps {
        say(&format!("\n▶ {name}"));
        let begin = Instant::now();
        step().with_context(|| format!("{name} failed"))?;
        say(&format!("✓ {name}: {} s", begin.elapsed().as_secs()));
    }
    Ok(())
}

pub(crate) fn run() -> Result<()> {
    let begin = Instant::now();
    run_steps(&STEPS)?;
    let seconds = begin.elapsed().as_secs();
    say(&format!("\nAll passed in {} min {} s.", seconds / 60, seconds % 60));
    Ok(())
}

/// Licences, sources and advisories, where `cargo-deny` is installed; it is no part of Rust and
/// takes longer to build than Berth.
fn dependencies() -> Result<()> {
    if !prerequisites::is_there("cargo-deny") {
        say("skipped: cargo-deny is not installed (`cargo install --locked cargo-deny`)");
        return Ok(());
    }
    repository::run("cargo", &["deny", "--all-features", "check", "bans", "licenses", "sources"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_ends_the_run_and_is_named() {
        let steps: [Step; 3] = [
            ("first", || Ok(())),
            ("second", || anyhow::bail!("it broke")),
            ("third", || unreachable!("nothing runs after a failure")),
        ];
        let error = format!("{:#}", run_steps(&steps).unwrap_err());
        assert_eq!(error, "second failed: it broke");
    }
}
