//! `berth build`: an image from a Dockerfile, in sandboxes of its own.

mod other;
mod progress;
mod request;
mod steps;
pub(crate) mod workplace;

use std::sync::Arc;

use fs_err as fs;
use image::{BuildError, Image, ImageStore, Progress};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::args::{BuildArgs, ImageBuilder, ProgressKind};
use crate::commands::doctor::{self, Needs};
use crate::dev::signals;
use crate::error::{CliError, Kind};
use crate::paths;
use crate::printer::Printer;
use progress::{JsonProgress, PlainProgress, TtyProgress};
use steps::Steps;

pub(crate) async fn run(args: BuildArgs, printer: &Printer) -> Result<(), CliError> {
    if args.builder != ImageBuilder::Berth {
        return other::build(&args, printer).await;
    }
    let request = request::request(&args)?;
    let allow = request::egress_allow(&args)?;
    doctor::require(Needs::Containers)?;
    let stop = signals::stop_token()?;
    let store = open_store()?;
    let steps = Arc::new(Steps::new(allow, printer));
    let progress = progress(&args, printer, stop);
    let (tags, to_build, run) = (request.tags.clone(), store.clone(), Arc::clone(&steps));
    let built = tokio::task::spawn_blocking(move || to_build.build(&request, &*run, &*progress));
    let built = built.await;
    // Also after a failure: nothing of a step may stay.
    steps.close().await;
    let built = built.map_err(|error| CliError::failure("build the image", error))?;
    let image = built.map_err(failed)?;
    let names: Vec<String> = tags.iter().map(ToString::to_string).collect();
    tell(&args, &store, &image, &names, printer)
}

pub(crate) fn open_store() -> Result<ImageStore, CliError> {
    ImageStore::open(paths::Shared::under(&paths::home()).images)
        .map_err(|error| CliError::failure("open the image store", error))
}

fn progress(args: &BuildArgs, printer: &Printer, stop: CancellationToken) -> Box<dyn Progress> {
    match args.progress {
        ProgressKind::Json => Box::new(JsonProgress::new(printer, stop)),
        ProgressKind::Plain => Box::new(PlainProgress::new(printer, stop)),
        ProgressKind::Auto if !printer.draws_bars() => Box::new(PlainProgress::new(printer, stop)),
        ProgressKind::Auto | ProgressKind::Tty => Box::new(TtyProgress::new(printer, stop)),
    }
}

fn failed(error: BuildError) -> CliError {
    if error.is_cancelled() {
        return CliError::interrupted();
    }
    let hint = error.hint();
    let error = CliError::attempt(Kind::Build, "build the image", error);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Says what was made, on the terminal and in the files that were asked for.
fn tell(
    args: &BuildArgs,
    store: &ImageStore,
    image: &Image,
    names: &[String],
    printer: &Printer,
) -> Result<(), CliError> {
    let digest = image.digest.as_str();
    if let Some(file) = &args.iidfile {
        fs::write(file, digest)
            .map_err(|error| CliError::failure("write the image's digest", error))?;
    }
    let config = store
        .config_digest(&image.digest)
        .map_err(|error| CliError::failure("read the image's manifest", error))?;
    let metadata = json!({
        "containerimage.digest": digest,
        "containerimage.config.digest": config,
        "image.name": names.join(","),
    });
    if let Some(file) = &args.metadata_file {
        let text = format!("{metadata:#}\n");
        fs::write(file, text)
            .map_err(|error| CliError::failure("write the image's metadata", error))?;
    }
    if args.progress == ProgressKind::Json {
        let event = json!({ "event": "image", "digest": digest, "names": names });
        printer.data(event);
        return Ok(());
    }
    if printer.is_quiet() {
        printer.data(digest);
        return Ok(());
    }
    match names {
        [] => printer.success(format_args!("built {digest}")),
        names => printer.success(format_args!("built {} ({digest})", names.join(", "))),
    }
    Ok(())
}
