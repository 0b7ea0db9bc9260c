//! Options of `berth deploy` and `berth versions upload`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};

use super::{Mirrors, parse_build_arg, parse_var};

/// How running instances get a new image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ContainersRollout {
    /// All at once.
    Immediate,
    /// By the steps of the configuration.
    Gradual,
    /// Not at all: nothing is built, and the containers stay as they are.
    None,
}

/// Which project is meant, and with it the platform.
#[derive(Debug, clap::Args)]
pub(crate) struct ProjectPlace {
    /// The project's folder, or its Wrangler configuration file.
    #[arg(default_value = ".")]
    pub(crate) project: PathBuf,
    /// The Wrangler configuration file.
    #[arg(short, long, value_name = "FILE", conflicts_with = "project")]
    pub(crate) config: Option<PathBuf>,
    /// Environment of the configuration to use.
    #[arg(short, long, env = "CLOUDFLARE_ENV")]
    pub(crate) env: Option<String>,
}

impl ProjectPlace {
    /// Its configuration file, or the folder that has one.
    pub(crate) fn path(&self) -> &Path {
        let path = self.config.as_deref().unwrap_or(&self.project);
        if path.as_os_str().is_empty() { Path::new(".") } else { path }
    }
}

/// What is said of a version in lists.
#[derive(Debug, clap::Args)]
pub(crate) struct Notes {
    /// What to say about this version.
    #[arg(long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// A name for this version.
    #[arg(long, value_name = "NAME")]
    pub(crate) tag: Option<String>,
}

impl Notes {
    /// The same in the words of the API.
    pub(crate) fn annotations(&self) -> BTreeMap<&'static str, &str> {
        let all = [("workers/message", &self.message), ("workers/tag", &self.tag)];
        all.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?))).collect()
    }
}

/// How the images of a project are built.
#[derive(Debug, clap::Args)]
pub(crate) struct Builds {
    /// A build argument for every Dockerfile, over `image_vars`; may be given again.
    #[arg(long = "build-arg", value_name = "KEY=VALUE", value_parser = parse_build_arg)]
    pub(crate) build_args: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) mirrors: Mirrors,
}

/// What a new version is made of, whether it serves at once or not.
#[derive(Debug, clap::Args)]
pub(crate) struct VersionOptions {
    /// A variable for the Worker, over what the configuration says; may be given again.
    #[arg(long = "var", value_name = "KEY:VALUE", value_parser = parse_var)]
    pub(crate) vars: Vec<(String, String)>,
    /// Keep the variables of the version before that the configuration does not name.
    #[arg(long)]
    pub(crate) keep_vars: bool,
    /// Secrets that come with this version: a JSON object of their texts, or lines as of a `.env` file.
    /// Others stay as they are.
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets_file: Option<PathBuf>,
    /// Bundle and build, and say what would be uploaded, without asking a platform.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Minify the Worker's code.
    #[arg(long)]
    pub(crate) minify: bool,
    #[command(flatten)]
    pub(crate) notes: Notes,
    #[command(flatten)]
    pub(crate) builds: Builds,
}

#[derive(Debug, Parser)]
pub(crate) struct DeployArgs {
    #[command(flatten)]
    pub(crate) place: ProjectPlace,
    #[command(flatten)]
    pub(crate) version: VersionOptions,
    /// How running instances get a new image.
    #[arg(long, value_enum, default_value_t = ContainersRollout::Gradual)]
    pub(crate) containers_rollout: ContainersRollout,
}

/// Options of `berth versions upload`, beside those that name a Worker.
#[derive(Debug, clap::Args)]
pub(crate) struct UploadArgs {
    /// The project's folder, or its Wrangler configuration file.
    #[arg(default_value = ".", conflicts_with = "config")]
    pub(crate) project: PathBuf,
    #[command(flatten)]
    pub(crate) version: VersionOptions,
}
