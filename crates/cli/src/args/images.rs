//! Options of `berth images`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use image::Reference;

use super::{Mirrors, parse_build_arg, parse_time};
use crate::human::parse_size;

#[derive(Debug, Subcommand)]
pub(crate) enum ImagesCommand {
    /// List images, newest first.
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Print all that is known of some, as JSON.
    Inspect(InspectArgs),
    /// Remove some: names, and the content that no other name needs.
    #[command(visible_alias = "rmi")]
    Rm(RmArgs),
    /// Remove what is not needed.
    Prune(PruneArgs),
    /// Pull some from their registries.
    Pull(PullArgs),
    /// Push one to its registry.
    Push(PushArgs),
    /// Give an image another name.
    Tag(TagArgs),
    /// Take images from an archive (of `docker save`, an OCI layout), or make one of a root file
    /// system.
    #[command(visible_alias = "load")]
    Import(ImportArgs),
    /// Write images as one archive.
    #[command(visible_alias = "save")]
    Export(ExportArgs),
    /// Show the steps that made an image.
    History(HistoryArgs),
    /// Show how much of the disk images take, and how much could be had back.
    Df(DfArgs),
}

/// `KEY=VALUE` of `--filter`.
pub(crate) type Filter = (String, String);

#[derive(Debug, Parser)]
pub(crate) struct LsArgs {
    /// Names to list, such as `app`, `app:1` or `*/app` [default: all].
    pub(crate) name: Option<String>,
    /// `reference=PATTERN`, `dangling=true`, `label=KEY[=VALUE]`, `before=IMAGE` or `since=IMAGE`;
    /// may be given again.
    #[arg(short, long = "filter", value_name = "KEY=VALUE", value_parser = parse_build_arg)]
    pub(crate) filters: Vec<Filter>,
    /// Show digests of manifests.
    #[arg(long)]
    pub(crate) digests: bool,
    /// Cut nothing short.
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Print them as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Parser)]
pub(crate) struct InspectArgs {
    /// Names, or beginnings of ids.
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}

#[derive(Debug, Parser)]
pub(crate) struct RmArgs {
    /// Names, or beginnings of ids.
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// Also images that instances run on, and all names of an id.
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Print what was removed as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Parser)]
pub(crate) struct PruneArgs {
    /// Every image that no instance uses, not only those without a name.
    #[arg(short, long)]
    pub(crate) all: bool,
    /// `until=24h` (made before), `label=KEY[=VALUE]` or `reference=PATTERN`; may be given again.
    #[arg(long = "filter", value_name = "KEY=VALUE", value_parser = parse_build_arg)]
    pub(crate) filters: Vec<Filter>,
    /// The build cache as well; of it, `until` means not used for so long.
    #[arg(long)]
    pub(crate) build_cache: bool,
    /// Keep so much of the build cache, such as `10GB`: what was used last.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, requires = "build_cache")]
    pub(crate) keep_storage: Option<u64>,
    /// How old content must be that belongs to no image, such as what is just being pushed here.
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "1h")]
    pub(crate) grace: Duration,
    /// Do not ask.
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Print what was removed as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Parser)]
pub(crate) struct PullArgs {
    /// What to pull.
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<Reference>,
    #[command(flatten)]
    pub(crate) mirrors: Mirrors,
    /// A registry to speak to without TLS; may be given again.
    #[arg(long = "insecure-registry", value_name = "HOST[:PORT]")]
    pub(crate) insecure: Vec<String>,
    /// Print what was pulled as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Parser)]
pub(crate) struct PushArgs {
    /// What to push; its name says where to.
    pub(crate) name: Reference,
    /// A registry to speak to without TLS; may be given again.
    #[arg(long = "insecure-registry", value_name = "HOST[:PORT]")]
    pub(crate) insecure: Vec<String>,
    /// Largest piece of a layer in one request, such as `50MB` [default: as the registry asks].
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) chunk_size: Option<u64>,
    /// Send layers as they are stored, those of builds uncompressed: the image keeps its digest.
    #[arg(long)]
    pub(crate) preserve_digest: bool,
    /// Print what was pushed as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Parser)]
pub(crate) struct TagArgs {
    /// A name, or the beginning of an id.
    pub(crate) image: String,
    /// The other name; whatever had it before loses it.
    pub(crate) name: Reference,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Parser)]
pub(crate) struct ImportArgs {
    /// The archive, compressed or not; `-` is standard input.
    #[arg(default_value = "-")]
    pub(crate) file: PathBuf,
    /// It is a root file system: make an image of that name of it.
    #[arg(long, value_name = "NAME")]
    pub(crate) rootfs: Option<Reference>,
    /// What the history of that image says.
    #[arg(long, value_name = "TEXT", requires = "rootfs")]
    pub(crate) message: Option<String>,
    /// Print what was imported as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What an archive is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// For `docker load` and `podman load`; an OCI layout as well.
    Docker,
    /// An OCI layout alone.
    Oci,
}

#[derive(Debug, Parser)]
pub(crate) struct ExportArgs {
    /// Names, or beginnings of ids.
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// The file to write; `-` is standard output.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,
    /// What for.
    #[arg(long, value_enum, default_value_t = ExportFormat::Docker)]
    pub(crate) format: ExportFormat,
}

#[derive(Debug, Parser)]
pub(crate) struct HistoryArgs {
    /// A name, or the beginning of an id.
    pub(crate) image: String,
    /// Cut nothing short.
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Print the steps as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Parser)]
pub(crate) struct DfArgs {
    /// Print it as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
