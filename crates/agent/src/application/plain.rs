//! A container of its own, as `docker run` makes them: no Durable Object owns it.

use std::path::PathBuf;

use model::Limits;
use runtime::{BindMount, TmpfsMount};

use crate::output::console::SharedConsole;

/// What such a container is created with, beyond what an object's container has.
#[derive(Debug)]
pub(crate) struct Plain {
    /// What it may use.
    pub(crate) limits: Limits,
    /// Where what it writes is kept from one start to the next.
    pub(crate) files: PathBuf,
    /// Directories and files of the host that it sees.
    pub(crate) binds: Vec<BindMount>,
    /// Memory file systems that it has.
    pub(crate) tmpfs: Vec<TmpfsMount>,
    /// Its host's name.
    pub(crate) hostname: String,
    /// Where its program works; the image says when this is empty.
    pub(crate) working_dir: String,
    /// Who it is; the image says when this is empty.
    pub(crate) user: String,
    /// Whether it has a terminal.
    pub(crate) tty: bool,
    /// Whether its program can be typed to.
    pub(crate) stdin: bool,
    /// Whether its connections go out.
    pub(crate) internet: bool,
    /// The signal that asks it to end; the image says when there is none.
    pub(crate) stop_signal: Option<i32>,
    /// Who is attached.
    pub(crate) console: SharedConsole,
}
