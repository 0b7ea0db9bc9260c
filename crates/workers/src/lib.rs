//! Worker host: everything around the unmodified workerd that runs Workers and Durable Objects.
//!
//! [`toolchain`] installs the pinned binaries, [`WorkerSpec`] says what to run, [`WorkerProcess`]
//! renders it as a workerd configuration, supervises the process, and reports what happens in it
//! as [`Event`]s. JavaScript semantics are workerd's job; containers are the agent's, which workerd
//! reaches through the Docker socket named in the spec; HTTP from outside is the edge's.

pub mod cron;
pub mod event;
mod process;
pub mod spec;
pub mod toolchain;

pub use event::{Event, Level, Origin, Trigger};
pub use process::{DeployError, Options, ScheduledError, StartError, WorkerProcess};
pub use spec::WorkerSpec;
