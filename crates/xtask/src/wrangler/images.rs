//! Images without a Worker: built, pushed, listed, deleted.

use anyhow::{Result, ensure};

use super::Scene;
use super::stage::Stage;

pub(super) const NAME: &str = "images";

pub(super) const SCENE: Scene = Scene {
    name: NAME,
    commands: &[
        "containers build",
        "containers push",
        "containers images list",
        "containers images delete",
    ],
    run,
};

fn run(stage: &mut Stage) -> Result<()> {
    stage.project.write("image/Dockerfile", "FROM busybox\nRUN echo built > /how\n");
    let _ = stage.succeeds(&["containers", "build", "image", "-t", "other:two"], &[]);
    stage.succeeds(&["containers", "build", "image", "-t", "app:one", "-p"], &[])?;
    let docker = e2e::berth_docker_binary();
    // `push` of 4.86.0 heeds no variable.
    let path = ["--path-to-docker", &docker.to_string_lossy()];
    let more = if stage.is_newest() { &[][..] } else { &path[..] };
    let _ = stage.succeeds(&[&["containers", "push", "other:two"], more].concat(), &[]);
    // What is filtered are names with their account.
    let filtered = ["containers", "images", "list", "--filter", "/app$", "--json"];
    let listed = stage.succeeds(&filtered, &["app", "one"])?;
    stage.then("the filter holds", |_| {
        ensure!(!listed.contains("other"), "{listed}");
        Ok(())
    })?;
    // 4.86.0 does not ask.
    let yes = if stage.is_newest() { &["-y"][..] } else { &[] };
    let delete = [&["containers", "images", "delete", "app:one"], yes].concat();
    let _ = stage.succeeds(&delete, &[]);
    let listed = stage.succeeds(&["containers", "images", "list"], &["other", "two"])?;
    stage.then("the image is gone", |_| {
        ensure!(!listed.contains("app"), "{listed}");
        Ok(())
    })
}
