//! Worker host: everything around the unmodified workerd that runs Workers and Durable Objects.
//!
//! [`toolchain`] installs the pinned binaries, [`WorkerSpec`] says what to run, [`WorkerProcess`]
//! renders it as a workerd configuration, supervises the process, and reports what happens in it
//! as [`Event`]s. JavaScript semantics are workerd's job; containers are the agent's, which workerd
//! reaches through the Docker socket named in the spec; HTTP from outside is the edge's.

mod config;
pub mod cron;
pub mod event;
mod log;
mod process;
pub mod spec;
mod sys;
pub mod toolchain;

pub use config::{FileError, Ingress, ingress_headers};
pub use event::{Event, Level, Origin, Trigger};
pub use process::{
    Between, DeployError, OpenError, Options, ScheduledError, ScheduledOutcome, StartError,
    WorkerProcess,
};
pub use spec::WorkerSpec;
