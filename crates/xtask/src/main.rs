//! `cargo xtask`: what developers and CI run on this repository. One file for each task.

mod bench;
mod chaos;
mod ci;
mod conformance;
mod enclosure;
mod fixtures;
mod guest;
mod http;
mod ordinary_user;
mod prerequisites;
mod programs;
mod repository;
mod tidy;
mod wrangler;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "What developers and CI run on this repository")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// All that must pass: format, tidy, clippy, build, every test.
    Ci,
    /// The rules about the source itself: who may import whom, module docs, sizes, links.
    Tidy,
    /// Make the base images that the end-to-end tests and examples pull.
    Fixtures,
    /// Run the sandbox's tests in a virtual machine that has cgroup v2 alone.
    Guest,
    /// Run the distribution specification's own suites against the registry.
    Conformance,
    /// Measure the hot paths, beside a peer.
    Bench(bench::Options),
    /// Kill every part of `berth dev` at random moments and see that nothing is lost or left.
    Chaos(chaos::Options),
    /// Run every command of the unmodified wrangler, of two versions, against `berth serve`.
    Wrangler(wrangler::Options),
}

fn main() -> ExitCode {
    let result = match Args::parse().task {
        Task::Ci => ci::run(),
        Task::Tidy => tidy::run(),
        Task::Fixtures => fixtures::run(),
        Task::Guest => guest::run(),
        Task::Conformance => conformance::run(),
        Task::Bench(options) => bench::run(&options),
        Task::Chaos(options) => chaos::run(&options),
        Task::Wrangler(options) => wrangler::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Tells the person who waits; stderr, so that a task's result may be piped.
#[expect(clippy::print_stderr, reason = "a developer's tool without a printer of its own")]
fn say(line: &str) {
    eprintln!("{line}");
}
