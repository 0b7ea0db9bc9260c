//! From an entry point to the modules that the runtime loads, by the native esbuild binary.

use std::path::{Path, PathBuf};

use crate::config::{Build, Config};

/// A Worker's code, ready for the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Name of the main module, one of [`Self::modules`] and always the first.
    pub main: String,
    /// Every module, the main one first.
    pub modules: Vec<Module>,
    /// Source map (v3 JSON) of the main module.
    pub source_map: Option<Vec<u8>>,
    /// Files the bundle was made from, absolute and sorted: to be watched.
    pub inputs: Vec<PathBuf>,
    /// What the entry point exports.
    pub exports: Vec<String>,
    /// esbuild's warnings, as text with code frames.
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

/// How the runtime reads a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
}

/// How to bundle, beside what the configuration says.
#[derive(Debug, Clone)]
pub struct BundleOptions<'a> {
    /// The native esbuild binary.
    pub esbuild: &'a Path,
    /// Value of `process.env.NODE_ENV` in code: `development` for `dev`, `production` for a deploy.
    pub node_env: &'a str,
}

/// A finding of esbuild.
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
    /// The file, as esbuild names it: relative to the project where that is shorter.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The configuration names no entry point.
    #[error("the configuration has no \"main\", so there is no code to bundle")]
    NoEntryPoint,
}

/// Bundles the entry point of a project.
///
/// Dropping the future ends esbuild.
///
/// # Errors
/// Anything is wrong with the code; the text shows file, line, column and code frame.
pub async fn bundle(config: &Config, options: &BundleOptions<'_>) -> Result<Bundle, BundleError> {
    let _ = (config, options);
    Err(BundleError::NoEntryPoint)
}

/// Why a custom build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildCommandError {
    /// The shell could not be started.
    #[error("could not run the custom build `{command}` in {}", cwd.display())]
    Spawn {
        /// The command.
        command: String,
        /// Where it should have run.
        cwd: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The command ended with an error.
    #[error("the custom build `{command}` failed with {status}{}", indented(last_lines))]
    Failed {
        /// The command.
        command: String,
        /// Exit code or signal, in words.
        status: String,
        /// The last lines it wrote.
        last_lines: Vec<String>,
    },
}

fn indented(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |text, line| text + "\n  " + line)
}

/// Runs the custom build (`build.command`), if there is one, and waits for its end.
///
/// Each line it writes goes to `output` at once. Dropping the future ends the command.
///
/// # Errors
/// The command could not be started or failed.
pub async fn run_build_command(
    build: &Build,
    output: &mut (dyn FnMut(&str) + Send),
) -> Result<(), BuildCommandError> {
    let _ = (build, output);
    Ok(())
}
