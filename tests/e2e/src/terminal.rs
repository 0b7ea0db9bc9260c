//! A pseudo-terminal for `berth` to run in, so that keys can be pressed.

use std::io::{self, Write};
use std::os::fd::OwnedFd;

use fs_err as fs;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// The side of the terminal a person sits at.
#[derive(Debug)]
pub(crate) struct Terminal(fs::File);

impl Terminal {
    /// A new terminal and the side for a program's stdin, stdout and stderr.
    pub(crate) fn open() -> io::Result<(Self, OwnedFd)> {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&person)?;
        unlockpt(&person)?;
        let name = ptsname(&person, Vec::new())?;
        let name = name.to_str().map_err(io::Error::other)?;
        let program = fs::OpenOptions::new().read(true).write(true).open(name)?;
        let person = fs::File::from_parts(std::fs::File::from(person), "the terminal");
        Ok((Self(person), program.into_parts().0.into()))
    }

    /// What the program writes.
    pub(crate) fn output(&self) -> io::Result<fs::File> {
        self.0.try_clone()
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) -> io::Result<()> {
        self.0.write_all(keys.as_bytes())
    }
}
