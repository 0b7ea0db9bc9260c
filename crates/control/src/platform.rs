//! Who carries plans out: the node with its Workers, containers and edge. Composed by `cli`.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::io::DuplexStream;
use tokio::sync::{broadcast, mpsc};

use crate::plan::{
    ApplicationPlan, ExecPlan, FileView, InstanceEvent, InstanceFailure, InstanceView, LogPlan,
    ProcessView, RegistryAccess, UsageView, WorkerPlan,
};

/// The answer to a request that takes its time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What happens in a Worker. Who reads it too slowly misses some.
pub type Events = broadcast::Receiver<Arc<Value>>;

/// What an instance has printed: frames of the Docker Engine API.
pub type Log = mpsc::Receiver<Bytes>;

/// What happens to instances. Who reads it too slowly misses some.
pub type InstanceEvents = broadcast::Receiver<InstanceEvent>;

/// An archive of files on its way out of an instance.
#[derive(Debug)]
pub struct OutgoingArchive {
    /// Its size in bytes.
    pub size: u64,
    /// Its bytes from the beginning, a piece at a time; an error is the last.
    pub pieces: mpsc::Receiver<io::Result<Bytes>>,
}

/// A program that runs in an instance beside its own.
pub struct Session {
    /// Its input, and its output until it has ended: frames of the Docker Engine API, or raw with a
    /// terminal.
    pub stream: DuplexStream,
    /// Itself.
    pub program: Box<dyn Program>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// What can be asked of a program that runs.
pub trait Program: Send + Sync {
    /// Its terminal has that size from now on; nothing happens if it has none.
    fn resize(&self, rows: u16, columns: u16);

    /// Sends it a signal of that number; nothing happens if it has ended.
    fn signal(&self, number: i32);

    /// Its exit code, once it has ended.
    fn ended(&self) -> Answer<'_, i32>;
}

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
    /// [`WorkerPlan::containers`] are changed after the end of what served before, and before the version
    /// starts. If it does not start, what served before serves on, with containers as they were.
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

    /// What happened to instances lately, the oldest first, and what happens.
    fn events(&self) -> (Vec<InstanceEvent>, InstanceEvents);

    /// What an instance has printed, and prints if that is wanted; also of one that has ended, while its
    /// log is kept.
    fn log(&self, instance: &str, wanted: &LogPlan) -> Result<Log, PlatformError>;

    /// Prepares a program to be run in an instance, and started soon; its id.
    fn create_exec(&self, instance: &str, exec: &ExecPlan) -> Result<String, PlatformError>;

    /// Starts it, once, with a terminal of so many rows and columns if it has one.
    fn start_exec<'a>(
        &'a self,
        id: &'a str,
        size: Option<(u16, u16)>,
    ) -> Answer<'a, Result<Session, PlatformError>>;

    /// What is at a path in a running instance; `None` when nothing is.
    fn look_at<'a>(
        &'a self,
        instance: &'a str,
        path: &'a str,
    ) -> Answer<'a, Result<Option<FileView>, PlatformError>>;

    /// Archives what is at a path in a running instance: a directory under its own name, or what it has
    /// when the path ends in `/.`. `None` when nothing is there.
    fn read_archive<'a>(
        &'a self,
        instance: &'a str,
        path: &'a str,
    ) -> Answer<'a, Result<Option<OutgoingArchive>, PlatformError>>;

    /// Unpacks an archive into the directory at a path in a running instance, once it is there as a
    /// whole.
    fn write_archive<'a>(
        &'a self,
        instance: &'a str,
        path: &'a str,
        archive: Incoming,
    ) -> Answer<'a, Result<(), PlatformError>>;

    /// The processes of a running instance, by their ids.
    fn processes<'a>(
        &'a self,
        instance: &'a str,
    ) -> Answer<'a, Result<Vec<ProcessView>, PlatformError>>;

    /// What each running instance uses, of all namespaces, in no order.
    fn usage(&self) -> Answer<'_, Vec<UsageView>>;
}
