//! `berth containers build` and `push`: images that go to a platform's registry.

use std::path::Path;

use image::{Digest, Found, ImageStore, Reference};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::api::{Client, Target};
use crate::args::{BuildArgs, ContainersBuildArgs, ContainersPushArgs, ProgressKind};
use crate::commands::build;
use crate::deploy::registry::PlatformRegistry;
use crate::dev::progress::ImageProgress;
use crate::dev::signals;
use crate::error::{CliError, Kind};
use crate::printer::Printer;

pub(super) async fn build(args: ContainersBuildArgs, printer: &Printer) -> Result<(), CliError> {
    let ContainersBuildArgs { build, push, env, .. } = args;
    if !push {
        return build::run(build, printer).await;
    }
    let names = names(&build)?;
    // Who may not push, or not by these names, learns it before anything is built.
    let registry = open(env.as_deref()).await?;
    for name in &names {
        registry.own_name(name)?;
    }
    let as_json = build.progress == ProgressKind::Json;
    build::run(build, printer).await?;
    let stop = signals::stop_token()?;
    for name in &names {
        let (own, digest) = push_one(&registry, name, &stop, printer).await?;
        match as_json {
            true => printer.data(json!({ "event": "push", "name": own, "digest": digest })),
            false => printer.data(format_args!("{own}@{digest}")),
        }
    }
    Ok(())
}

pub(super) async fn push(args: &ContainersPushArgs, printer: &Printer) -> Result<(), CliError> {
    let registry = open(args.env.as_deref()).await?;
    let stop = signals::stop_token()?;
    let (own, digest) = push_one(&registry, &args.name, &stop, printer).await?;
    printer.data(format_args!("{own}@{digest}"));
    Ok(())
}

async fn open(env: Option<&str>) -> Result<PlatformRegistry, CliError> {
    let target = Target::find(Path::new("."), env)?;
    let client = Client::open(&target).await?;
    PlatformRegistry::open(&client, &target, &["pull", "push"]).await
}

fn names(build: &BuildArgs) -> Result<Vec<Reference>, CliError> {
    let parse = |text: &String| {
        let name = text.parse::<Reference>();
        name.map_err(|error| CliError::attempt(Kind::Usage, "read an image name", error))
    };
    build.tags.iter().map(parse).collect()
}

/// Pushes the image of that name here. Returns its name in the registry, and its digest there.
async fn push_one(
    registry: &PlatformRegistry,
    name: &Reference,
    stop: &CancellationToken,
    printer: &Printer,
) -> Result<(Reference, Digest), CliError> {
    let own = registry.own_name(name)?;
    let store = build::open_store()?;
    let (looked_in, looked_for) = (store.clone(), name.clone());
    let found = tokio::task::spawn_blocking(move || find(&looked_in, &looked_for)).await;
    let image = found.map_err(|error| CliError::failure("look for the image", error))??;
    let progress = ImageProgress::new(printer, &name.familiar(), stop.clone());
    let digest = registry.push(&store, own.clone(), image, progress).await?;
    printer.success(format_args!("Pushed {}", name.familiar()));
    Ok((own, digest))
}

fn find(store: &ImageStore, name: &Reference) -> Result<Digest, CliError> {
    let found = store
        .find(&name.to_string())
        .map_err(|error| CliError::failure("look for the image", error))?;
    match found {
        Found::Image(image, Some(_)) => Ok(image.digest),
        // A beginning of an id is no name that it could have elsewhere.
        Found::Image(_, None) | Found::Several(_) | Found::Nothing => {
            let text = format!("there is no image {} here", name.familiar());
            Err(CliError::new(Kind::Failure, text)
                .hint("`berth images ls` shows what is here; `berth containers build` makes one"))
        }
    }
}
