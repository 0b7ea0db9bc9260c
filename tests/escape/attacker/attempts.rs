//! One attempt each, named by its first word. An attempt that cannot be understood ends the program.

use std::ffi::{CString, c_int, c_long};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};

use crate::{network, processes, sys};

/// Tries and says what became of it.
pub fn report(attempt: &str) {
    let words: Vec<&str> = attempt.split(' ').collect();
    let line = match carry_out(&words) {
        Ok(detail) => format!("{attempt}\tok {}", detail.replace('\n', "|").replace('\t', " ")),
        Err(e) => format!("{attempt}\terrno {}", e.raw_os_error().unwrap_or(0)),
    };
    println!("{}", line.trim_end());
}

type Detail = io::Result<String>;

fn carry_out(words: &[&str]) -> Detail {
    let silent = |result: io::Result<()>| result.map(|()| String::new());
    match words {
        ["open-write", path] => silent(OpenOptions::new().write(true).open(path).map(drop)),
        ["open-path", path] => {
            const O_PATH: i32 = 0o10_000_000;
            silent(OpenOptions::new().read(true).custom_flags(O_PATH).open(path).map(drop))
        }
        ["write", path, text @ ..] => {
            let mut file = OpenOptions::new().write(true).open(path)?;
            silent(file.write_all(text.join(" ").as_bytes()))
        }
        ["read", path] => read(path),
        ["list", path] => list(path),
        ["link", path] => std::fs::read_link(path).map(|link| link.display().to_string()),
        ["mkdir", path] => silent(std::fs::create_dir(path)),
        ["remove", path] => silent(std::fs::remove_file(path)),
        ["enter", path] => silent(std::env::set_current_dir(path)),
        ["hard-link", from, to] => silent(std::fs::hard_link(from, to)),
        ["stat", path] => std::fs::metadata(path).map(|m| format!("{}:{}", m.dev(), m.ino())),
        ["owner", path] => std::fs::metadata(path).map(|m| format!("{}:{}", m.uid(), m.gid())),
        ["chmod-setuid", path] => {
            silent(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o6755)))
        }
        ["writable-files", root] => Ok(writable_files(root)),
        ["readable", path] => Ok(readable(path)),
        ["mknod", path, kind, major, minor] => {
            silent(sys::make_device(path, kind, number(major) as u64, number(minor) as u64))
        }
        ["mount", source, target, kind, flags, data @ ..] => {
            silent(sys::mount_at(source, target, kind, number(flags) as u64, &data.join(" ")))
        }
        ["umount", target] => silent(sys::unmount(target)),
        ["unshare", flags] => silent(sys::new_namespaces(number(flags) as c_int)),
        ["setns", path] => {
            let file = File::open(path)?;
            silent(sys::enter_namespace(file.as_raw_fd()))
        }
        ["syscall", call, arguments @ ..] => raw(call, arguments),
        ["in-child", rest @ ..] => run("/proc/self/exe", rest),
        ["leave-chroot"] => leave_chroot(),
        ["run", program, rest @ ..] => run(program, rest),
        ["wait"] => loop {
            std::thread::sleep(std::time::Duration::from_secs(3600));
        },
        ["ids"] => Ok(format!("{:?}", sys::ids())),
        ["inotify", count] => inotify(number(count) as usize),
        _ => network::carry_out(words).or_else(|_| processes::carry_out(words)).unwrap_or_else(|()| {
            panic!("unknown attempt {words:?}");
        }),
    }
}

/// A number: decimal, hexadecimal with `0x`, or negative.
pub fn number(text: &str) -> c_long {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.unwrap_or_else(|_| panic!("{text} is no number"))
}

fn read(path: &str) -> Detail {
    let mut bytes = vec![0; 4096];
    let read = File::open(path)?.read(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes[..read]).into_owned())
}

fn list(path: &str) -> Detail {
    let names = std::fs::read_dir(path)?.map(|entry| entry.map(|e| e.file_name()));
    let mut names = names
        .map(|name| name.map(|n| n.to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names.join(" "))
}

/// Everything below `root` that opens for writing, without what processes have of their own.
fn writable_files(root: &str) -> String {
    let (mut found, mut tried) = (Vec::new(), 0);
    let mut pending = vec![std::path::PathBuf::from(root)];
    while let Some(directory) = pending.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let name = entry.file_name();
            let is_process = name.to_str().is_some_and(|name| name.parse::<u32>().is_ok());
            if kind.is_dir() && !(root == "/proc" && is_process) {
                pending.push(entry.path());
            } else if kind.is_file() {
                tried += 1;
                // Root may open what nobody may write, and then cannot write it.
                let writable =
                    entry.metadata().is_ok_and(|meta| meta.is_file() && meta.mode() & 0o222 != 0);
                if !writable {
                    continue;
                }
                if OpenOptions::new().write(true).open(entry.path()).is_ok() {
                    found.push(entry.path().display().to_string());
                }
            }
        }
    }
    found.sort();
    format!("{tried} {}", found.join(" "))
}

/// Whether anything can be read from a path, and how.
fn readable(path: &str) -> String {
    match std::fs::metadata(path) {
        Err(_) => "absent".to_owned(),
        Ok(meta) if meta.is_dir() => match std::fs::read_dir(path).map(Iterator::count) {
            Ok(0) => "empty".to_owned(),
            Ok(_) => "entries".to_owned(),
            Err(_) => "refused".to_owned(),
        },
        Ok(_) => match File::open(path).and_then(|mut file| file.read(&mut [0; 64])) {
            Ok(0) => "empty".to_owned(),
            Ok(_) => "bytes".to_owned(),
            Err(_) => "refused".to_owned(),
        },
    }
}

/// A system call by number. Arguments: numbers, `@text` for a string, `buffer` for 4 KiB of zeros.
fn raw(call: &str, arguments: &[&str]) -> Detail {
    let mut kept: Vec<CString> = Vec::new();
    let mut buffer = [0u64; 512];
    let mut values: [c_long; 6] = [0; 6];
    for (value, argument) in values.iter_mut().zip(arguments) {
        *value = match argument.strip_prefix('@') {
            Some(text) => {
                kept.push(CString::new(text).expect("no NUL"));
                kept[kept.len() - 1].as_ptr() as c_long
            }
            None if *argument == "buffer" => buffer.as_mut_ptr() as c_long,
            None => number(argument),
        };
    }
    let [a, b, c, d, e, f] = values;
    sys::check(unsafe { sys::syscall(number(call), a, b, c, d, e, f) }).map(|n| n.to_string())
}

/// Another attempt by a process of its own, which it may end or change.
fn run(program: &str, words: &[&str]) -> Detail {
    let output = std::process::Command::new(program).args(["try", &words.join(" ")]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let result = text.trim().split('\t').nth(1).unwrap_or("ended").to_owned();
    match result.strip_prefix("errno ") {
        Some(errno) => Err(io::Error::from_raw_os_error(errno.parse().expect("a number"))),
        None => Ok(result),
    }
}

/// The classic way out of a chroot: a second one while a directory above it is still open. Returns
/// what the root is then.
fn leave_chroot() -> Detail {
    std::fs::create_dir_all("/tmp/jail")?;
    let above = File::open("/")?;
    sys::change_root("/tmp/jail")?;
    sys::enter_directory(above.as_raw_fd())?;
    for _ in 0..64 {
        std::env::set_current_dir("..")?;
    }
    sys::change_root(".")?;
    list("/")
}

/// That many inotify instances at once.
fn inotify(count: usize) -> Detail {
    #[cfg(target_arch = "x86_64")]
    const INOTIFY_INIT1: c_long = 294;
    #[cfg(target_arch = "aarch64")]
    const INOTIFY_INIT1: c_long = 26;
    for _ in 0..count {
        // Held for the life of this process.
        std::mem::forget(sys::owned(unsafe { sys::syscall(INOTIFY_INIT1, 0) })?);
    }
    Ok(String::new())
}
