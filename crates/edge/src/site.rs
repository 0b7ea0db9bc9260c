//! Whose requests are whose: Workers behind one edge.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::door::Inside;
use crate::proxy::Proxy;

/// One Worker behind an edge; clones are the same one.
#[derive(Debug, Clone)]
pub struct Site(pub(crate) Arc<Proxy>);

impl Site {
    /// A Worker that is reached as `config` says.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self(Arc::new(Proxy::new(config)))
    }

    /// The same Worker, for other Workers of this machine: see [`crate::Door`].
    #[must_use]
    pub fn inside(config: Config, sockets: Inside) -> Self {
        Self(Arc::new(Proxy::inside(config, sockets)))
    }

    /// Resolves as soon as no process works on a request of this Worker (tunnels and requests that
    /// wait for a process do not count): the moment to replace the process. Give it to
    /// `WorkerProcess::deploy`, which first takes the process away from new requests.
    pub fn drained(&self) -> impl Future<Output = ()> + Send + 'static {
        let in_flight = self.0.in_flight.clone();
        async move { in_flight.zero().await }
    }
}

/// Which Worker serves a request; `None` is answered with 404.
pub type Route = Arc<dyn Fn(&http::request::Parts) -> Option<Site> + Send + Sync>;

/// The end of an edge, in its parts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lifecycle {
    /// Cancelled when the edge shuts down: nothing waits for a process any more.
    pub(crate) stopping: CancellationToken,
    /// Cancelled when tunnels are to be cut.
    pub(crate) cut: CancellationToken,
    /// The tunnels that are open.
    pub(crate) tunnels: TaskTracker,
}
