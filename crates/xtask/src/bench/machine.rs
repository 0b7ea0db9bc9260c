//! The machine a run is on, in one line.

use anyhow::{Context, Result};
use fs_err as fs;

/// Processors, memory, kernel, cgroup version and how busy the machine is.
pub(crate) fn describe() -> Result<String> {
    let cpus = std::thread::available_parallelism().context("count processors")?;
    let info = fs::read_to_string("/proc/cpuinfo")?;
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model =
        model.map_or("unknown processor", |model| model.trim_start_matches(['\t', ' ', ':']));
    let memory = fs::read_to_string("/proc/meminfo")?;
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let memory = memory.and_then(|memory| memory.trim().strip_suffix("kB")?.trim().parse().ok());
    let gibibytes: u64 = memory.map_or(0, |kibibytes: u64| kibibytes.div_ceil(1024 * 1024));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let unified = fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_ok();
    let cgroup = if unified { "v2" } else { "v1" };
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or("?");
    Ok(format!(
        "{cpus} × {model}, {gibibytes} GiB memory, Linux {}, cgroup {cgroup}, load {load} before",
        kernel.trim()
    ))
}
