//! Programs that run to their end while somebody looks at their memory.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::Process;
use fs_err as fs;

/// Between two looks; the peak that a process knows of itself never falls.
const LOOK: Duration = Duration::from_millis(5);

/// How long a program ran, and the most memory it had resident itself, without its children.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) time: Duration,
    pub(super) peak: u64,
}

/// Runs a command to its end; a failure is what it said last.
pub(super) fn run(command: &mut Command, log: &Path) -> Result<Result<Run, String>> {
    let file = fs::File::create(log)?.into_parts().0;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("run {:?}", command.get_program()))?;
    let pid = child.id();
    let looking = thread::spawn(move || {
        let mut peak = 0;
        while let Some(size) = Process::with_pid(pid).and_then(|process| process.peak_memory()) {
            peak = size.max(peak);
            thread::sleep(LOOK);
        }
        peak
    });
    let status = child.wait().context("wait for a command")?;
    let time = start.elapsed();
    let peak = looking.join().unwrap_or_default();
    if status.success() {
        return Ok(Ok(Run { time, peak }));
    }
    let said = fs::read_to_string(log).unwrap_or_default();
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Ok(Err(format!("{status}: {last}")))
}

/// Several runs of the same: the times, and the highest peak.
#[derive(Debug, Default)]
pub(super) struct Runs {
    pub(super) results: Vec<Result<Duration, String>>,
    pub(super) peak: u64,
}

impl Runs {
    pub(super) fn push(&mut self, run: Result<Run, String>) {
        if let Ok(run) = &run {
            self.peak = self.peak.max(run.peak);
        }
        self.results.push(run.map(|run| run.time));
    }
}
