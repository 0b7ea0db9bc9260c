//! Versions and deployments of a Worker.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::BindingView;

/// A change of the newest version, which makes another one that nothing serves yet.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct LatestWish {
    /// Members of `env` by their names; `null` removes one.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, Option<VersionMember>>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, Option<String>>,
    /// Everything else.
    #[serde(flatten)]
    pub(crate) rest: BTreeMap<String, Value>,
}

/// A member of `env`: a secret, as no other is changed so.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct VersionMember {
    /// `secret_text`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) text: String,
}

/// The version that was made so.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CopiedVersion {
    pub(crate) id: Uuid,
    pub(crate) number: u32,
}

/// Versions, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Versions {
    pub(crate) items: Vec<VersionView>,
}

/// A version.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct VersionView {
    pub(crate) id: Uuid,
    /// Counts from 1.
    pub(crate) number: u32,
    pub(crate) metadata: VersionMetadata,
    /// What its author says about it, and what made it.
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) resources: VersionResources,
    pub(crate) startup_time_ms: u64,
}

/// Who made a version, and when.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct VersionMetadata {
    pub(crate) created_on: Timestamp,
    pub(crate) modified_on: Timestamp,
    pub(crate) author_email: String,
    pub(crate) source: &'static str,
    pub(crate) has_preview: bool,
}

/// What a version is.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct VersionResources {
    pub(crate) bindings: Vec<BindingView>,
    pub(crate) script: VersionScript,
    pub(crate) script_runtime: VersionRuntime,
}

/// A version's code.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct VersionScript {
    /// Two versions with one etag run the same code.
    pub(crate) etag: String,
    pub(crate) handlers: Vec<&'static str>,
}

/// What a version's code runs with.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct VersionRuntime {
    pub(crate) compatibility_date: String,
    pub(crate) compatibility_flags: Vec<String>,
    pub(crate) usage_model: &'static str,
    /// Classes whose objects have containers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) containers: Vec<VersionContainer>,
}

/// A class whose objects have containers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct VersionContainer {
    pub(crate) class_name: String,
    /// Its application.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    /// Images that its objects choose from, by their names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) images: BTreeMap<String, String>,
}

/// Settings of the newest version.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct VersionSettings {
    pub(crate) bindings: Vec<BindingView>,
    pub(crate) compatibility_date: String,
    pub(crate) compatibility_flags: Vec<String>,
    pub(crate) migration_tag: Option<String>,
}

/// What is to serve: a version, or two.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct DeploymentWish {
    pub(crate) versions: Vec<ShareWish>,
    /// `workers/message` is kept.
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// A version's wanted share of the requests.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ShareWish {
    pub(crate) version_id: String,
    pub(crate) percentage: f64,
}

/// Deployments, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Deployments {
    pub(crate) deployments: Vec<DeploymentView>,
}

/// A change of what serves.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeploymentView {
    pub(crate) id: Uuid,
    pub(crate) created_on: Timestamp,
    pub(crate) author_email: String,
    pub(crate) source: &'static str,
    pub(crate) strategy: &'static str,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) versions: Vec<DeployedShare>,
}

/// A version's share of the requests.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeployedShare {
    pub(crate) version_id: Uuid,
    pub(crate) percentage: f64,
}
