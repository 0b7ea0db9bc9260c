//! From a folder or file to a [`Config`].

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::diagnostic::Diagnostic;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither the folder nor one above it has a configuration file.
    #[error("no wrangler.json, wrangler.jsonc or wrangler.toml in {} or a folder above it", dir.display())]
    NotFound {
        /// Where the search began.
        dir: PathBuf,
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
    /// The file was read and is wrong. Holds every finding, warnings too; at least one is an error.
    #[error("{}", crate::diagnostic::render_all(diagnostics, false))]
    Invalid {
        /// The findings in the order of the file.
        diagnostics: Vec<Diagnostic>,
    },
}

impl Config {
    /// Reads the configuration of a project.
    ///
    /// `path` is a configuration file, or a folder: then it and the folders above it are searched
    /// for `wrangler.json`, `wrangler.jsonc` and `wrangler.toml`, in wrangler's order.
    /// `environment` picks `env.<name>`. Warnings come back beside the configuration.
    ///
    /// # Errors
    /// There is no file, it cannot be read, or anything in it is wrong.
    pub fn load(
        path: &Path,
        environment: Option<&str>,
    ) -> Result<(Self, Vec<Diagnostic>), ConfigError> {
        let _ = environment;
        Err(ConfigError::NotFound { dir: path.to_owned() })
    }
}
