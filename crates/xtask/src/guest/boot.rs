//! Booting the guest, showing what it prints, and telling whether its tests passed.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fs_err as fs;

use crate::say;

/// How long the guest may say nothing. Its kernel takes 15 s to its first line on a busy machine.
const SILENCE: Duration = Duration::from_secs(180);
/// Under emulation a kernel now and then hangs while it calibrates its clock.
const ATTEMPTS: usize = 3;
/// How the guest says how its tests ended.
const END: &str = "guest: the tests ended with ";

/// How a boot ended.
enum Outcome {
    Passed,
    Failed(String),
    /// It never came to the tests.
    Hung,
}

/// Boots until the tests have run; all that the guest prints goes to `log`.
pub(super) fn run(kernel: &Path, initramfs: &Path, log: &Path) -> Result<()> {
    for _ in 0..ATTEMPTS {
        match boot(kernel, initramfs, log)? {
            Outcome::Passed => return Ok(()),
            Outcome::Failed(code) => {
                bail!("the guest's tests failed ({code}); see {}", log.display())
            }
            Outcome::Hung => say("the guest does not boot; once more"),
        }
    }
    bail!("the guest did not boot in {ATTEMPTS} attempts; see {}", log.display())
}

fn boot(kernel: &Path, initramfs: &Path, log: &Path) -> Result<Outcome> {
    let mut guest = Guest::start(kernel, initramfs)?;
    let lines = guest.lines()?;
    let mut log = fs::File::create(log)?;
    let mut testing = false;
    loop {
        let line = match lines.recv_timeout(SILENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) if !testing => return Ok(Outcome::Hung),
            Err(RecvTimeoutError::Timeout) => return Ok(Outcome::Failed("it hangs".to_owned())),
            Err(RecvTimeoutError::Disconnected) => {
                return Ok(Outcome::Failed("the guest ended".to_owned()));
            }
        };
        writeln!(log, "{line}")?;
        if let Some((_, code)) = line.split_once(END) {
            return Ok(if code == "0" { Outcome::Passed } else { Outcome::Failed(code.into()) });
        }
        testing |= line.starts_with("running ");
        if testing || line.contains("cgroup v2") {
            say(&line);
        }
    }
}

/// A running QEMU, ended when dropped.
struct Guest(Child);

impl Guest {
    fn start(kernel: &Path, initramfs: &Path) -> Result<Self> {
        let clock = clock_khz().map_or_else(String::new, |khz| format!(" tsc_early_khz={khz}"));
        let child = Command::new("qemu-system-x86_64")
            .args(["-M", "pc", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"])
            .args(["-m", "4G", "-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio"])
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(initramfs)
            .arg("-append")
            .arg(format!("console=ttyS0 quiet panic=-1 mitigations=off{clock}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("run qemu-system-x86_64")?;
        Ok(Self(child))
    }

    /// What it prints, line by line, as it comes.
    fn lines(&mut self) -> Result<Receiver<String>> {
        let stdout: ChildStdout = self.0.stdout.take().context("the guest has a console")?;
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(lines)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The processor's clock, which a guest that is emulated may fail to measure.
fn clock_khz() -> Option<u64> {
    let processors = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = processors.lines().find(|line| line.starts_with("cpu MHz"))?;
    let (mega, kilo) = line.split_once(':')?.1.trim().split_once('.')?;
    format!("{mega}{:0<3.3}", kilo).parse().ok()
}
