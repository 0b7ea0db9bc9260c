//! Attempts against other processes.

use std::ffi::{c_int, c_long};
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::attempts::number;
use crate::sys;

const ATTACH: c_long = 16;
const SEIZE: c_long = 0x4206;
const GET_FILTER: c_long = 0x420c;

#[cfg(target_arch = "x86_64")]
const PIDFD_OPEN: c_long = 434;
#[cfg(target_arch = "aarch64")]
const PIDFD_OPEN: c_long = 434;
const PIDFD_GETFD: c_long = 438;

/// `Err` for words that are nothing of ours.
pub fn carry_out(words: &[&str]) -> Result<io::Result<String>, ()> {
    let silent = |result: io::Result<()>| result.map(|()| String::new());
    Ok(match words {
        ["signal", pid, signal] => {
            silent(sys::send_signal(number(pid) as c_int, number(signal) as c_int))
        }
        ["trace", how, pid] => {
            let request = if *how == "attach" { ATTACH } else { SEIZE };
            silent(sys::trace(request, target(pid)))
        }
        ["read-memory", pid] => {
            // The address of something that has the same place in a child of ours.
            silent(sys::read_memory(target(pid), (&raw const ADDRESS) as usize))
        }
        ["steal-descriptor", pid] => {
            let pidfd = sys::owned(unsafe { sys::syscall(PIDFD_OPEN, target(pid), 0) });
            silent(pidfd.and_then(|pidfd| {
                sys::owned(unsafe { sys::syscall(PIDFD_GETFD, pidfd.as_raw_fd(), 0, 0) }).map(drop)
            }))
        }
        _ => return Err(()),
    })
}

static ADDRESS: u8 = 1;

/// A pid, or a new child's.
fn target(text: &str) -> c_int {
    match text {
        "child" => sys::sleeping_child().expect("fork"),
        pid => number(pid) as c_int,
    }
}

/// Looks at every process that appears, as fast as it can, for what only exists before it executes
/// its program: descriptors, executables and directories that are not of this instance. Prints each
/// that it could see; ends when `/tmp/stop` exists.
pub fn watch() {
    println!("watching");
    let me = std::process::id().to_string();
    let end = Instant::now() + Duration::from_secs(60);
    let (mut looks, mut seen) = (0u64, std::collections::BTreeSet::new());
    while Instant::now() < end && !std::path::Path::new("/tmp/stop").exists() {
        for entry in std::fs::read_dir("/proc").expect("look at /proc").flatten() {
            let pid = entry.file_name().to_string_lossy().into_owned();
            if pid.parse::<u32>().is_err() || pid == me {
                continue;
            }
            for link in ["exe", "cwd", "root"] {
                if let Ok(target) = std::fs::read_link(entry.path().join(link)) {
                    seen.insert(format!("{link} {}", target.display()));
                }
            }
            if std::fs::OpenOptions::new().write(true).open(entry.path().join("exe")).is_ok() {
                seen.insert("an executable that can be written".to_owned());
            }
            let descriptors = std::fs::read_dir(entry.path().join("fd")).into_iter().flatten();
            for descriptor in descriptors.flatten() {
                if let Ok(target) = std::fs::read_link(descriptor.path()) {
                    let target = target.display().to_string();
                    // Pipes and the like have a number of their own each.
                    seen.insert(format!("fd {}", target.split(":[").next().unwrap_or_default()));
                }
            }
            looks += 1;
        }
    }
    println!("looks {looks}");
    seen.iter().for_each(|seen| println!("{seen}"));
}

/// Prints the seccomp filter that the kernel applies to a process, one instruction a line.
pub fn dump_filter(pid: c_int) {
    let result = (|| {
        sys::trace(ATTACH, pid)?;
        sys::wait_for(pid);
        let mut filter = [0u64; 4096];
        let count = sys::check(unsafe { sys::ptrace(GET_FILTER, pid, 0, filter.as_mut_ptr() as usize) })?;
        // A second one would be an error of this dump, not of the filter.
        let more = sys::check(unsafe { sys::ptrace(GET_FILTER, pid, 1, filter.as_mut_ptr() as usize + 16384) });
        assert!(more.is_err(), "one filter is installed");
        Ok::<_, io::Error>(filter[..count as usize].to_vec())
    })();
    match result {
        Ok(filter) => filter.iter().for_each(|instruction| println!("{instruction:016x}")),
        Err(e) => println!("errno {}", e.raw_os_error().unwrap_or(0)),
    }
}
