//! Members of a Worker's `env`, as clients are shown them.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// One member; which fields it has follows from its type. Secrets are shown without their texts.
#[derive(Debug, Default, PartialEq, Serialize, JsonSchema)]
pub(crate) struct BindingView {
    pub(crate) name: String,
    /// `plain_text`, `json`, `secret_text`, `durable_object_namespace`, `service`,
    /// `secrets_store_secret`, `assets` or `version_metadata`.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) json: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) class_name: Option<String>,
    /// `null` where the class is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace_id: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) entrypoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) props: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) store_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret_name: Option<String>,
}

/// All of a version.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Bindings {
    pub(crate) bindings: Vec<BindingView>,
}
