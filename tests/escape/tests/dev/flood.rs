//! A flood of output: the agent's memory and its files stay as large as they may be.

use std::path::Path;

use e2e::{Dev, eventually};
use model::limits::{LOG_FILE_BYTES, LOG_FILES};

use crate::project::{attempts, hostile, say};

/// More than all log files of an instance hold together.
const FLOOD_MIB: u64 = 96;

/// Log files below a folder: how many bytes they have together.
fn logged(folder: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs_err::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.metadata() {
            // The instance's own files are no logs.
            Ok(meta) if meta.is_dir() && name != "upper" => bytes += logged(&entry.path()),
            Ok(meta) if meta.is_file() && (name == "log" || name.starts_with("log.")) => {
                bytes += meta.len();
            }
            _ => {}
        }
    }
    bytes
}

/// Most memory that Berth's process has had, in MiB.
fn most_memory(dev: &Dev) -> u64 {
    let status = fs_err::read_to_string(format!("/proc/{}/status", dev.process().pid)).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[test]
fn a_flood_of_output_fills_neither_memory_nor_disk() {
    let project = hostile("");
    let dev = Dev::start(&project);
    attempts(&dev, "one", &["list /"]).possible();
    let before = most_memory(&dev);
    say(&dev, "one", &["print", "flood", &FLOOD_MIB.to_string()]);
    let limit = LOG_FILE_BYTES * u64::from(LOG_FILES);
    // It was written down, as far as it is kept.
    let kept = eventually(e2e::PATIENCE, || {
        let bytes = logged(project.path());
        (bytes > limit / 2).then_some(bytes)
    });
    let kept = kept.unwrap_or_else(|| panic!("nothing of the flood was written down"));
    assert!(kept <= limit + LOG_FILE_BYTES, "{kept} bytes of logs");
    let grown = most_memory(&dev) - before;
    assert!(grown < FLOOD_MIB / 2, "the agent grew by {grown} MiB");
    // And the Worker answers, the instance too.
    attempts(&dev, "one", &["list /"]).possible();
    attempts(&dev, "two", &["list /"]).possible();
    dev.stop();
}
