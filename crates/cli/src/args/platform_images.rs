//! Options of `berth containers build`, `push` and `images`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use image::Reference;

use super::BuildArgs;

#[derive(Debug, Parser)]
pub(crate) struct ContainersBuildArgs {
    #[command(flatten)]
    pub(crate) build: BuildArgs,
    /// Push it to the platform's registry as well, by its names.
    #[arg(short, long, requires = "tags")]
    pub(crate) push: bool,
    #[command(flatten)]
    pub(crate) docker: PathToDocker,
    /// Environment whose `.env` file names the platform.
    #[arg(short, long, env = "CLOUDFLARE_ENV")]
    pub(crate) env: Option<String>,
}

/// Wrangler's command lines may name a docker.
#[derive(Debug, clap::Args)]
pub(crate) struct PathToDocker {
    /// Without effect: no docker is used.
    #[arg(long, value_name = "PATH", hide = true)]
    path_to_docker: Option<PathBuf>,
}

#[derive(Debug, Parser)]
pub(crate) struct ContainersPushArgs {
    /// The image on this machine, such as `app:1`.
    #[arg(value_name = "TAG")]
    pub(crate) name: Reference,
    #[command(flatten)]
    pub(crate) docker: PathToDocker,
    /// Environment whose `.env` file names the platform.
    #[arg(short, long, env = "CLOUDFLARE_ENV")]
    pub(crate) env: Option<String>,
}

#[derive(Debug, Parser)]
pub(crate) struct PlatformImagesArgs {
    /// Environment whose `.env` file names the platform.
    #[arg(short, long, env = "CLOUDFLARE_ENV", global = true)]
    pub(crate) env: Option<String>,
    #[command(subcommand)]
    pub(crate) command: PlatformImagesCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PlatformImagesCommand {
    /// List the images of the account.
    #[command(visible_alias = "ls")]
    List {
        /// Those alone whose name matches this regular expression.
        #[arg(long, value_name = "REGEX")]
        filter: Option<String>,
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Delete an image: its tag, and the content that no other tag needs.
    Delete {
        /// Its name with its tag, such as `app:1`.
        #[arg(value_name = "IMAGE:TAG")]
        image: String,
        /// Ask nothing.
        #[arg(short = 'y', long, alias = "skip-confirmation")]
        force: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_has_a_name() {
        let parse =
            |words: &[&str]| ContainersBuildArgs::try_parse_from(["build"].iter().chain(words));
        let args = parse(&["image", "-t", "app:1", "-p", "--path-to-docker", "docker"]).unwrap();
        assert!(args.push);
        assert_eq!((args.build.tags, args.build.context), (vec!["app:1".into()], "image".into()));
        assert!(parse(&["image", "-p"]).is_err() && parse(&["image"]).is_ok());
    }

    #[test]
    fn wranglers_command_lines_are_taken() {
        for words in [
            &["list", "--filter", "^app", "--json"][..],
            &["delete", "app:1", "--skip-confirmation"],
            &["delete", "app:1", "-y"],
        ] {
            let args = PlatformImagesArgs::try_parse_from(["images"].iter().chain(words));
            assert!(args.is_ok(), "{words:?}");
        }
    }
}
