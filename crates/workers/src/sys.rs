//! The one syscall of this crate that std has no safe name for: dying with the parent.

#![expect(unsafe_code, reason = "the hook between fork and exec has no safe form")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

/// Lets the kernel kill the child (SIGKILL) when the thread that spawns it ends, so that a
/// `kill -9` of this program leaves no workerd behind.
pub(crate) fn die_with_parent(command: &mut Command) {
    let parent = getpid();
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; prctl and getppid
    // are plain syscalls, and neither branch allocates or takes a lock.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // The parent may have died before the signal was set.
            if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
        });
    }
}
