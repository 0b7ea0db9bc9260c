//! How static assets answer requests, in the words of `assets` in wrangler's configuration.

use serde::{Deserialize, Serialize};

/// Most files that one version of a Worker serves; wrangler stops there, too.
pub const MOST_ASSETS: usize = 20_000;
/// Most bytes of one file.
pub const LARGEST_ASSET: u64 = 25 * 1024 * 1024;

/// How files answer: serialized as in wrangler's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AssetRules {
    /// How `.html` and slashes map to paths.
    #[serde(default)]
    pub html_handling: HtmlHandling,
    /// What answers a path without a file.
    #[serde(default)]
    pub not_found_handling: NotFoundHandling,
    /// Which requests reach the Worker even where a file matches.
    #[serde(default)]
    pub run_worker_first: RunWorkerFirst,
}

/// `html_handling` of assets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HtmlHandling {
    /// `auto-trailing-slash`.
    #[default]
    AutoTrailingSlash,
    /// `force-trailing-slash`.
    ForceTrailingSlash,
    /// `drop-trailing-slash`.
    DropTrailingSlash,
    /// `none`.
    None,
}

/// `not_found_handling` of assets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotFoundHandling {
    /// `none`: the Worker answers, or 404.
    #[default]
    None,
    /// `404-page`.
    #[serde(rename = "404-page")]
    NotFoundPage,
    /// `single-page-application`.
    SinglePageApplication,
}

/// `run_worker_first` of assets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RunWorkerFirst {
    /// For every request, or for none.
    Always(bool),
    /// For paths that match one of these; those that start with `!` are exceptions.
    Paths(Vec<String>),
}

impl Default for RunWorkerFirst {
    fn default() -> Self {
        Self::Always(false)
    }
}
