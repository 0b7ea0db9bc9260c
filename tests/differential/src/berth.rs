//! The builder under test, as a user calls it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use fs_err as fs;

use crate::bases::Bases;
use crate::buildah::run;
use crate::case::Case;
use crate::image::Image;

/// Steps may reach whatever this machine does, as buildah's do: package registries may be private.
const EVERYWHERE: &str = "0.0.0.0/0";

/// Builds a case and reads the image.
pub(crate) fn build(case: &Case, arguments: &[String]) -> Image {
    let name = format!("differential.test/{}:{}", case.name, std::process::id());
    let mut build = berth();
    // The home may be older than the base images, which are made anew with each clone.
    build.args(["build", "--no-cache", "--pull", "--progress=plain", "--tag", &name]);
    build.arg("--file").arg(case.dockerfile()).args(arguments).arg(case.path("context"));
    run(&mut build, &format!("berth cannot build {}", case.name));

    let (archive, layout) = (case.path(".berth.tar"), case.path(".berth"));
    let mut export = berth();
    export.args(["images", "export", "--format=oci", &name, "--output"]).arg(&archive);
    run(&mut export, "berth cannot export the image");
    run(berth().args(["images", "rm", &name]), "berth cannot remove the image");
    fs::create_dir(&layout).expect("make a folder for the image");
    let mut tar = Command::new("tar");
    run(tar.arg("-xf").arg(archive).arg("-C").arg(&layout), "the export is no archive");
    Image::of_oci_layout(&layout)
}

/// `berth` with the corpus's home and base images.
fn berth() -> Command {
    let mut command = Command::new(e2e::berth_binary());
    let mirrors = format!("docker.io={}", Bases::get().registry());
    command.env("BERTH_HOME", home()).env("BERTH_REGISTRY_MIRRORS", mirrors);
    command.env("BERTH_EGRESS_ALLOW", EVERYWHERE).stdin(Stdio::null());
    command
}

/// Not that of the end-to-end tests: images of one name are others here. What the last run's builds
/// left in the cache, which none takes anything from, goes.
fn home() -> &'static Path {
    static HOME: OnceLock<PathBuf> = OnceLock::new();
    HOME.get_or_init(|| {
        let home = e2e::berth_home("differential-home");
        let mut prune = Command::new(e2e::berth_binary());
        prune.args(["images", "prune", "--force", "--build-cache", "--grace=0s"]);
        run(prune.env("BERTH_HOME", &home), "berth cannot prune its images");
        home
    })
}
