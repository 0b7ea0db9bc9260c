//! `berth images`: one file for each command, and what they share.

mod df;
mod export;
mod filter;
mod history;
mod import;
mod inspect;
mod ls;
mod prune;
mod pull;
mod push;
mod rm;
mod tag;

use image::{Found, ImageStore, ImageSummary, Reference, StoreError};
use tokio_util::sync::CancellationToken;

use crate::args::ImagesCommand;
use crate::dev::progress::ImageProgress;
use crate::dev::signals;
use crate::error::{CliError, Kind};
use crate::paths;
use crate::printer::Printer;

/// Where a command works, and how it speaks.
struct Context {
    store: ImageStore,
    printer: Printer,
    stop: CancellationToken,
}

pub(crate) async fn run(command: ImagesCommand, printer: &Printer) -> Result<(), CliError> {
    let (printer, stop) = (printer.clone(), signals::stop_token()?);
    let work = move || {
        let store = ImageStore::open(paths::Shared::under(&paths::home()).images)
            .map_err(|error| store_failed("open the image store", error))?;
        execute(command, &Context { store, printer, stop })
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(CliError::failure("run the command", error)),
    }
}

fn execute(command: ImagesCommand, context: &Context) -> Result<(), CliError> {
    match command {
        ImagesCommand::Ls(args) => ls::run(&args, context),
        ImagesCommand::Inspect(args) => inspect::run(&args, context),
        ImagesCommand::Rm(args) => rm::run(&args, context),
        ImagesCommand::Prune(args) => prune::run(&args, context),
        ImagesCommand::Pull(args) => pull::run(&args, context),
        ImagesCommand::Push(args) => push::run(&args, context),
        ImagesCommand::Tag(args) => tag::run(&args, context),
        ImagesCommand::Import(args) => import::run(&args, context),
        ImagesCommand::Export(args) => export::run(&args, context),
        ImagesCommand::History(args) => history::run(&args, context),
        ImagesCommand::Df(args) => df::run(&args, context),
    }
}

impl Context {
    /// The image a person means, and the name by which, if it was one.
    fn find(&self, text: &str) -> Result<(ImageSummary, Option<Reference>), CliError> {
        match self.store.find(text).map_err(|e| store_failed("look for the image", e))? {
            Found::Image(image, reference) => Ok((*image, reference)),
            Found::Several(count) => {
                let text = format!("{count} images have an id that begins with \"{text}\"");
                Err(CliError::new(Kind::Usage, text).hint("give more of it"))
            }
            Found::Nothing => Err(CliError::new(Kind::Failure, format!("no such image: {text}"))
                .hint("`berth images ls` shows what is here")),
        }
    }

    fn progress(&self, name: &str) -> ImageProgress {
        ImageProgress::new(&self.printer, name, self.stop.clone())
    }

    fn all(&self) -> Result<Vec<ImageSummary>, CliError> {
        self.store.list().map_err(|error| store_failed("list the images", error))
    }
}

fn store_failed(attempt: &str, error: StoreError) -> CliError {
    let (hint, cancelled) = (error.hint(), error.is_cancelled());
    failed(attempt, error, hint, cancelled)
}

/// An error of the image room as a person reads it.
fn failed(
    attempt: &str,
    error: impl std::error::Error,
    hint: Option<String>,
    cancelled: bool,
) -> CliError {
    if cancelled {
        return CliError::interrupted();
    }
    let error = CliError::failure(attempt, error);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
