//! The images of a project's containers: built from their Dockerfiles or pulled, all at once.

use std::collections::BTreeMap;

use image::{BuildError, BuildRequest, Image, ImageStore, PullError, PullOptions, Reference};
use model::{Application, ImageSource};
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

impl Images {
    /// The image of each application, in their order; the first error ends the others.
    pub(crate) async fn make(
        &self,
        applications: &[Application],
        cancel: &CancellationToken,
    ) -> Result<Vec<Image>, CliError> {
        // Ends the others when one fails or the caller goes away; blocking threads look at it.
        let cancel = cancel.child_token();
        let _guard = cancel.clone().drop_guard();
        let mut tasks = JoinSet::new();
        for (index, application) in applications.iter().cloned().enumerate() {
            let (images, cancel) = (self.clone(), cancel.clone());
            tasks.spawn_blocking(move || (index, images.make_one(&application, cancel)));
        }
        let mut made = BTreeMap::new();
        while let Some(joined) = tasks.join_next().await {
            let (index, result) =
                joined.map_err(|error| CliError::failure("make an image", error))?;
            made.insert(index, result?);
        }
        Ok(made.into_values().collect())
    }

    fn make_one(
        &self,
        application: &Application,
        cancel: CancellationToken,
    ) -> Result<Image, CliError> {
        let progress = ImageProgress::new(&self.printer, &application.name, cancel);
        match &application.image {
            ImageSource::Dockerfile { path, context, build_args } => {
                let mut request = BuildRequest::new(path, context);
                request.build_args.clone_from(build_args);
                request.build_args.extend(self.build_args.iter().cloned());
                request.pull = self.pull_options();
                request.tag = format!("berth.local/{}:dev", application.name).parse().ok();
                self.store
                    .build(&request, &self.run, &progress)
                    .map_err(|error| build_failed(&application.name, error))
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
