//! `berth-init`: one small static program with two lives.
//!
//! It starts as the *launcher*, a process so small that forking it is cheap, and lives as *init*,
//! PID 1 of each sandbox: a fork of the launcher that never executes anything itself and so needs no
//! file inside. It never runs as a program a user starts, and it holds no policy: what to run and
//! what to forbid arrives in messages.

mod failure;
mod kernel;
mod launcher;
mod netlink;
mod network;
mod overlay;
mod park;
mod process;
mod rootfs;
mod stage;
mod supervise;
mod sys;
mod user;
mod userns;

use std::process::ExitCode;

fn main() -> ExitCode {
    launcher::run()
}
