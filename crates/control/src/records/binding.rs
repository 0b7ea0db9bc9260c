//! What a Worker's `env` holds, as it is remembered.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::seal::Sealed;
use crate::wire::BindingView;

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
    ) -> BindingView {
        let (name, kind) = (self.name.clone(), self.kind.name());
        let mut view = BindingView { name, kind, ..BindingView::default() };
        match &self.kind {
            BindingKind::PlainText(text) => view.text = Some(text.clone()),
            BindingKind::Json(value) => view.json = Some(value.clone()),
            BindingKind::DurableObjectNamespace { class_name } => {
                view.class_name = Some(class_name.clone());
                view.namespace_id = Some(namespace(class_name));
            }
            BindingKind::Service { entrypoint, props } => {
                view.service = Some(script.to_owned());
                view.entrypoint.clone_from(entrypoint);
                view.props = props.clone().filter(|props| !props.is_null());
            }
            BindingKind::OtherService { service, entrypoint } => {
                view.service = Some(service.clone());
                view.entrypoint.clone_from(entrypoint);
            }
            BindingKind::StoredSecret { store_id, secret_name } => {
                view.store_id = Some(store_id.clone());
                view.secret_name = Some(secret_name.clone());
            }
            BindingKind::SecretText(_) | BindingKind::Assets | BindingKind::VersionMetadata => {}
        }
        view
    }
}
