//! Modules of a Worker: uploaded, kept and run under the same kinds.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One module.
#[derive(Clone, PartialEq, Eq)]
pub struct Module {
    /// The name by which other modules import it, without `./`.
    pub name: String,
    /// How the runtime reads it.
    pub kind: ModuleKind,
    /// Its bytes.
    pub contents: Vec<u8>,
    /// Its source map (v3 JSON): stacks in events are mapped through it.
    pub source_map: Option<Vec<u8>>,
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}, {} bytes)", self.name, self.kind, self.contents.len())
    }
}

/// How the runtime reads a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModuleKind {
    /// ECMAScript module.
    EsModule,
    /// CommonJS module.
    CommonJs,
    /// A string.
    Text,
    /// An `ArrayBuffer`.
    Data,
    /// A `WebAssembly.Module`.
    Wasm,
    /// A parsed JSON value.
    Json,
}

impl ModuleKind {
    /// Its media type in uploads and downloads, as wrangler writes it.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::EsModule => "application/javascript+module",
            Self::CommonJs => "application/javascript",
            Self::Text => "text/plain",
            Self::Data => "application/octet-stream",
            Self::Wasm => "application/wasm",
            Self::Json => "application/json",
        }
    }
}
