//! The images of the containers: built here, and pushed to the platform's registry.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ::project::config::Config;
use image::{Image, Reference};
use model::{Application, ApplicationImages, ImageSource};
use tokio_util::sync::CancellationToken;

use super::choices::{self, Choices};
use super::registry::PlatformRegistry;
use crate::api::{Client, Target};
use crate::args::Builds;
use crate::commands::build::{open_store, workplace::Workplace};
use crate::commands::doctor::{self, Needs};
use crate::dev::containers::egress_allow;
use crate::dev::images::{Images, Made, choice_name};
use crate::dev::progress::ImageProgress;
use crate::dev::run_step::SandboxRunStep;
use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// Digits of a digest that make a tag: what was built alike is called alike.
const TAG: usize = 12;

/// What is built of a project; what a registry has already is not here.
#[derive(Debug, Default)]
pub(crate) struct Built(Vec<BuiltImage>);

#[derive(Debug)]
struct BuiltImage {
    application: String,
    class: String,
    /// The name by which objects choose it; `None`: it is that of all.
    choice: Option<String>,
    image: Image,
}

impl BuiltImage {
    fn repository(&self, worker: &str) -> String {
        match &self.choice {
            None => self.application.clone(),
            Some(name) => choices::repository(worker, &self.class, name),
        }
    }
}

impl fmt::Display for BuiltImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.choice {
            None => f.write_str(&self.application),
            Some(name) => write!(f, "{} {name}", self.application),
        }
    }
}

/// What images are called in registries.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Those of all containers of an application, by its name.
    pub(crate) whole: BTreeMap<String, String>,
    /// Those that objects choose from.
    pub(crate) choices: Choices,
}

impl Names {
    fn insert(&mut self, application: &str, choice: Option<&str>, name: String) {
        match choice {
            None => drop(self.whole.insert(application.to_owned(), name)),
            Some(choice) => {
                let choices = self.choices.entry(application.to_owned()).or_default();
                choices.insert(choice.to_owned(), name);
            }
        }
    }
}

/// Builds every image that has a Dockerfile, all at once; `build_args` go before those of the
/// configuration.
pub(crate) async fn build(
    config: &Config,
    builds: &Builds,
    stop: &CancellationToken,
    printer: &Printer,
) -> Result<Built, CliError> {
    let all = config.containers.iter();
    let applications: Vec<Application> =
        all.filter_map(|container| to_build(&container.application)).collect();
    if applications.is_empty() {
        return Ok(Built::default());
    }
    doctor::require(Needs::Containers)?;
    let workplace = Workplace::open(printer).await?;
    let mut mirrors = config.berth.registry_mirrors.clone();
    mirrors.extend(builds.mirrors.by_host());
    let images = open_store().map(|store| Images {
        store,
        run: SandboxRunStep {
            runtime: workplace.runtime(),
            allow: egress_allow(config),
            handle: tokio::runtime::Handle::current(),
        },
        mirrors,
        build_args: builds.build_args.clone(),
        printer: printer.clone(),
    });
    let made = match images {
        Ok(images) => images.make(&applications, stop).await,
        Err(error) => Err(error),
    };
    // Also after a failure: nothing of a step may stay.
    workplace.close().await;
    let all = applications.iter().zip(made?);
    Ok(Built(all.flat_map(|(application, made)| images_of(application, made)).collect()))
}

fn images_of(application: &Application, mut made: Made) -> Vec<BuiltImage> {
    let mut all = Vec::new();
    for (choice, _) in sources(application) {
        let image = match choice {
            None => made.image.take(),
            Some(name) => made.choices.remove(&choice_name(application, name)),
        };
        all.extend(image.map(|image| BuiltImage {
            application: application.name.clone(),
            class: application.class_name.clone(),
            choice: choice.map(str::to_owned),
            image,
        }));
    }
    all
}

/// Where its images come from, each with the name by which objects choose it; that of all has none.
fn sources(application: &Application) -> Vec<(Option<&str>, &ImageSource)> {
    match &application.images {
        ApplicationImages::One(source) => vec![(None, source)],
        ApplicationImages::Named(all) => {
            all.iter().map(|(name, source)| (Some(name.as_str()), source)).collect()
        }
    }
}

fn is_built(source: &ImageSource) -> bool {
    matches!(source, ImageSource::Dockerfile { .. })
}

/// An application with those of its images alone that have a Dockerfile, if there are any.
fn to_build(application: &Application) -> Option<Application> {
    let mut application = application.clone();
    if let ApplicationImages::Named(all) = &mut application.images {
        all.retain(|_, source| is_built(source));
    }
    let any_is_built = sources(&application).iter().any(|(_, source)| is_built(source));
    any_is_built.then_some(application)
}

/// The names of the applications of which an image has a Dockerfile.
pub(crate) fn built_applications(config: &Config) -> BTreeSet<String> {
    let all = config.containers.iter();
    let built = all.filter_map(|container| to_build(&container.application));
    built.map(|application| application.name).collect()
}

/// The images that the configuration names.
pub(crate) fn named(config: &Config) -> Names {
    let mut names = Names::default();
    for container in &config.containers {
        let application = &container.application;
        for (choice, source) in sources(application) {
            if let ImageSource::Reference(name) = source {
                names.insert(&application.name, choice, name.clone());
            }
        }
    }
    names
}

/// What a version's images are called whose containers are left alone: objects choose from those that
/// they have, as a version without them has none.
pub(crate) async fn kept(client: &Client, config: &Config) -> Result<Names, CliError> {
    Ok(Names { choices: choices::kept(client, config).await?, ..Names::default() })
}

/// Pushes what was built, and lets the platform get what objects choose from. What is pushed is named by
/// its digest.
pub(crate) async fn push(
    client: &Client,
    target: &Target,
    config: &Config,
    built: &Built,
    stop: &CancellationToken,
    printer: &Printer,
) -> Result<Names, CliError> {
    let mut names = named(config);
    if !built.0.is_empty() {
        let registry = PlatformRegistry::open(client, target, &["pull", "push"]).await?;
        push_to(&registry, config, built, &mut names, stop, printer).await?;
    }
    choices::prepare(client, &names.choices, printer).await?;
    Ok(names)
}

async fn push_to(
    registry: &PlatformRegistry,
    config: &Config,
    built: &Built,
    names: &mut Names,
    stop: &CancellationToken,
    printer: &Printer,
) -> Result<(), CliError> {
    let store = open_store()?;
    for one in &built.0 {
        let repository = registry.repository(&one.repository(&config.name));
        let digest = &one.image.digest;
        let tag = digest.hex().get(..TAG).unwrap_or_default().to_owned();
        let reference: Reference = format!("{repository}:{tag}").parse().map_err(|error| {
            CliError::attempt(Kind::Config, "make a name for an image of a container", error)
        })?;
        let progress = ImageProgress::new(printer, &one.to_string(), stop.clone());
        let digest = registry.push(&store, reference, digest.clone(), progress).await?;
        printer.success(format_args!("Pushed the image of {one}"));
        let name = format!("{repository}@{digest}");
        names.insert(&one.application, one.choice.as_deref(), name);
    }
    Ok(())
}
