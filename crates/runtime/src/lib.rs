//! Sandboxes: namespaces, cgroups, mounts, seccomp and the network of one instance.
//!
//! [`Runtime`] keeps a few sandboxes *parked*: already inside their namespaces and cgroups, waiting
//! for an image and a program. [`Runtime::start`] makes one of them a running [`Sandbox`], whose
//! PID 1 is our own `berth-init`. A sandbox outlives the process that started it and is taken up
//! again by [`Runtime::adopt`].
//!
//! Needs Linux 5.10 and root, be it of a user namespace ([`ordinary_user`]). Works on cgroup v1, v2 and hosts that mix them; without a controller
//! the sandbox runs unlimited and [`Runtime::warnings`] says so.
//!
//! This crate knows nothing of Docker, workerd, images or applications, and decides nothing about
//! when to start or stop.

mod adopt;
mod capabilities;
mod cgroup;
mod connection;
mod demand;
mod disk;
mod egress;
mod events;
mod exec;
mod exit;
mod footprint;
mod handle;
mod inside;
mod launcher;
mod network;
pub mod ordinary_user;
mod output;
mod park;
mod pool;
mod process_info;
mod runtime;
mod sandbox;
mod seccomp;
mod spec;
mod start;
mod starts;
mod sys;
mod user_ids;

pub use adopt::AdoptError;
pub use cgroup::Stats;
pub use egress::{Datagram, EGRESS_PORT, EgressUdp, EgressUnsupported, NAMESERVER};
pub use exec::{Exec, ExecError, ExecFailure, ExecStreams};
pub use exit::ExitStatus;
pub use footprint::DestroyError;
pub use handle::{Leftover, SandboxHandle};
pub use inside::Paused;
pub use output::{Output, StreamReader, StreamWriter};
pub use park::Parked;
pub use runtime::{DiskLimit, Examination, Runtime, RuntimeConfig, RuntimeError, Warning};
pub use sandbox::Sandbox;
pub use spec::{BindMount, Process, SandboxSpec, TmpfsMount};
pub use start::StartError;
