//! Programs that a task starts: run to their end, or for as long as they are needed.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::Process;
use fs_err as fs;

/// The running process of a program that a task started, ended when dropped.
#[derive(Debug)]
pub(crate) struct Program(std::process::Child);

impl Program {
    /// Starts it with its output going to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let log = fs::File::create(log)?.into_parts().0;
        command.stdin(std::process::Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child =
            command.spawn().with_context(|| format!("start {:?}", command.get_program()))?;
        Ok(Self(child))
    }

    pub(crate) fn process(&self) -> Option<Process> {
        Process::with_pid(self.0.id())
    }

    /// Its exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        self.0.try_wait().context("look after a process")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command to its end; it must succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_owned();
    let status = command.status().with_context(|| format!("run {program:?}"))?;
    ensure!(status.success(), "{command:?} failed ({status})");
    Ok(())
}
