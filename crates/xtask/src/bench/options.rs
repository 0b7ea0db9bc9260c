//! The command line of `cargo xtask bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What to measure, against what, and how often.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Which paths.
    #[arg(value_enum)]
    pub(crate) part: Part,
    /// Measure a peer in the same run too.
    #[arg(long, value_enum)]
    pub(crate) peer: Option<Peer>,
    /// Install the peer with apt-get where it is missing.
    #[arg(long)]
    pub(crate) install_peer: bool,
    /// How many new IDs in turn [default: 50], warm requests on each path [default: 4000], builds of
    /// each kind [default: 10] with half as many pushes and pulls, deploys [default: 20], or requests
    /// through a proxy in each round [default: 10000].
    #[arg(long)]
    pub(crate) count: Option<usize>,
    /// How many new IDs at once.
    #[arg(long, default_value_t = 100)]
    pub(crate) burst: usize,
    /// Beside how many instances `density` measures [default: 0,100,500].
    #[arg(long, value_delimiter = ',')]
    instances: Vec<usize>,
    /// Print JSON in place of tables.
    #[arg(long)]
    pub(crate) json: bool,
    /// The peer that was asked for is missing.
    #[arg(long, hide = true)]
    pub(crate) no_peer: bool,
    /// The folder of a run whose process is already inside its own namespaces.
    #[arg(long, hide = true)]
    pub(crate) inside: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// New instances: the sandbox alone, a new ID through the whole path, a burst; memory.
    ColdStart,
    /// Requests to an instance that runs.
    Warm,
    /// New IDs all at once.
    Burst,
    /// New instances beside hundreds that run, and their memory.
    Density,
    /// Builds, pushes and pulls, and how soon a pushed image answers; beside buildah and Debian's
    /// docker-registry where they are installed.
    Images,
    /// From `berth deploy` to the first answer of new code, and the requests lost meanwhile; beside
    /// wrangler, which deploys to the same platform.
    Deploy,
    /// The edge beside Debian's nginx as reverse proxy, in front of one backend.
    Edge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// Docker Engine, alone and behind the same workerd and package.
    Docker,
}

impl Options {
    /// Whether the peer is measured.
    pub(crate) fn has_peer(&self) -> bool {
        self.peer.is_some() && !self.no_peer
    }

    /// How many new IDs in turn.
    pub(crate) fn new_ids(&self) -> usize {
        self.count.unwrap_or(50)
    }

    /// Beside how many instances, fewest first.
    pub(crate) fn instances(&self) -> Vec<usize> {
        let mut instances = self.instances.clone();
        if instances.is_empty() {
            instances = vec![0, 100, 500];
        }
        instances.sort_unstable();
        instances
    }

    /// How many builds of each kind.
    pub(crate) fn builds(&self) -> usize {
        self.count.unwrap_or(10)
    }

    /// How many pushes and as many pulls.
    pub(crate) fn transfers(&self) -> usize {
        self.builds().div_ceil(2)
    }

    /// How many deploys of each kind.
    pub(crate) fn deploys(&self) -> usize {
        self.count.unwrap_or(20)
    }

    /// How many requests through a proxy in each round.
    pub(crate) fn proxied(&self) -> usize {
        self.count.unwrap_or(10_000)
    }

    /// How many warm requests on each path.
    pub(crate) fn warm_requests(&self) -> usize {
        self.count.unwrap_or(4000)
    }
}
