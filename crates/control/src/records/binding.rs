//! What a Worker's `env` holds, as it is remembered.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::seal::Sealed;

/// One member of `env`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Binding {
    /// Its name.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: BindingKind,
}

/// What a member of `env` is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BindingKind {
    /// A text.
    PlainText(String),
    /// A JSON value.
    Json(Value),
    /// A text that nobody is shown.
    SecretText(Sealed),
    /// A namespace of one of the Worker's classes.
    DurableObjectNamespace { class_name: String },
    /// The Worker itself, or one of its entry points.
    Service {
        entrypoint: Option<String>,
        /// `ctx.props` of it.
        #[serde(default)]
        props: Option<Value>,
    },
    /// Another Worker, or one of its entry points.
    OtherService { service: String, entrypoint: Option<String> },
    /// A secret of the Secrets Store.
    StoredSecret { store_id: String, secret_name: String },
    /// Its static files.
    Assets,
    /// Which version runs.
    VersionMetadata,
}

impl BindingKind {
    /// Its name on the wire.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::PlainText(_) => "plain_text",
            Self::Json(_) => "json",
            Self::SecretText(_) => "secret_text",
            Self::DurableObjectNamespace { .. } => "durable_object_namespace",
            Self::Service { .. } | Self::OtherService { .. } => "service",
            Self::StoredSecret { .. } => "secrets_store_secret",
            Self::Assets => "assets",
            Self::VersionMetadata => "version_metadata",
        }
    }
}

impl Binding {
    /// As a client is shown it; `namespace` knows the namespace of a class.
    pub(crate) fn to_wire(
        &self,
        script: &str,
        namespace: impl Fn(&str) -> Option<String>,
    ) -> Value {
        let mut wire = json!({"name": self.name, "type": self.kind.name()});
        match &self.kind {
            BindingKind::PlainText(text) => wire["text"] = json!(text),
            BindingKind::Json(value) => wire["json"] = value.clone(),
            BindingKind::DurableObjectNamespace { class_name } => {
                wire["class_name"] = json!(class_name);
                wire["namespace_id"] = json!(namespace(class_name));
            }
            BindingKind::Service { entrypoint, props } => {
                wire["service"] = json!(script);
                for (name, value) in [("entrypoint", json!(entrypoint)), ("props", json!(props))] {
                    if !value.is_null() {
                        wire[name] = value;
                    }
                }
            }
            BindingKind::OtherService { service, entrypoint } => {
                wire["service"] = json!(service);
                if let Some(entrypoint) = entrypoint {
                    wire["entrypoint"] = json!(entrypoint);
                }
            }
            BindingKind::StoredSecret { store_id, secret_name } => {
                wire["store_id"] = json!(store_id);
                wire["secret_name"] = json!(secret_name);
            }
            BindingKind::SecretText(_) | BindingKind::Assets | BindingKind::VersionMetadata => {}
        }
        wire
    }
}
