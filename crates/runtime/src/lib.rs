//! Sandboxes: namespaces, cgroups, mounts, seccomp and the network of one instance.
//!
//! [`Runtime`] keeps a few sandboxes *parked*: already inside their namespaces and cgroups, waiting
//! for an image and a program. [`Runtime::start`] makes one of them a running [`Sandbox`], whose
//! PID 1 is our own `berth-init`. A sandbox outlives the process that started it and is taken up
//! again by [`Runtime::adopt`].
//!
//! This crate knows nothing of Docker, workerd, images or applications, and decides nothing about
//! when to start or stop.

mod egress;
mod exec;
mod exit;
mod handle;
mod output;
mod runtime;
mod sandbox;
mod spec;

pub use egress::{Datagram, EGRESS_PORT, EgressUdp, EgressUnsupported, NAMESERVER};
pub use exec::{Exec, ExecError, ExecFailure, ExecStreams};
pub use exit::ExitStatus;
pub use handle::{Leftover, SandboxHandle};
pub use output::{Output, StreamReader, StreamWriter};
pub use runtime::{AdoptError, Parked, Runtime, RuntimeConfig, RuntimeError, StartError, Warning};
pub use sandbox::{DestroyError, Sandbox, Stats};
pub use spec::{BindMount, Process, SandboxSpec, TmpfsMount};
