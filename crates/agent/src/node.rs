//! What every instance of this agent shares: the runtime, directories, events and lookups.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::Snapshots;
use model::instance::Moment;
use model::{InstanceId, Placement};
use runtime::Runtime;
use rustix::time::{ClockId, clock_gettime};

use crate::certificate::CertificateAuthority;
use crate::egress::Rules;
use crate::ended_logs::EndedLogs;
use crate::event::EventSender;
use crate::sidecar::PeerLookup;

/// The folder of [`Node::layers_dir`].
pub(crate) const LAYERS: &str = "layers";

/// The folder of [`Node::ended_logs`].
pub(crate) const ENDED_LOGS: &str = "logs";

/// The folder of [`Node::state_dir`].
pub(crate) const STATE: &str = "state";

/// Whether there are records of instances in an agent's folder: where no agent runs, they may.
#[must_use]
pub fn has_instances(dir: &Path) -> bool {
    fs_err::read_dir(dir.join(STATE)).is_ok_and(|mut records| records.next().is_some())
}

/// The agent's surroundings; one for the whole agent.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) runtime: Runtime,
    pub(crate) dir: PathBuf,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) placement: Placement,
    pub(crate) events: EventSender,
    pub(crate) peers: PeerLookup,
    pub(crate) certificate: Arc<CertificateAuthority>,
    pub(crate) rules: Arc<Rules>,
    /// Whether cold starts are timed.
    pub(crate) timings: bool,
    /// The logs of instances that have ended, where they are kept.
    pub(crate) ended_logs: Option<EndedLogs>,
}

impl Node {
    /// Where an instance's log files are.
    pub(crate) fn log_dir(&self, instance: InstanceId) -> PathBuf {
        self.dir.join("instances").join(instance.to_string())
    }

    /// Where the log of an instance is that may have ended.
    pub(crate) fn find_log(&self, instance: InstanceId) -> PathBuf {
        let kept = self.ended_logs.as_ref().and_then(|logs| logs.find(&instance.to_string()));
        kept.unwrap_or_else(|| self.log_dir(instance))
    }

    /// Lets go of the log of an instance that is gone: it is kept for a while, or removed.
    pub(crate) fn give_up_log(&self, instance: InstanceId) {
        let log = self.log_dir(instance);
        match &self.ended_logs {
            Some(logs) => logs.keep(instance, &log),
            None => _ = fs_err::remove_dir_all(log),
        }
    }

    /// Where the layers are that an instance alone has.
    pub(crate) fn layers_dir(&self, instance: InstanceId) -> PathBuf {
        self.dir.join(LAYERS).join(instance.to_string())
    }

    /// Where the records of running instances are.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.join(STATE)
    }
}

/// The time by the machine's monotonic clock.
pub(crate) fn now() -> Moment {
    let time = clock_gettime(ClockId::Monotonic);
    let [seconds, nanos] = [time.tv_sec, time.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    Moment(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000))
}
