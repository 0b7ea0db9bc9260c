//! What is to run, whole: made from the records, carried out by the platform.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use model::{Application, AssetRules, DurableObjectId, Limits, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use model::{Module as PlannedModule, ModuleKind};

/// A Worker that is to run.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerPlan {
    /// Its name.
    pub script: String,
    /// Names its storage: no other Worker has or had it.
    pub tag: String,
    /// Its version.
    pub version: Uuid,
    /// When the version was uploaded.
    pub created_on: Timestamp,
    /// Modules, the main one first; none if there are static files alone.
    pub modules: Vec<PlannedModule>,
    /// Its static files.
    pub assets: Option<PlannedAssets>,
    /// `YYYY-MM-DD`.
    pub compatibility_date: String,
    /// Flags on top of the date's.
    pub compatibility_flags: Vec<String>,
    /// What `env` holds.
    pub bindings: Vec<PlannedBinding>,
    /// Its Durable Object classes.
    pub classes: Vec<PlannedClass>,
    /// Applications whose instances switch together with its code: before it starts, all instances of
    /// other versions of them have ended.
    pub containers: Vec<ApplicationPlan>,
    /// Its entry points that other Workers bind.
    pub entrypoints: Vec<String>,
    /// Workers whose `tail()` is told of what happens in it: whichever have these names at the time.
    pub tail_consumers: Vec<String>,
    /// Its cron triggers.
    pub crons: Vec<String>,
    /// Hosts and paths that it serves: see [`PlannedRoute`].
    pub routes: Vec<PlannedRoute>,
    /// A newer version that serves a part of the requests.
    pub beside: Option<Box<BesidePlan>>,
}

/// A version that serves beside another one.
#[derive(Debug, Clone, PartialEq)]
pub struct BesidePlan {
    /// Its share: of ten thousand requests.
    pub share: u32,
    /// The version.
    pub plan: WorkerPlan,
}

/// Static files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedAssets {
    /// Says what they are: others have another name.
    pub name: String,
    /// The files.
    pub files: Vec<PlannedFile>,
    /// How they answer.
    pub rules: AssetRules,
    /// The text of `_headers`.
    pub headers: Option<String>,
    /// The text of `_redirects`.
    pub redirects: Option<String>,
}

/// One static file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Its path below the folder: names, with slashes between them.
    pub path: String,
    /// The file that holds its content, and never changes.
    pub source: PathBuf,
}

/// One member of `env`.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedBinding {
    /// Its name.
    pub name: String,
    /// What it is.
    pub value: PlannedValue,
}

/// What a member of `env` is.
#[derive(Clone, PartialEq)]
pub enum PlannedValue {
    /// A text.
    Text(String),
    /// A text that is not to be shown.
    Secret(String),
    /// A JSON value.
    Json(serde_json::Value),
    /// A namespace of one of [`WorkerPlan::classes`].
    DurableObject {
        /// The class.
        class_name: String,
    },
    /// The Worker itself, or one of its entry points.
    Service {
        /// The entry point's class.
        entrypoint: Option<String>,
        /// `ctx.props` of it.
        props: Option<serde_json::Value>,
    },
    /// Another Worker, or one of its [`WorkerPlan::entrypoints`].
    OtherService {
        /// Its name: whichever Worker has it at the time.
        script: String,
        /// The entry point's class.
        entrypoint: Option<String>,
    },
    /// A secret of the Secrets Store, which the Worker asks for by `get()`.
    StoredSecret {
        /// Its name in the store.
        name: String,
        /// Its text; `None` if it is gone.
        text: Option<String>,
    },
    /// [`WorkerPlan::assets`].
    Assets,
}

impl fmt::Debug for PlannedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.debug_tuple("Text").field(text).finish(),
            Self::Secret(_) => f.write_str("Secret(***)"),
            Self::Json(value) => f.debug_tuple("Json").field(value).finish(),
            Self::DurableObject { class_name } => write!(f, "DurableObject({class_name})"),
            Self::Service { entrypoint, .. } => write!(f, "Service({entrypoint:?})"),
            Self::OtherService { script, entrypoint } => {
                write!(f, "OtherService({script}, {entrypoint:?})")
            }
            Self::StoredSecret { name, .. } => write!(f, "StoredSecret({name}, ***)"),
            Self::Assets => f.write_str("Assets"),
        }
    }
}

/// A Durable Object class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedClass {
    /// Its name in the code.
    pub name: String,
    /// Names its storage and its containers.
    pub namespace_id: String,
    /// Whether its storage is SQLite.
    pub sqlite: bool,
    /// Whether its objects own containers.
    pub container: bool,
    /// Images that they may choose from, by name.
    pub images: BTreeMap<String, String>,
}

/// Requests that a Worker serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRoute {
    /// The host, without a port; `*.example.com` is every host below, `*example.com` that one too.
    pub host: String,
    /// What the path begins with, or is, if it does not end in `*`.
    pub path: String,
}

/// What a registry of others is asked with.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryAccess {
    /// Its host as it stands in names of images.
    pub host: String,
    /// The user's name.
    pub username: String,
    /// The password; never shown.
    pub password: String,
}

impl fmt::Debug for RegistryAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryAccess({}, {}, ***)", self.host, self.username)
    }
}

/// A container application whose instances may run.
#[derive(Debug, Clone, PartialEq)]
pub struct ApplicationPlan {
    /// Its id.
    pub id: String,
    /// The namespace whose objects own its instances.
    pub namespace_id: String,
    /// What they are.
    pub application: Application,
    /// The image they run, as a reference; `None`: their objects choose one of their Worker's
    /// [`PlannedClass::images`].
    pub image: Option<String>,
    /// Which state of its configuration this is.
    pub version: u32,
    /// What a part of its objects starts instead: a rollout is under way.
    pub staged: Option<StagedPlan>,
}

/// What a rollout brings.
#[derive(Debug, Clone, PartialEq)]
pub struct StagedPlan {
    /// The objects that start it already.
    pub share: Share,
    /// As [`ApplicationPlan::application`].
    pub application: Application,
    /// The image, as a reference.
    pub image: String,
    /// As [`ApplicationPlan::version`].
    pub version: u32,
}

/// One instance, as the platform sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceView {
    /// This run of its container.
    pub id: String,
    /// The Durable Object that owns it.
    pub object: DurableObjectId,
    /// [`ApplicationPlan::version`] when it was started; 0 where that is not known.
    pub version: u32,
    /// What it does.
    pub status: InstanceStatus,
    /// Whether it has accepted a connection at a port, as far as is known.
    pub listens: bool,
    /// A port of it that was waited for in vain.
    pub silent_port: Option<u16>,
    /// How long it has run.
    pub running_for: Option<Duration>,
}

/// What an instance does, by the names that Cloudflare has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstanceStatus {
    /// It is about to start.
    Placed,
    /// Its program runs.
    Running,
    /// It was told to end.
    Stopping,
    /// It has ended well, or as it was told.
    Stopped,
    /// It has ended badly, or did not start.
    Failed,
}

impl InstanceStatus {
    /// Whether it runs or is about to, and nobody has told it to end.
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Self::Placed | Self::Running)
    }
}

/// Something that happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceEvent {
    /// When it was.
    pub at: Timestamp,
    /// The application's name.
    pub application: String,
    /// The run of its container.
    pub id: String,
    /// The Durable Object that owns it.
    pub object: DurableObjectId,
    /// What it is.
    pub kind: EventKind,
    /// What happened, for people; nothing of what the program said.
    pub message: String,
}

/// What can happen to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Its program runs.
    Started,
    /// It ran before this process did.
    Adopted,
    /// It waits until another one ends.
    Waiting,
    /// It was not allowed to start.
    Refused,
    /// It could not be started.
    StartFailed,
    /// A port was waited for in vain.
    NotListening,
    /// A connection of its program was refused.
    EgressDenied,
    /// Its program ended well, or as it was told.
    Stopped,
    /// Its program ended badly.
    Failed,
}

/// Which part of an instance's log is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPlan {
    /// Also what comes, until the instance ends.
    pub follow: bool,
    /// Each line with its time before it.
    pub timestamps: bool,
    /// Only that many last lines of what is there.
    pub tail: Option<usize>,
    /// Only lines from then on.
    pub since: Option<Timestamp>,
}

/// A program to be run in an instance beside its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExecWish")]
pub struct ExecPlan {
    /// The program, and its arguments.
    pub command: Vec<String>,
    /// Whether it has a terminal.
    #[serde(default)]
    pub tty: bool,
    /// Whether its standard input is its caller's.
    #[serde(default)]
    pub stdin: bool,
    /// Variables beside those of the instance's own program, `NAME=VALUE`; requests of the API name
    /// none.
    #[serde(skip)]
    pub env: Vec<String>,
}

/// What is at a path in an instance; links are not followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileView {
    /// Its size in bytes.
    pub size: u64,
    /// Its kind and permissions, as `st_mode` has them.
    pub mode: u32,
    /// When it was changed, in seconds since 1970.
    pub modified: i64,
    /// Where it points, if it is a link.
    pub link: Option<String>,
}

/// A process in an instance, as the instance sees it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ProcessView {
    /// Its id.
    pub pid: u32,
    /// The id of its parent; 0 if that is none of the instance's.
    pub parent: u32,
    /// Its user's number.
    pub user: u32,
    /// CPU time that it has used.
    pub cpu_seconds: f64,
    /// How long ago it was started.
    pub age_seconds: f64,
    /// Memory of it that is in use.
    pub memory_bytes: u64,
    /// Its program with its arguments.
    pub command: String,
}

/// What an instance uses, of what it may; zero is also what the machine does not count.
#[derive(Debug, Clone, PartialEq)]
pub struct UsageView {
    /// This run of its container.
    pub id: String,
    /// The Durable Object that owns it.
    pub object: DurableObjectId,
    /// The namespace of the object.
    pub namespace_id: String,
    /// CPU time that it has used since its start.
    pub cpu_seconds: f64,
    /// Memory in use, without page cache that can be dropped.
    pub memory_bytes: u64,
    /// Processes and threads that are alive.
    pub processes: u64,
    /// What it may use.
    pub limits: Limits,
}

/// An instance that ended badly, or did not even start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceFailure {
    /// The run of its container.
    pub id: String,
    /// The Durable Object that owned it.
    pub object: DurableObjectId,
    /// When it was, by the clock that nobody sets.
    pub at: Instant,
    /// What happened, for people; nothing of what the program said.
    pub reason: String,
}
