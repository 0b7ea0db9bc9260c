//! The node agent: what workerd takes for a Docker engine.
//!
//! ```text
//!  workerd ──unix socket──▶ docker_api ──▶ slot ──▶ instance (a task each) ──▶ runtime's sandbox
//!          ──127.0.0.1:n──▶ sidecar    ──▶ CONNECT, held until the port listens ──▶ program
//!                           exec, output, egress: what goes in and out of a running program
//!  docker  ──unix socket──▶ engine      ──▶ the same instances, and images and builds
//! ```
//!
//! Instances outlive the agent: their records are on disk, and the next agent takes them up. This
//! crate neither makes images nor sandboxes nor starts workerd, and no decision about what may
//! follow what is made here: those are in `model::instance`.

mod access;
mod agent;
mod application;
mod certificate;
mod docker_api;
mod egress;
mod ended_logs;
pub mod engine;
mod event;
mod exec;
mod files;
pub mod fuzz;
mod instance;
mod node;
mod output;
mod peer;
mod private_file;
mod processes;
mod sidecar;
mod slot;
mod socket;
mod timings;
mod usage;

pub use access::{AccessError, ExecRequest, LogRequest, RunningExec};
pub use agent::{
    Agent, AgentConfig, AgentError, InstanceSummary, NotEnded, StopAll, UnknownApplication,
};
pub use application::{ApplicationRuntime, Staged, StartRate};
pub use egress::BuildEgress;
pub use egress::policy::{Denied, Network, NetworkError};
pub use event::{AgentEvent, Events, Stream, Subject};
pub use files::OutgoingArchive;
pub use instance::images_in_use;
pub use node::has_instances;
pub use socket::{EngineSocket, SocketError};
pub use timings::{Phase, StartTimings};
pub use usage::{InstanceProcess, InstanceUsage};
