//! What is needed to find a sandbox again after its agent was restarted.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Names one sandbox across restarts of the agent; small, serialisable. It may be read by an older
/// or newer version, so a new field needs a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxHandle {
    /// The sandbox's id, also its directory's and cgroups' name.
    pub id: String,
    /// PID 1 of the sandbox as the host sees it.
    pub pid: u32,
    /// Start time of that process in clock ticks since boot: tells it from a later one with its pid.
    pub start_time: u64,
    /// The sandbox's directory.
    pub dir: PathBuf,
    /// Its cgroup directories.
    #[serde(default)]
    pub cgroups: Vec<PathBuf>,
    /// The `<upper>.work` directory made beside a caller's upper.
    #[serde(default)]
    pub work: Option<PathBuf>,
}

/// A sandbox found by [`Runtime::leftovers`](crate::Runtime::leftovers).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// To adopt or remove it.
    pub handle: SandboxHandle,
    /// Whether its processes are alive.
    pub running: bool,
}
