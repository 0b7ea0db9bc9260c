//! The images of the containers: built here, and pushed to the platform's registry.

use std::collections::BTreeMap;

use ::project::config::Config;
use image::{Image, Reference};
use model::{Application, ApplicationImages, ImageSource};
use tokio_util::sync::CancellationToken;

use super::registry::PlatformRegistry;
use crate::api::{Client, Target};
use crate::args::Mirrors;
use crate::commands::build::{open_store, workplace::Workplace};
use crate::commands::doctor::{self, Needs};
use crate::dev::containers::egress_allow;
use crate::dev::images::{Images, Made};
use crate::dev::progress::ImageProgress;
use crate::dev::run_step::SandboxRunStep;
use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// Digits of a digest that make a tag: what was built alike is called alike.
const TAG: usize = 12;

/// What is built of a project, by the names of the applications; those that name an image of a
/// registry are not here.
#[derive(Debug, Default)]
pub(crate) struct Built(BTreeMap<String, Image>);

/// Builds every image that has a Dockerfile, all at once; `build_args` go before those of the
/// configuration.
pub(crate) async fn build(
    config: &Config,
    mirrors: &Mirrors,
    build_args: &[(String, String)],
    stop: &CancellationToken,
    printer: &Printer,
) -> Result<Built, CliError> {
    let all = config.containers.iter().map(|container| &container.application);
    let applications: Vec<Application> = all.filter(|it| is_built(it)).cloned().collect();
    if applications.is_empty() {
        return Ok(Built::default());
    }
    doctor::require(Needs::Containers)?;
    let workplace = Workplace::open(printer).await?;
    let by_host = mirrors.by_host();
    let mut mirrors = config.berth.registry_mirrors.clone();
    mirrors.extend(by_host);
    let images = open_store().map(|store| Images {
        store,
        run: SandboxRunStep {
            runtime: workplace.runtime(),
            allow: egress_allow(config),
            handle: tokio::runtime::Handle::current(),
        },
        mirrors,
        build_args: build_args.to_vec(),
        printer: printer.clone(),
    });
    let made = match images {
        Ok(images) => images.make(&applications, stop).await,
        Err(error) => Err(error),
    };
    // Also after a failure: nothing of a step may stay.
    workplace.close().await;
    let named = |(application, Made { image, .. }): (Application, Made)| {
        image.map(|image| (application.name, image))
    };
    Ok(Built(applications.into_iter().zip(made?).filter_map(named).collect()))
}

/// Whether a container's image has a Dockerfile.
pub(crate) fn any_is_built(config: &Config) -> bool {
    config.containers.iter().any(|container| is_built(&container.application))
}

/// The images that the configuration names, by the names of their applications.
pub(crate) fn named(config: &Config) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for container in &config.containers {
        if let ApplicationImages::One(ImageSource::Reference(name)) = &container.application.images
        {
            names.insert(container.application.name.clone(), name.clone());
        }
    }
    names
}

fn is_built(application: &Application) -> bool {
    matches!(application.images, ApplicationImages::One(ImageSource::Dockerfile { .. }))
}

/// Pushes what was built. For each application the name of its image, by its digest.
pub(crate) async fn push(
    client: &Client,
    target: &Target,
    config: &Config,
    built: &Built,
    stop: &CancellationToken,
    printer: &Printer,
) -> Result<BTreeMap<String, String>, CliError> {
    let mut names = named(config);
    if built.0.is_empty() {
        return Ok(names);
    }
    let registry = PlatformRegistry::open(client, target, &["pull", "push"]).await?;
    let store = open_store()?;
    for (application, image) in &built.0 {
        let repository = registry.repository(application);
        let tag = image.digest.hex().get(..TAG).unwrap_or_default().to_owned();
        let reference: Reference = format!("{repository}:{tag}").parse().map_err(|error| {
            CliError::attempt(Kind::Config, "make a name for an image of a container", error)
        })?;
        let progress = ImageProgress::new(printer, application, stop.clone());
        let digest = registry.push(&store, reference, image.digest.clone(), progress).await?;
        printer.success(format_args!("Pushed the image of {application}"));
        names.insert(application.clone(), format!("{repository}@{digest}"));
    }
    Ok(names)
}
