//! A project's configuration with every default filled in, as the other rooms read it.
//!
//! The types here hold what Berth runs, and [`Deploy`] what a deploy sends beside it. Keys that only
//! matter to a deployment on Cloudflare are checked where they are read and then dropped.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use model::Application;
pub use model::{HtmlHandling, NotFoundHandling, RunWorkerFirst};

mod assets;
mod bindings;
mod bundling;
mod classes;
mod container;
mod deploy;
mod dev;
mod discover;
mod load;
mod scope;
mod settings;
mod unsupported;
mod vars;
mod worker;

pub use deploy::{Deploy, Purpose, dot_env};
pub use dev::parse_duration;
pub use load::ConfigError;
pub use settings::{Setting, SettingKind, SettingValue, read_settings};

/// A project, read from one configuration file and one environment of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The configuration file, absolute.
    pub path: PathBuf,
    /// The folder of the configuration file; relative paths in it start here.
    pub root: PathBuf,
    /// The environment (`env.<name>`) that was asked for.
    pub environment: Option<String>,
    /// The Worker's name; in an environment without a name of its own `<name>-<environment>`.
    pub name: String,
    /// The entry point, absolute. `None` for a Worker of assets alone.
    pub main: Option<PathBuf>,
    /// `YYYY-MM-DD`. `None`: use the newest date the runtime knows.
    pub compatibility_date: Option<String>,
    /// `compatibility_flags`, as written.
    pub compatibility_flags: Vec<String>,
    /// `vars`: texts and JSON values. A name that is also in [`Self::secrets`] is not here.
    pub vars: BTreeMap<String, serde_json::Value>,
    /// Values from `.dev.vars` or `.env`; they win over `vars` of the same name.
    pub secrets: BTreeMap<String, Secret>,
    /// Bindings to Durable Object classes of this Worker.
    pub durable_objects: Vec<DurableObjectBinding>,
    /// Every live Durable Object class, from `migrations` or `exports`, in order of creation.
    pub classes: Vec<DurableObjectClass>,
    /// The `containers` of the Worker.
    pub containers: Vec<Container>,
    /// `services`: bindings of the Worker to itself or one of its entry points; of one that is
    /// deployed, to others too.
    pub services: Vec<ServiceBinding>,
    /// `secrets_store_secrets`, with their local values.
    pub secrets_store: Vec<SecretsStoreBinding>,
    /// `version_metadata.binding`.
    pub version_metadata: Option<String>,
    /// Static assets.
    pub assets: Option<Assets>,
    /// `triggers.crons`, as written.
    pub crons: Vec<String>,
    /// `observability` of the Worker.
    pub observability: Observability,
    /// The custom build that runs before bundling.
    pub build: Build,
    /// How the entry point becomes modules.
    pub bundling: Bundling,
    /// `dev`: how the project is served locally.
    pub dev: Dev,
    /// `berth`: keys that Cloudflare does not know.
    pub berth: Berth,
    /// Keys that a deploy sends; nothing where the file was read to be run here.
    pub deploy: Deploy,
    /// Every file that was read for this configuration, absolute: to be watched.
    pub inputs: Vec<PathBuf>,
    /// The files that [`Self::secrets`] came from, absolute.
    pub secret_files: Vec<PathBuf>,
}

/// A value that must not be shown: it prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// `durable_objects.bindings[]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableObjectBinding {
    /// Name in the Worker's `env`.
    pub name: String,
    /// The class, one of [`Config::classes`].
    pub class_name: String,
}

/// A Durable Object class that exists after all migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableObjectClass {
    /// The class's name in code.
    pub name: String,
    /// Names the storage: `<worker>-<class when it was created>`, so that a rename keeps the data;
    /// with `-2` and so on where the name had been used by an earlier class.
    pub unique_key: String,
    /// Whether storage is SQLite (`new_sqlite_classes`); containers need it.
    pub sqlite: bool,
}

/// One entry of `containers`.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// Name, class, image, limits: what the agent runs.
    pub application: Application,
    /// Where an instance may run.
    pub constraints: Constraints,
    /// How a new version reaches running instances.
    pub rollout: Rollout,
    /// Whether logs of the instances are kept.
    pub observability: Observability,
    /// SSH into instances.
    pub ssh: Ssh,
}

/// `containers[].constraints`: places in Cloudflare's words; one machine has one place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Constraints {
    /// Of `ENAM WNAM EEUR WEUR APAC SAM ME OC AFR`; empty means everywhere.
    pub regions: Vec<String>,
    /// `eu`, `fedramp` or `us`.
    pub jurisdiction: Option<String>,
    /// Names of cities; empty means any.
    pub cities: Vec<String>,
}

/// `containers[].rollout_*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// Percentage of instances after each step; ends with 100.
    pub steps: Vec<u8>,
    /// Who starts the next step.
    pub kind: RolloutKind,
    /// Instances younger than this are left alone by a rollout.
    pub active_grace_period: Duration,
}

/// `containers[].rollout_kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RolloutKind {
    /// Steps follow each other.
    #[default]
    FullAuto,
    /// Each step waits for a person.
    FullManual,
    /// A deploy changes no instance.
    None,
}

/// `containers[].ssh` and the keys beside it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ssh {
    /// `ssh.enabled`; `None` when unset (then on as soon as there are keys).
    pub enabled: Option<bool>,
    /// `ssh.port`.
    pub port: Option<u16>,
    /// `authorized_keys[].public_key` with its name.
    pub authorized_keys: Vec<(String, String)>,
    /// `trusted_user_ca_keys[].public_key`.
    pub trusted_user_ca_keys: Vec<String>,
}

/// `services[]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceBinding {
    /// Name in the Worker's `env`.
    pub binding: String,
    /// The Worker it leads to: this one, unless the configuration is read for a deploy.
    pub service: String,
    /// The entry point class; `None` for the default export.
    pub entrypoint: Option<String>,
    /// `props` handed to the entry point.
    pub props: Option<serde_json::Value>,
}

/// `secrets_store_secrets[]`. Locally the value is the one of `secret_name` in `.dev.vars` or `.env`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretsStoreBinding {
    /// Name in the Worker's `env`.
    pub binding: String,
    /// The store.
    pub store_id: String,
    /// The secret in the store.
    pub secret_name: String,
    /// Its local value, if there is one; a missing one was warned about.
    pub value: Option<Secret>,
}

/// `assets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assets {
    /// The folder served, absolute.
    pub directory: PathBuf,
    /// Name in the Worker's `env`.
    pub binding: Option<String>,
    /// How `.html` and slashes map to paths.
    pub html_handling: HtmlHandling,
    /// What answers a path without a file.
    pub not_found_handling: NotFoundHandling,
    /// Which requests reach the Worker even where a file matches.
    pub run_worker_first: RunWorkerFirst,
}

/// `observability`.
#[derive(Debug, Clone, PartialEq)]
pub struct Observability {
    /// Whether logs are kept.
    pub enabled: bool,
    /// Share of requests logged, 0 to 1.
    pub head_sampling_rate: f64,
}

/// `build`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Build {
    /// The shell command.
    pub command: Option<String>,
    /// Where it runs, absolute.
    pub cwd: PathBuf,
    /// Folders whose changes run it again, absolute.
    pub watch_dirs: Vec<PathBuf>,
}

/// Keys that say how the entry point becomes modules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bundling {
    /// `no_bundle`: the entry point is already one module.
    pub no_bundle: bool,
    /// `find_additional_modules`: files under [`Self::base_dir`] (by default the entry point's
    /// folder) that match rules are modules too. By default as [`Self::no_bundle`].
    pub find_additional_modules: bool,
    /// `base_dir`, absolute.
    pub base_dir: Option<PathBuf>,
    /// `preserve_file_names`: no content hash in the names of modules.
    pub preserve_file_names: bool,
    /// `minify`.
    pub minify: bool,
    /// `keep_names`; by default true.
    pub keep_names: bool,
    /// `rules`, in order; the defaults come after them.
    pub rules: Vec<Rule>,
    /// `define`: identifiers and the expression each stands for.
    pub define: BTreeMap<String, String>,
    /// `alias`: packages and what each is replaced by.
    pub alias: BTreeMap<String, String>,
    /// `tsconfig`, absolute.
    pub tsconfig: Option<PathBuf>,
    /// `jsx_factory`.
    pub jsx_factory: Option<String>,
    /// `jsx_fragment`.
    pub jsx_fragment: Option<String>,
}

/// One of `rules`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What a matching file is.
    pub kind: RuleKind,
    /// Globs against the file's path.
    pub globs: Vec<String>,
    /// Whether later rules of the same kind are also used; unset means no, with a warning.
    pub fallthrough: Option<bool>,
}

/// `rules[].type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleKind {
    /// `ESModule`.
    EsModule,
    /// `CommonJS`.
    CommonJs,
    /// `CompiledWasm`.
    CompiledWasm,
    /// `Text`.
    Text,
    /// `Data`.
    Data,
}

/// `dev`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dev {
    /// `dev.ip`.
    pub ip: Option<String>,
    /// `dev.port`.
    pub port: Option<u16>,
    /// `dev.enable_containers`; by default true.
    pub enable_containers: bool,
    /// `dev.container_engine`: somebody else's engine in the place of Berth's.
    pub container_engine: Option<ContainerEngine>,
}

/// `dev.container_engine`: a Docker Engine that runs the containers. It must have their images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerEngine {
    /// Its unix socket, without `unix://`.
    pub socket: PathBuf,
    /// `localDocker.containerEgressInterceptorImage`.
    pub interceptor_image: Option<String>,
}

/// `berth`: optional, at the top level only. wrangler warns of the key and ignores it.
#[derive(Debug, Clone, PartialEq)]
pub struct Berth {
    /// `stop_grace`: time between SIGTERM and SIGKILL, such as `"5s"` or `"2m"`.
    pub stop_grace: Duration,
    /// `start_rate`: starts of an application each second, in the long run.
    pub start_rate: f64,
    /// `registry_mirrors`: for a registry's host the URL that is asked instead.
    pub registry_mirrors: BTreeMap<String, String>,
    /// `egress_allow`: networks (`192.168.1.0/24`, `10.0.0.7`) that instances with internet may reach
    /// although they are private or the machine's own.
    pub egress_allow: Vec<String>,
    /// `atomic`: whether the containers of a Worker that is deployed switch together with its code.
    pub atomic: bool,
}
