//! One instance: a task owns its state ([`runner`]), everybody else holds an [`Instance`], tells the
//! task what they want and follows what it publishes.

mod admission;
pub(crate) mod environment;
mod layers;
mod pid1;
mod record;
mod runner;
mod start;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use image::{Image, Upload};
use model::instance::{Rejected, State};
use runtime::{Process, Sandbox};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::application::ApplicationRuntime;
use crate::docker_api::CreateContainer;
use crate::event::Subject;
use crate::timings::{Phase, Stopwatch};

pub(crate) use record::Record;
pub use record::images_in_use;
pub(crate) use runner::{Birth, Runner};
pub(crate) use start::why_not;

/// Where an instance stands, for those who follow it.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    /// Grows with every change.
    pub(crate) generation: u64,
    /// The state.
    pub(crate) state: State,
    /// Which state of the application's configuration it is started as.
    pub(crate) version: u32,
    /// What runs, from the start until it is removed.
    pub(crate) running: Option<Running>,
}

/// A started program.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    /// The sandbox it runs in.
    pub(crate) sandbox: Sandbox,
    /// Since when.
    pub(crate) since: Instant,
    /// What it was started as; an exec inherits from it.
    pub(crate) process: Arc<Process>,
    /// What its files come from.
    pub(crate) files: Arc<Files>,
}

/// What an instance's files come from, but for those it wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Files {
    /// Digest of its image's manifest.
    pub(crate) image: String,
    /// Whether that is a snapshot, not the application's image.
    pub(crate) restored: bool,
    /// Directories that are snapshots of their own: paths from the root, symlinks followed.
    pub(crate) mounts: Vec<PathBuf>,
}

/// What the owner of an instance is asked for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Take the name.
    Create(Box<Creation>),
    /// Start the program, now or when its turn comes.
    Start,
    /// Put files there before the program starts.
    Inject(Injection),
    /// Send a signal to the program.
    Signal(i32),
    /// Ask the program to end, by the signal its image names, and kill it after this time.
    Stop(Duration),
    /// Look at what its outbound connections may do: it has changed.
    Outbound,
    /// Kill it and remove everything of it.
    Delete,
    /// As `Delete`, unless another process adopts it in time.
    Detach,
    /// Keep it.
    Adopt,
    /// Its object has been told how it ended: no later agent has to.
    Told,
    /// Forget it and leave it running: the agent ends.
    Leave,
}

/// What an instance is created from.
#[derive(Debug, Clone)]
pub(crate) struct Creation {
    /// The application as it was configured then.
    pub(crate) application: Arc<ApplicationRuntime>,
    /// Its image.
    pub(crate) image: Image,
    /// What the caller asked for.
    pub(crate) request: CreateContainer,
    /// Snapshots of directories to be seen inside; what lies deeper comes later.
    pub(crate) mounts: Vec<Mounted>,
    /// Files put there since.
    pub(crate) injections: Vec<Injection>,
}

impl Creation {
    /// Whether the instance has layers of its own.
    pub(crate) fn is_layered(&self) -> bool {
        !self.injections.is_empty() || !self.mounts.is_empty()
    }
}

/// A snapshot of a directory in an instance.
#[derive(Debug, Clone)]
pub(crate) struct Mounted {
    /// Where it is seen: an absolute path.
    pub(crate) target: String,
    /// The snapshot, unpacked.
    pub(crate) tree: PathBuf,
}

/// Files that are put into a container before it runs.
#[derive(Debug, Clone)]
pub(crate) struct Injection {
    /// The directory they go to.
    pub(crate) path: String,
    /// A tar archive.
    pub(crate) archive: Arc<Upload>,
}

/// A request and where its answer goes.
#[derive(Debug)]
struct Message {
    request: Request,
    reply: oneshot::Sender<Result<(), Rejected>>,
}

/// The ports that have accepted a connection, and whether any of them means "ready".
#[derive(Debug, Default)]
struct Ports {
    listened: Mutex<BTreeSet<u16>>,
    ready: Notify,
}

/// A handle of an instance; clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    /// Which one.
    pub(crate) subject: Subject,
    /// The application's key.
    pub(crate) key: Arc<str>,
    inbox: mpsc::Sender<Message>,
    published: watch::Receiver<Published>,
    ports: Arc<Ports>,
    /// Whether somebody who waited was told how it ended.
    told: Arc<AtomicBool>,
    pub(crate) stopwatch: Stopwatch,
    /// Changes with each line written to its log.
    printed: watch::Receiver<()>,
}

impl Instance {
    /// Changes with each line written to its log.
    pub(crate) fn printed(&self) -> watch::Receiver<()> {
        self.printed.clone()
    }

    /// Where it stands.
    pub(crate) fn published(&self) -> Published {
        self.published.borrow().clone()
    }

    /// Its state.
    pub(crate) fn state(&self) -> State {
        self.published.borrow().state.clone()
    }

    /// Whether it ended and its object does not know: workerd was away at that moment. Until the
    /// object has been told how, for it the instance is still to end.
    pub(crate) fn ended_untold(&self) -> bool {
        matches!(self.state(), State::Exited { .. }) && !self.told.load(Ordering::Relaxed)
    }

    /// Somebody who waited is told how it ended.
    pub(crate) fn note_told(&self) {
        self.told.store(true, Ordering::Relaxed);
    }

    /// Asks its owner for something.
    pub(crate) async fn tell(&self, request: Request) -> Result<(), Rejected> {
        let (reply, answer) = oneshot::channel();
        let message = Message { request, reply };
        self.inbox.send(message).await.map_err(|_| Rejected::NotThere)?;
        answer.await.unwrap_or(Err(Rejected::NotThere))
    }

    /// Waits until its state is one of those; its last state when its owner is gone.
    pub(crate) async fn until(&self, wanted: impl Fn(&State) -> bool) -> Published {
        let mut follower = self.published.clone();
        match follower.wait_for(|published| wanted(&published.state)).await {
            Ok(published) => published.clone(),
            Err(_) => self.published(),
        }
    }

    /// Waits for the next change, if its owner still makes any.
    pub(crate) fn follow(&self) -> watch::Receiver<Published> {
        self.published.clone()
    }

    /// Whether the port has accepted a connection before.
    pub(crate) fn has_listened(&self, port: u16) -> bool {
        self.ports.listened.lock().expect("no holder of this lock panics").contains(&port)
    }

    /// Whether any port has accepted a connection.
    pub(crate) fn listens(&self) -> bool {
        !self.ports.listened.lock().expect("no holder of this lock panics").is_empty()
    }

    /// The port has accepted a connection: the program is ready.
    pub(crate) fn note_listening(&self, port: u16) {
        let mut listened = self.ports.listened.lock().expect("no holder of this lock panics");
        if listened.is_empty() {
            self.stopwatch.note(Phase::Listening);
            self.ports.ready.notify_one();
        }
        listened.insert(port);
    }
}
