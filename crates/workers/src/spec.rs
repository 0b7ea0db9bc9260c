//! What one workerd process runs: a Worker with its modules, bindings and objects.
//!
//! The vocabulary is Cloudflare's. Nothing here is read from disk or validated beyond what workerd
//! itself checks; `project` reads wrangler's configuration and `cli` maps it to this.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

pub use model::{AssetRules, Module, ModuleKind};

/// A Worker and everything it can reach.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerSpec {
    /// The Worker's name, for messages.
    pub name: String,
    /// Modules, the main one first. Empty for a Worker of assets alone.
    pub modules: Vec<Module>,
    /// `YYYY-MM-DD`; [`crate::toolchain::newest_compatibility_date`] is the newest that starts.
    pub compatibility_date: String,
    /// Compatibility flags on top of the date's.
    pub compatibility_flags: Vec<String>,
    /// What `env` holds.
    pub bindings: Vec<Binding>,
    /// Durable Object classes with storage.
    pub durable_objects: Vec<DurableObjectNamespace>,
    /// Static assets in front of the Worker.
    pub assets: Option<Assets>,
    /// Cron expressions, checked by [`crate::cron::Schedule::parse`], that trigger `scheduled()`.
    pub crons: Vec<String>,
    /// Who runs the containers of [`Self::durable_objects`].
    pub container_engine: Option<ContainerEngine>,
    /// Where Durable Objects keep their SQLite files; made if missing. Two processes must never
    /// share it.
    pub objects: PathBuf,
    /// Its entry points that other Workers reach, each by a socket of that name beside the one it is
    /// served by; `None`: no other Worker reaches it at all. With `Some`, [`RPC_SOCKET`] is there for
    /// method calls of its default export.
    pub entrypoints: Option<Vec<EntrypointSocket>>,
    /// Whether `fetch()` of the Worker reaches private addresses (loopback, 10/8 …) and not only
    /// public ones.
    pub private_network: bool,
    /// Whether console lines say which object and event wrote them (the origin of
    /// [`crate::Event::Log`]), if there are [`Self::durable_objects`] at all. workerd's tail events
    /// cost about 0.1 ms of its one core per event, also of silent ones: a Worker that only asks an
    /// object answers a third as many requests at full load. Turn it off to measure.
    pub attribute_logs: bool,
    /// Whether [`crate::WorkerProcess::watch`] has an effect. It costs what
    /// [`Self::attribute_logs`] costs, also while nobody watches.
    pub watchable: bool,
    /// Workers whose `tail()` is told of what happens in this one. They cost what
    /// [`Self::attribute_logs`] costs.
    pub tail_consumers: Vec<TailConsumer>,
    /// Its version, as [`Self::tail_consumers`] are told it.
    pub version: Option<String>,
}

/// A Worker that is told of what happens in another one, or in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailConsumer {
    /// Its name: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// A socket that leads to it; `None`: it is the Worker itself.
    pub socket: Option<PathBuf>,
}

/// The socket for method calls of other Workers.
pub const RPC_SOCKET: &str = "rpc.sock";

/// A named entry point that other Workers reach: by requests and by method calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntrypointSocket {
    /// The exported class.
    pub entrypoint: String,
    /// The socket's file name.
    pub socket: String,
}

/// One member of `env`.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// Name in `env`.
    pub name: String,
    /// What it is.
    pub value: BindingValue,
}

/// What a member of `env` is.
#[derive(Clone, PartialEq)]
pub enum BindingValue {
    /// A string.
    Text(String),
    /// A string that must not be shown.
    Secret(String),
    /// A parsed JSON value.
    Json(serde_json::Value),
    /// A namespace of one of [`WorkerSpec::durable_objects`].
    DurableObject {
        /// The class.
        class_name: String,
    },
    /// This Worker itself, or one of its entry points.
    Service {
        /// The entry point class; `None` for the default export.
        entrypoint: Option<String>,
        /// `ctx.props` of the entry point.
        props: Option<serde_json::Value>,
    },
    /// Another Worker, or one of its entry points.
    OtherService {
        /// A socket that leads to it.
        socket: PathBuf,
    },
    /// The files of [`WorkerSpec::assets`].
    Assets,
    /// A Secrets Store secret: `await env.NAME.get()`. `None` throws, as a missing secret does.
    SecretsStoreSecret {
        /// The secret's name in its store.
        name: String,
        /// The value.
        value: Option<String>,
    },
}

impl fmt::Debug for BindingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.debug_tuple("Text").field(text).finish(),
            Self::Secret(_) => f.write_str("Secret(***)"),
            Self::Json(value) => f.debug_tuple("Json").field(value).finish(),
            Self::DurableObject { class_name } => write!(f, "DurableObject({class_name})"),
            Self::Service { entrypoint, props } => f
                .debug_struct("Service")
                .field("entrypoint", entrypoint)
                .field("props", props)
                .finish(),
            Self::OtherService { socket } => {
                f.debug_struct("OtherService").field("socket", socket).finish()
            }
            Self::Assets => f.write_str("Assets"),
            Self::SecretsStoreSecret { name, .. } => write!(f, "SecretsStoreSecret({name}, ***)"),
        }
    }
}

/// A Durable Object class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableObjectNamespace {
    /// The class's name in code.
    pub class_name: String,
    /// Names the storage folder and every container of the class; must outlive renames.
    pub unique_key: String,
    /// Whether `ctx.storage.sql` is there. The `Container` class needs it.
    pub sqlite: bool,
    /// What its containers are created from. `None`: the class has no `ctx.container`.
    pub container: Option<ContainerImages>,
}

/// Image names that [`ContainerEngine`] is asked to create containers from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerImages {
    /// That of a start that names none; such a start fails without.
    pub default: Option<String>,
    /// Those of `ctx.container.images`, by their names there.
    pub named: BTreeMap<String, String>,
}

/// A Docker Engine API on a unix socket; in Berth always the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerEngine {
    /// The socket.
    pub socket: PathBuf,
    /// The image name that workerd asks for when it wants the network companion of a container.
    pub interceptor_image: String,
}

/// Static assets, served as Cloudflare serves them.
#[derive(Debug, Clone, PartialEq)]
pub struct Assets {
    /// The folder. `_headers`, `_redirects` and `.assetsignore` in it are obeyed.
    pub directory: PathBuf,
    /// How they answer.
    pub rules: AssetRules,
}
