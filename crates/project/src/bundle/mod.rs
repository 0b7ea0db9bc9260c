//! From an entry point to the modules that the runtime loads, by the native esbuild binary.
//!
//! The options are wrangler's, and what wrangler does in plugins (module rules, aliases, Node.js
//! modules) is done here over esbuild's own service protocol: no Node.js process runs.

mod custom_build;
mod files;
mod flags;
mod message;
mod node;
mod packet;
mod plugins;
mod rules;
mod run;
mod service;

use std::path::{Path, PathBuf};

pub use model::ModuleKind;

pub use custom_build::{BuildCommandError, run_build_command};
pub use run::bundle;
pub use service::EsbuildError;

/// A Worker's code, ready for the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Name of the main module, one of [`Self::modules`] and always the first.
    pub main: String,
    /// Every module, the main one first.
    pub modules: Vec<Module>,
    /// Source map (v3 JSON) of the main module; its sources are relative to the project's root.
    pub source_map: Option<Vec<u8>>,
    /// Files the bundle was made from, absolute and sorted: to be watched.
    pub inputs: Vec<PathBuf>,
    /// What the entry point exports.
    pub exports: Vec<String>,
    /// Findings that did not stop the bundle.
    pub warnings: Vec<Message>,
}

/// One module of a Worker.
#[derive(Clone, PartialEq, Eq)]
pub struct Module {
    /// The name by which other modules import it, without `./`.
    pub name: String,
    /// How the runtime reads it.
    pub kind: ModuleKind,
    /// Its bytes.
    pub contents: Vec<u8>,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:?}, {} bytes)", self.name, self.kind, self.contents.len())
    }
}

/// How to bundle, beside what the configuration says.
#[derive(Debug, Clone)]
pub struct BundleOptions<'a> {
    /// The native esbuild binary.
    pub esbuild: &'a Path,
    /// Value of `process.env.NODE_ENV` in code: `development` for `dev`, `production` for a deploy.
    pub node_env: &'a str,
}

/// A finding about code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What is wrong.
    pub text: String,
    /// Where, if it is in a file.
    pub location: Option<Location>,
    /// The finding as esbuild shows it, with its code frame and notes, without colour.
    pub frame: String,
}

/// A place in a source file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file, relative to the project's root.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The configuration names no entry point: it is a Worker of assets alone.
    #[error("the configuration has no \"main\", so there is no code to bundle")]
    NoEntryPoint,
    /// The entry point does not exist or is a folder.
    #[error("{message}")]
    EntryPoint {
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// The code has errors.
    #[error("{}", frames(errors))]
    Code {
        /// What stopped the bundle, at least one.
        errors: Vec<Message>,
        /// What else was found.
        warnings: Vec<Message>,
    },
    /// The entry point has no exports.
    #[error(
        "The entry-point {} has no default export, which means it is assumed to be a Service Worker format Worker. Did you mean to create a ES Module format Worker? If so, try adding `export default {{ ... }}` in your entry-point. Service Worker format is not supported by Berth.",
        entry.display()
    )]
    ServiceWorker {
        /// The entry point, relative to the project's root.
        entry: PathBuf,
    },
    /// Durable Object classes are missing from the exports.
    #[error(
        "Your Worker depends on the following Durable Objects, which are not exported in your entrypoint file: {}.\nYou should export these objects from your entrypoint, {}.",
        classes.join(", "),
        entry.display()
    )]
    NotExported {
        /// The classes.
        classes: Vec<String>,
        /// The entry point, relative to the project's root.
        entry: PathBuf,
    },
    /// A file could not be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// esbuild itself failed.
    #[error(transparent)]
    Esbuild(#[from] EsbuildError),
}

fn frames(messages: &[Message]) -> String {
    let frames: Vec<_> = messages.iter().map(|message| message.frame.as_str()).collect();
    frames.join("\n\n")
}
