//! What Cloudflare's API does not have.

use jiff::Timestamp;
use model::{DurableObjectId, Limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How to stop instances.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StopWish {
    /// Time between SIGTERM and SIGKILL; the platform's where it is left out.
    pub(crate) grace_seconds: Option<u32>,
}

/// An instance that was told to end.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StoppedInstance {
    pub(crate) id: String,
}

/// Instances that were told to end.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StoppedInstances {
    /// Their ids.
    pub(crate) instances: Vec<String>,
}

/// A program that runs when its WebSocket is opened.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PreparedExec {
    pub(crate) id: String,
}

/// What instances use, at this moment.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Usage {
    pub(crate) time: Timestamp,
    pub(crate) instances: Vec<InstanceUsage>,
}

/// What an instance uses, of what it may; zero is also what the machine does not count.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InstanceUsage {
    /// Its id.
    pub(crate) instance: String,
    /// The name of its application.
    pub(crate) application: String,
    #[schemars(with = "String")]
    pub(crate) durable_object: DurableObjectId,
    /// CPU time that it has used since its start.
    pub(crate) cpu_seconds: f64,
    /// Memory in use, without page cache that can be dropped.
    pub(crate) memory_bytes: u64,
    /// Processes and threads that are alive.
    pub(crate) processes: u64,
    pub(crate) limits: InstanceLimits,
}

/// What an instance may use.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InstanceLimits {
    /// Share of CPU time in vCPUs.
    vcpu: f64,
    memory_mib: u64,
    /// Writable disk in MB (10^6 bytes).
    disk_mb: u64,
    /// Processes and threads alive at once.
    pids: u64,
}

impl From<Limits> for InstanceLimits {
    fn from(Limits { vcpu, memory_mib, disk_mb, pids }: Limits) -> Self {
        Self { vcpu, memory_mib, disk_mb, pids }
    }
}

/// Where an archive was unpacked.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct UnpackedAt {
    pub(crate) path: String,
}
