//! From a Worker's plan to what the Worker host runs: pure.

use std::path::{Path, PathBuf};

use control::plan::{PlannedClass, PlannedValue, WorkerPlan};
use image::Digest;
use jiff::Timestamp;
use workers::spec::{
    Assets, Binding, BindingValue, ContainerEngine, ContainerImages, DurableObjectNamespace,
    TailConsumer,
};
use workers::{WorkerSpec, toolchain};

use super::doors;

/// The image name that workerd asks for when it wants the network companion of a container. The
/// agent knows companions by their names and needs no image for them.
const INTERCEPTOR: &str = "berth-sidecar";

/// Where what a Worker uses is.
#[derive(Debug)]
pub(crate) struct Places {
    /// Its objects' storage.
    pub(crate) objects: PathBuf,
    /// Its static files, if it has any.
    pub(crate) assets: Option<PathBuf>,
    /// The doors of the Workers that it binds, and of those that are told of what happens in it.
    pub(crate) doors: PathBuf,
    /// Whether somebody watches it: only then it bears the cost, unless it has objects, whose lines
    /// cost the same.
    pub(crate) watched: bool,
    /// Who runs its containers; without, no class has `ctx.container`.
    pub(crate) engine: Option<PathBuf>,
}

/// What the Worker host is to run.
pub(crate) fn spec(plan: &WorkerPlan, places: Places) -> WorkerSpec {
    let Places { objects, assets, doors, engine, watched } = places;
    let has_engine = engine.is_some();
    let consumer = |name: &String| TailConsumer {
        name: name.clone(),
        socket: (*name != plan.script).then(|| doors::path(&doors, name, None)),
    };
    let rules = plan.assets.as_ref().map(|assets| assets.rules.clone());
    WorkerSpec {
        name: plan.script.clone(),
        modules: plan.modules.clone(),
        compatibility_date: known_date(&plan.compatibility_date),
        compatibility_flags: plan.compatibility_flags.clone(),
        bindings: plan.bindings.iter().map(|b| binding(&b.name, &b.value, &doors)).collect(),
        durable_objects: plan.classes.iter().map(|class| namespace(class, has_engine)).collect(),
        assets: assets.zip(rules).map(|(directory, rules)| Assets { directory, rules }),
        crons: plan.crons.clone(),
        container_engine: engine
            .map(|socket| ContainerEngine { socket, interceptor_image: INTERCEPTOR.to_owned() }),
        objects,
        entrypoints: Some(doors::sockets(&plan.entrypoints)),
        private_network: false,
        attribute_logs: true,
        watchable: watched || !plan.classes.is_empty(),
        tail_consumers: plan.tail_consumers.iter().map(consumer).collect(),
        version: Some(plan.version.to_string()),
    }
}

/// What the runtime does not know yet becomes the newest it knows.
fn known_date(date: &str) -> String {
    let today = Timestamp::now().strftime("%Y-%m-%d").to_string();
    toolchain::newest_compatibility_date(&today).min(date.to_owned())
}

fn binding(name: &str, value: &PlannedValue, others: &Path) -> Binding {
    let value = match value {
        PlannedValue::Text(text) => BindingValue::Text(text.clone()),
        PlannedValue::Secret(text) => BindingValue::Secret(text.clone()),
        PlannedValue::Json(value) => BindingValue::Json(value.clone()),
        PlannedValue::DurableObject { class_name } => {
            BindingValue::DurableObject { class_name: class_name.clone() }
        }
        PlannedValue::Service { entrypoint, props } => {
            BindingValue::Service { entrypoint: entrypoint.clone(), props: props.clone() }
        }
        PlannedValue::OtherService { script, entrypoint } => BindingValue::OtherService {
            socket: doors::path(others, script, entrypoint.as_deref()),
        },
        PlannedValue::StoredSecret { name, text } => {
            BindingValue::SecretsStoreSecret { name: name.clone(), value: text.clone() }
        }
        PlannedValue::Assets => BindingValue::Assets,
    };
    Binding { name: name.to_owned(), value }
}

/// The name by which workerd asks for one of several images: a reference with a digest is none to it.
pub(crate) fn choice_name(reference: &str) -> String {
    format!("berth.local/named/{}:serve", &Digest::of(reference.as_bytes()).hex()[..16])
}

/// A class; its namespace's id is also the name of its image, as the agent knows applications by it.
fn namespace(class: &PlannedClass, has_engine: bool) -> DurableObjectNamespace {
    let named = |(name, reference): (&String, &String)| (name.clone(), choice_name(reference));
    let images = || ContainerImages {
        default: class.images.is_empty().then(|| class.namespace_id.clone()),
        named: class.images.iter().map(named).collect(),
    };
    DurableObjectNamespace {
        class_name: class.name.clone(),
        unique_key: class.namespace_id.clone(),
        sqlite: class.sqlite,
        container: (class.container && has_engine).then(images),
    }
}
