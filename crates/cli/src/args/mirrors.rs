//! Registries that are asked in place of others.

use std::collections::BTreeMap;

use super::parse_build_arg;

/// Registries that are asked in place of others.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Mirrors {
    /// Another registry to pull a host's images from; may be given again.
    #[arg(
        id = "registry_mirror",
        long = "registry-mirror",
        value_name = "HOST=URL",
        value_parser = parse_build_arg,
        env = "BERTH_REGISTRY_MIRRORS",
        value_delimiter = ','
    )]
    list: Vec<(String, String)>,
}

impl Mirrors {
    /// URLs by the host they stand for.
    pub(crate) fn by_host(&self) -> BTreeMap<String, String> {
        self.list.iter().cloned().collect()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
