//! The two builders, as commands.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use e2e::Registry;
use fs_err as fs;

use crate::bench::Inside;

/// A builder with storage of its own and the base images' registry in place of Docker Hub.
#[derive(Debug)]
pub(super) enum Builder {
    Berth { program: PathBuf, home: PathBuf },
    Buildah { storage: PathBuf, registries: PathBuf },
}

impl Builder {
    pub(super) fn berth(inside: &Inside) -> Self {
        Self::Berth { program: inside.workshop.berth(), home: inside.dir.join("h") }
    }

    pub(super) fn buildah(inside: &Inside) -> Result<Self> {
        let storage = inside.dir.join("buildah");
        fs::create_dir(&storage)?;
        let registries = storage.join("registries.conf");
        let mirror = Registry::of_base_images().url();
        let mirror = mirror.strip_prefix("http://").context("the registry speaks plain HTTP")?;
        let text = format!(
            "unqualified-search-registries = [\"docker.io\"]\n\
             [[registry]]\nprefix = \"docker.io\"\nlocation = \"{mirror}\"\ninsecure = true\n"
        );
        fs::write(&registries, text)?;
        Ok(Self::Buildah { storage, registries })
    }

    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Berth { .. } => "Berth",
            Self::Buildah { .. } => "buildah",
        }
    }

    /// Builds the context, one layer for each step.
    pub(super) fn build(&self, context: &Path, cached: bool) -> Command {
        let mut command = match self {
            Self::Berth { program, home } => {
                let mut command = Command::new(program);
                let mirrors = format!("docker.io={}", Registry::of_base_images().url());
                command.env("BERTH_HOME", home).env("BERTH_REGISTRY_MIRRORS", mirrors);
                command.arg("build");
                command
            }
            Self::Buildah { storage, registries } => {
                let mut command = Command::new("buildah");
                command.arg("--root").arg(storage.join("root"));
                command.arg("--runroot").arg(storage.join("run"));
                command.args(["--storage-driver", "overlay", "--registries-conf"]).arg(registries);
                command.args(["build", "--isolation", "chroot", "--layers"]);
                command
            }
        };
        if !cached {
            command.arg("--no-cache");
        }
        command.args(["--tag", "bench/build:1"]).arg(context);
        command
    }
}
