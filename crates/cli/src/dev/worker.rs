//! From a project's configuration and bundle to what the Worker host runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use model::{Application, ApplicationImages, AssetRules, ImageSource};
use project::Bundle;
use project::config::{self, Config};
use workers::spec::{
    Assets, Binding, BindingValue, ContainerEngine, ContainerImages, DurableObjectNamespace, Module,
};
use workers::{WorkerSpec, toolchain};

use super::images::choice_name;
use crate::args::{DevArgs, LogLevel};

/// How long requests may finish before the Worker is replaced or stopped.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// The image name that workerd asks for when it wants the network companion of a container. The
/// agent knows companions by their names and needs no image for them.
const INTERCEPTOR: &str = "berth-sidecar";

/// The companion image of an engine that is not ours, as wrangler names it.
const INTERCEPTOR_CLOUDFLARE: &str = "cloudflare/proxy-everything:3cb1195";

/// Who runs the containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Nobody: no class has `ctx.container`.
    None,
    /// The agent, at this socket.
    Agent(PathBuf),
    /// The engine of `dev.container_engine`.
    External(ContainerEngine),
}

impl Engine {
    /// The engine of the configuration, if it names one.
    pub(crate) fn external(config: &Config) -> Option<Self> {
        let engine = config.dev.container_engine.as_ref()?;
        let image = engine.interceptor_image.clone();
        Some(Self::External(ContainerEngine {
            socket: engine.socket.clone(),
            interceptor_image: image.unwrap_or_else(|| INTERCEPTOR_CLOUDFLARE.to_owned()),
        }))
    }

    /// The image names that workerd asks for; the agent knows applications by their class's key.
    fn images_of(&self, application: &Application) -> Option<ContainerImages> {
        let name = |source: &ImageSource, ours: String| match (self, source) {
            (Self::External(_), ImageSource::Reference(reference)) => reference.clone(),
            _ => ours,
        };
        if *self == Self::None {
            return None;
        }
        Some(match &application.images {
            ApplicationImages::One(source) => ContainerImages {
                default: Some(name(source, application.name.clone())),
                named: BTreeMap::new(),
            },
            ApplicationImages::Named(sources) => {
                let named = sources.iter().map(|(key, source)| {
                    (key.clone(), name(source, choice_name(application, key)))
                });
                ContainerImages { default: None, named: named.collect() }
            }
        })
    }

    fn into_spec(self) -> Option<ContainerEngine> {
        match self {
            Self::None => None,
            Self::Agent(socket) => {
                Some(ContainerEngine { socket, interceptor_image: INTERCEPTOR.to_owned() })
            }
            Self::External(engine) => Some(engine),
        }
    }
}

/// What the Worker host is to run.
pub(crate) fn spec(
    config: &Config,
    bundle: Bundle,
    args: &DevArgs,
    objects: PathBuf,
    engine: Engine,
) -> WorkerSpec {
    WorkerSpec {
        name: config.name.clone(),
        compatibility_date: compatibility_date(config),
        compatibility_flags: config.compatibility_flags.clone(),
        bindings: bindings(config, &args.vars),
        durable_objects: durable_objects(config, &bundle.exports, &engine),
        assets: config.assets.as_ref().map(assets),
        crons: config.crons.clone(),
        container_engine: engine.into_spec(),
        modules: modules(bundle),
        objects,
        entrypoints: None,
        private_network: true,
        // It costs workerd time for each event, so only when there are lines to attribute.
        watchable: false,
        attribute_logs: args.log_level > LogLevel::None,
        // Consumers are other Workers, and there are none.
        tail_consumers: Vec::new(),
        version: None,
    }
}

fn newest_date() -> String {
    toolchain::newest_compatibility_date(&Timestamp::now().strftime("%Y-%m-%d").to_string())
}

/// The configuration's date; what the runtime does not know yet becomes the newest it knows.
fn compatibility_date(config: &Config) -> String {
    let newest = newest_date();
    match &config.compatibility_date {
        Some(date) if *date < newest => date.clone(),
        _ => newest,
    }
}

/// A warning, when the configuration asks for a date that the pinned workerd does not know.
pub(crate) fn date_warning(config: &Config) -> Option<String> {
    let newest = newest_date();
    let date = config.compatibility_date.as_ref().filter(|date| **date > newest)?;
    Some(format!(
        "the installed workerd knows compatibility dates up to {newest}; using that in place of {date}"
    ))
}

fn modules(bundle: Bundle) -> Vec<Module> {
    let Bundle { main, modules, source_map, .. } = bundle;
    modules
        .into_iter()
        .map(|module| Module {
            source_map: source_map.clone().filter(|_| module.name == main),
            kind: module.kind,
            name: module.name,
            contents: module.contents,
        })
        .collect()
}

fn bindings(config: &Config, vars: &[(String, String)]) -> Vec<Binding> {
    let given = |name: &str| vars.iter().any(|(key, _)| key == name);
    let binding = |name: &str, value| Binding { name: name.to_owned(), value };
    let mut bindings: Vec<Binding> =
        vars.iter().map(|(key, value)| binding(key, BindingValue::Text(value.clone()))).collect();
    for (name, value) in config.vars.iter().filter(|(name, _)| !given(name)) {
        let value = match value {
            serde_json::Value::String(text) => BindingValue::Text(text.clone()),
            other => BindingValue::Json(other.clone()),
        };
        bindings.push(binding(name, value));
    }
    for (name, secret) in config.secrets.iter().filter(|(name, _)| !given(name)) {
        bindings.push(binding(name, BindingValue::Secret(secret.expose().to_owned())));
    }
    for object in &config.durable_objects {
        let class_name = object.class_name.clone();
        bindings.push(binding(&object.name, BindingValue::DurableObject { class_name }));
    }
    for service in &config.services {
        let (entrypoint, props) = (service.entrypoint.clone(), service.props.clone());
        bindings.push(binding(&service.binding, BindingValue::Service { entrypoint, props }));
    }
    for secret in &config.secrets_store {
        let value = secret.value.as_ref().map(|value| value.expose().to_owned());
        let name = secret.secret_name.clone();
        bindings.push(binding(&secret.binding, BindingValue::SecretsStoreSecret { name, value }));
    }
    if let Some(name) = config.assets.as_ref().and_then(|assets| assets.binding.as_ref()) {
        bindings.push(binding(name, BindingValue::Assets));
    }
    if let Some(name) = &config.version_metadata {
        let version = serde_json::json!({ "id": "dev", "tag": "", "timestamp": "" });
        bindings.push(binding(name, BindingValue::Json(version)));
    }
    bindings
}

/// Classes that the code exports: one that migrations made and the code dropped keeps its storage
/// and is not loaded.
fn durable_objects(
    config: &Config,
    exports: &[String],
    engine: &Engine,
) -> Vec<DurableObjectNamespace> {
    let images = |class: &str| {
        let container = config.containers.iter().find(|c| c.application.class_name == class)?;
        engine.images_of(&container.application)
    };
    let exported = config.classes.iter().filter(|class| exports.contains(&class.name));
    exported
        .map(|class| DurableObjectNamespace {
            class_name: class.name.clone(),
            unique_key: class.unique_key.clone(),
            sqlite: class.sqlite,
            container: images(&class.name),
        })
        .collect()
}

fn assets(assets: &config::Assets) -> Assets {
    Assets {
        directory: assets.directory.clone(),
        rules: AssetRules {
            html_handling: assets.html_handling,
            not_found_handling: assets.not_found_handling,
            run_worker_first: assets.run_worker_first.clone(),
        },
    }
}
