//! Who carries plans out: the node with its Workers, containers and edge. Composed by `cli`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::broadcast;

use crate::plan::{ApplicationPlan, InstanceFailure, InstanceView, RegistryAccess, WorkerPlan};

/// The answer to a request that takes its time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What happens in a Worker. Who reads it too slowly misses some.
pub type Events = broadcast::Receiver<Arc<Value>>;

/// Why a plan could not be carried out, for the one who made it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlatformError(pub String);

/// Effects of the control plane. Every call may be made again with the same plan: nothing happens then.
pub trait Platform: Send + Sync {
    /// Starts a Worker where nobody reaches it, and ends it again: how long the start took, or what
    /// is wrong with it.
    fn try_worker<'a>(
        &'a self,
        plan: &'a WorkerPlan,
    ) -> Answer<'a, Result<Duration, PlatformError>>;

    /// Puts a version into the place of what serves under its script's tag; returns once it serves.
    /// If it does not start, what served before serves on.
    fn run_worker<'a>(&'a self, plan: &'a WorkerPlan) -> Answer<'a, Result<(), PlatformError>>;

    /// What happens in a Worker, from now on: objects in the form of Cloudflare's `trace-v1`, without
    /// the Worker's name. Watching may replace its process.
    fn watch<'a>(&'a self, tag: &'a str) -> Answer<'a, Result<Events, PlatformError>>;

    /// Somebody who watched has dropped the events.
    fn unwatch<'a>(&'a self, tag: &'a str) -> Answer<'a, ()>;

    /// Ends a Worker and removes what is left of it: its objects' storage, and the instances of these
    /// namespaces.
    fn remove_worker<'a>(&'a self, tag: &'a str, namespaces: &'a [String]) -> Answer<'a, ()>;

    /// Whether an expression says when to run a cron trigger; why not, if it does not.
    fn check_cron(&self, expression: &str) -> Result<(), PlatformError>;

    /// What registries of others are asked with from now on, all of them.
    fn set_registries(&self, registries: Vec<RegistryAccess>);

    /// Gets an application's images and lets its instances start; those that run stay as they are.
    fn set_application<'a>(
        &'a self,
        plan: &'a ApplicationPlan,
    ) -> Answer<'a, Result<(), PlatformError>>;

    /// Gets an image, so that no start has to wait for it; its digest.
    fn prepare_image<'a>(&'a self, reference: &'a str)
    -> Answer<'a, Result<String, PlatformError>>;

    /// Ends these instances within `grace`; their objects' next requests start new ones. Those that
    /// are gone are passed over.
    fn stop_instances<'a>(&'a self, ids: &'a [String], grace: Duration) -> Answer<'a, ()>;

    /// Ends every instance of the application of a namespace; none is started any more.
    fn remove_application<'a>(&'a self, namespace_id: &'a str) -> Answer<'a, ()>;

    /// The instances whose objects are in a namespace.
    fn instances(&self, namespace_id: &str) -> Vec<InstanceView>;

    /// Instances of the application of this name that failed lately, the oldest first.
    fn failures(&self, application: &str) -> Vec<InstanceFailure>;
}
