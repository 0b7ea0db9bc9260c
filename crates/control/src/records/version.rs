//! One upload of a Worker: code and settings that never change again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{Binding, BindingKind, VersionAssets};
use crate::blobs::BlobId;
use crate::plan::ModuleKind;

/// A version of a Worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) id: Uuid,
    /// Counts from 1.
    pub(crate) number: u32,
    pub(crate) created_on: Timestamp,
    /// Who uploaded it: the name of a token.
    pub(crate) author: String,
    /// `wrangler`, `berth`, `secret_change` …
    pub(crate) source: String,
    /// `annotations` of the upload.
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) compatibility_date: String,
    #[serde(default)]
    pub(crate) compatibility_flags: Vec<String>,
    /// The main one first.
    pub(crate) modules: Vec<Module>,
    pub(crate) bindings: Vec<Binding>,
    /// Classes that own containers.
    #[serde(default)]
    pub(crate) containers: Vec<ClassContainer>,
    /// Where containers switch together with the code: what the instances of each application run with
    /// this version, whole, by the namespace whose objects own them.
    #[serde(default)]
    pub(crate) atomic: Option<BTreeMap<String, Value>>,
    /// Its static files.
    #[serde(default)]
    pub(crate) assets: Option<VersionAssets>,
    /// How long its first start took, in milliseconds.
    pub(crate) startup_time_ms: u64,
}

impl Version {
    /// Other Workers that it binds, and which of their entry points.
    pub(crate) fn others(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.bindings.iter().filter_map(|binding| match &binding.kind {
            BindingKind::OtherService { service, entrypoint } => {
                Some((service.as_str(), entrypoint.as_deref()))
            }
            _ => None,
        })
    }

    /// Names its content: two versions with one etag run the same code.
    pub(crate) fn etag(&self) -> String {
        let names =
            self.modules.iter().map(|module| format!("{}={}", module.name, module.contents));
        BlobId::of(names.collect::<Vec<_>>().join("\n").as_bytes()).to_string()
    }
}

/// One module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Module {
    /// The name by which others import it.
    pub(crate) name: String,
    pub(crate) kind: ModuleKind,
    pub(crate) contents: BlobId,
    #[serde(default)]
    pub(crate) source_map: Option<BlobId>,
}

/// A class of the Worker whose objects own containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClassContainer {
    /// The container application's name.
    pub(crate) name: String,
    pub(crate) class_name: String,
    /// Images that a start may choose from, by name: with `scheduling_policy: "durable_object"`.
    #[serde(default)]
    pub(crate) images: BTreeMap<String, String>,
}
