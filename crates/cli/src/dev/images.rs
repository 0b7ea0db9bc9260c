//! The images of a project's containers: built from their Dockerfiles or pulled, all at once.

use std::collections::BTreeMap;

use image::{
    BuildError, BuildRequest, Digest, Image, ImageStore, PullError, PullOptions, Reference,
};
use model::{Application, ApplicationImages, ImageSource};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::progress::ImageProgress;
use super::run_step::SandboxRunStep;
use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// What making images needs, beside the applications.
#[derive(Debug, Clone)]
pub(crate) struct Images {
    pub(crate) store: ImageStore,
    pub(crate) run: SandboxRunStep,
    pub(crate) mirrors: BTreeMap<String, String>,
    /// `--build-arg`: over what the configuration says.
    pub(crate) build_args: Vec<(String, String)>,
    pub(crate) printer: Printer,
}

/// The images of one application.
#[derive(Debug, Clone, Default)]
pub(crate) struct Made {
    /// That of all its containers.
    pub(crate) image: Option<Image>,
    /// Those its objects choose from, by [`choice_name`].
    pub(crate) choices: BTreeMap<String, Image>,
}

/// One image that is to be made.
struct Wanted {
    source: ImageSource,
    /// The name by which a start chooses it; `None`: it is that of all.
    choice: Option<String>,
    /// What its lines begin with.
    label: String,
    /// What it is called in the store when it is built.
    tag: String,
}

/// The name by which workerd asks for one of several images, and what it is called in the store when it
/// is built. Its name in the configuration is any text; an image's is not, and workerd insists.
pub(crate) fn choice_name(application: &Application, name: &str) -> String {
    let plain = format!("berth.local/{}/{name}:dev", application.name);
    if plain.parse::<Reference>().is_ok() {
        return plain;
    }
    let digest = Digest::of(plain.as_bytes());
    format!("berth.local/named/{}:dev", &digest.hex()[..16])
}

fn wanted(application: &Application) -> Vec<Wanted> {
    match &application.images {
        ApplicationImages::One(source) => vec![Wanted {
            source: source.clone(),
            choice: None,
            label: application.name.clone(),
            tag: format!("berth.local/{}:dev", application.name),
        }],
        ApplicationImages::Named(sources) => {
            let one = |(name, source): (&String, &ImageSource)| Wanted {
                source: source.clone(),
                choice: Some(choice_name(application, name)),
                label: format!("{} {name}", application.name),
                tag: choice_name(application, name),
            };
            sources.iter().map(one).collect()
        }
    }
}

impl Images {
    /// The images of each application, in their order; the first error ends the others.
    pub(crate) async fn make(
        &self,
        applications: &[Application],
        cancel: &CancellationToken,
    ) -> Result<Vec<Made>, CliError> {
        // Ends the others when one fails or the caller goes away; blocking threads look at it.
        let cancel = cancel.child_token();
        let _guard = cancel.clone().drop_guard();
        let mut tasks = JoinSet::new();
        for (index, application) in applications.iter().enumerate() {
            for wanted in wanted(application) {
                let (images, cancel) = (self.clone(), cancel.clone());
                tasks.spawn_blocking(move || {
                    let image = images.make_one(&wanted, cancel);
                    (index, wanted.choice, image)
                });
            }
        }
        let mut made = vec![Made::default(); applications.len()];
        while let Some(joined) = tasks.join_next().await {
            let (index, choice, image) =
                joined.map_err(|error| CliError::failure("make an image", error))?;
            match choice {
                None => made[index].image = Some(image?),
                Some(name) => drop(made[index].choices.insert(name, image?)),
            }
        }
        Ok(made)
    }

    /// Makes an image, which nobody prunes for as long as this process may start an instance of it.
    fn make_one(&self, wanted: &Wanted, cancel: CancellationToken) -> Result<Image, CliError> {
        let image = self.build_or_pull(wanted, cancel)?;
        let leased = self.store.lease(&image.digest);
        leased.map_err(|error| CliError::failure("keep the image", error))?;
        Ok(image)
    }

    fn build_or_pull(&self, wanted: &Wanted, cancel: CancellationToken) -> Result<Image, CliError> {
        let progress = ImageProgress::new(&self.printer, &wanted.label, cancel);
        match &wanted.source {
            ImageSource::Dockerfile { path, context, build_args } => {
                let mut request = BuildRequest::new(path, context);
                request.build_args.clone_from(build_args);
                request.build_args.extend(self.build_args.iter().cloned());
                request.pull = self.pull_options();
                request.tags.extend(wanted.tag.parse());
                self.store
                    .build(&request, &self.run, &progress)
                    .map_err(|error| build_failed(&wanted.label, error))
            }
            ImageSource::Reference(text) => {
                let reference: Reference = text.parse().map_err(|error| {
                    CliError::attempt(Kind::Config, "read an image name", error)
                })?;
                self.pull(&reference, &progress)
            }
        }
    }

    /// Pulls; an image that is here already serves when its registry cannot be reached.
    fn pull(&self, reference: &Reference, progress: &ImageProgress) -> Result<Image, CliError> {
        let error = match self.store.pull(reference, &self.pull_options(), progress) {
            Ok(image) => return Ok(image),
            Err(PullError::Cancelled { .. }) => return Err(CliError::interrupted()),
            Err(error) => error,
        };
        match self.store.image(reference) {
            Ok(Some(image)) => {
                self.printer.warning(format_args!(
                    "using the local copy of {reference}, as it could not be pulled: {error}"
                ));
                Ok(image)
            }
            _ => {
                let hint = error.hint();
                Err(with_hint(CliError::attempt(Kind::Build, "pull an image", error), hint))
            }
        }
    }

    fn pull_options(&self) -> PullOptions {
        PullOptions { mirrors: self.mirrors.clone(), ..PullOptions::default() }
    }
}

fn build_failed(name: &str, error: BuildError) -> CliError {
    if matches!(error, BuildError::Cancelled) {
        return CliError::interrupted();
    }
    let hint = error.hint();
    with_hint(CliError::attempt(Kind::Build, &format!("build the image of {name}"), error), hint)
}

fn with_hint(error: CliError, hint: Option<String>) -> CliError {
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
