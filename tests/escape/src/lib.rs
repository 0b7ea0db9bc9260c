//! Fixtures of the escape suite: a hostile program, inside a real sandbox and outside of one.
//!
//! A test lists attempts, runs them inside and expects each to be refused. Where it can, it runs the
//! same attempts outside, with all rights and in namespaces where they harm nobody, and expects them
//! to succeed: so an attempt that could never work does not pass for a guard.

mod answer;
mod host;
mod program;

pub use answer::{Answer, Answers};
pub use host::{DEADLINE, Host, cgroups, process, read_all, within};
pub use program::{attacker, outside, run_outside};

/// Whether sandboxes can be made at all; says so when not.
#[expect(clippy::print_stderr, reason = "nothing is skipped silently")]
#[must_use]
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: sandboxes need root");
    }
    root
}
