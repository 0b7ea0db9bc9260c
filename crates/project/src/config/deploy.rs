//! Keys that a deploy sends, and `berth dev` has no use for.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::vars::{self, ProcessEnvironment, Required};
use super::{ConfigError, Secret};
use crate::check;
use crate::config::scope::Scope;

/// What a configuration is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// To run here: with the values of `.dev.vars` or `.env`, and without other Workers.
    #[default]
    Dev,
    /// To be deployed: local values stay here.
    Deploy,
}

/// What a deploy sends beside what a Worker and its containers are; JSON as it was written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Deploy {
    /// `migrations`, in their order.
    pub migrations: Vec<Value>,
    /// `exports`, unless they are not there.
    pub exports: Option<Value>,
    /// `routes` and `route`, each an object with its `pattern`.
    pub routes: Vec<Value>,
    /// `workers_dev`: whether the Worker has a host of its own; by default where there is no route.
    pub workers_dev: Option<bool>,
    /// `keep_vars`: variables that the configuration does not name stay.
    pub keep_vars: bool,
    /// `upload_source_maps`.
    pub source_maps: bool,
    /// Whether `triggers.crons` is there: without it those of the last deploy stay.
    pub has_crons: bool,
    /// `secrets.required`: must have been put before.
    pub required_secrets: Vec<String>,
    /// Keys that belong to the version under these names.
    pub metadata: Map<String, Value>,
}

/// Keys that are sent as they are, with the names they have in an upload.
const METADATA: [(&str, &str); 5] = [
    ("cache", "cache_options"),
    ("limits", "limits"),
    ("logpush", "logpush"),
    ("observability", "observability"),
    ("placement", "placement"),
];

/// The same, of those that environments do not inherit.
const OWN_METADATA: [&str; 2] = ["streaming_tail_consumers", "tail_consumers"];

/// Reads the keys; those that are wrong were reported where they were checked.
pub(super) fn deploy(scope: &Scope<'_>, required: Option<&Required>, purpose: Purpose) -> Deploy {
    // A file that is run here says no more of these than it did before.
    if purpose == Purpose::Dev {
        return Deploy::default();
    }
    let json = |key: &str| scope.inherited(key).map(|field| field.node.to_json());
    let boolean = |key: &str| scope.inherited(key).and_then(|field| field.node.as_bool());
    let mut metadata = Map::new();
    for (key, name) in METADATA {
        metadata.extend(json(key).map(|value| (name.to_owned(), value)));
    }
    for key in OWN_METADATA {
        let field = match scope.defined() {
            Some(_) => scope.in_environment(key),
            None => scope.top(key),
        };
        metadata.extend(field.map(|field| (key.to_owned(), field.node.to_json())));
    }
    let routes = json("route").into_iter().chain(list(json("routes")));
    let crons = scope.inherited("triggers").is_some_and(|triggers| {
        triggers.node.as_object().is_some_and(|object| check::value(object, "crons").is_some())
    });
    Deploy {
        migrations: list(json("migrations")).collect(),
        exports: json("exports"),
        routes: routes.map(route).collect(),
        workers_dev: boolean("workers_dev"),
        keep_vars: scope.top("keep_vars").and_then(|field| field.node.as_bool()).unwrap_or(false),
        source_maps: boolean("upload_source_maps").unwrap_or(false),
        has_crons: crons,
        required_secrets: required.map(|required| required.names().to_vec()).unwrap_or_default(),
        metadata,
    }
}

fn list(value: Option<Value>) -> impl Iterator<Item = Value> {
    let items = match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    items.into_iter()
}

fn route(value: Value) -> Value {
    match value {
        Value::String(pattern) => json!({ "pattern": pattern }),
        object => object,
    }
}

/// The variables that a project's `.env` files set for tools: wrangler's settings of where to deploy to
/// are among them. Those of the process win.
///
/// # Errors
/// A file is there and cannot be read.
pub fn dot_env(
    folder: &Path,
    environment: Option<&str>,
) -> Result<BTreeMap<String, Secret>, ConfigError> {
    let process: ProcessEnvironment = super::load::process_environment();
    let mut values = vars::dot_env(folder, environment, &process)?;
    values.extend(process);
    Ok(values.into_iter().map(|(name, value)| (name, Secret::new(value))).collect())
}
