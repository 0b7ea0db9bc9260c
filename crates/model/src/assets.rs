//! How static assets answer requests, in the words of `assets` in wrangler's configuration.

/// `html_handling` of assets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NotFoundHandling {
    /// `none`: the Worker answers, or 404.
    #[default]
    None,
    /// `404-page`.
    NotFoundPage,
    /// `single-page-application`.
    SinglePageApplication,
}

/// `run_worker_first` of assets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunWorkerFirst {
    /// For every request, or for none.
    Always(bool),
    /// For paths that match one of these; those that start with `!` are exceptions.
    Paths(Vec<String>),
}
