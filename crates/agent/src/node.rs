//! What every instance of this agent shares: the runtime, directories, events and lookups.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use image::ImageStore;
use model::instance::Moment;
use model::{InstanceId, Placement};
use runtime::Runtime;

use crate::certificate::CertificateAuthority;
use crate::egress::Rules;
use crate::event::EventSender;
use crate::sidecar::PeerLookup;

/// The folder of [`Node::layers_dir`].
pub(crate) const LAYERS: &str = "layers";

/// The agent's surroundings; one for the whole agent.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) runtime: Runtime,
    pub(crate) dir: PathBuf,
    pub(crate) images: ImageStore,
    pub(crate) placement: Placement,
    pub(crate) events: EventSender,
    pub(crate) peers: PeerLookup,
    pub(crate) certificate: CertificateAuthority,
    pub(crate) rules: Arc<Rules>,
    /// Whether cold starts are timed.
    pub(crate) timings: bool,
}

impl Node {
    /// Where an instance's log files are.
    pub(crate) fn log_dir(&self, instance: InstanceId) -> PathBuf {
        self.dir.join("instances").join(instance.to_string())
    }

    /// Where the layers are that an instance alone has.
    pub(crate) fn layers_dir(&self, instance: InstanceId) -> PathBuf {
        self.dir.join(LAYERS).join(instance.to_string())
    }

    /// Where the records of running instances are.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }
}

/// The time by the wall clock.
pub(crate) fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
