//! `berth versions upload`: a project's code and static files as a version that does not serve yet.

use ::project::config::Config;
use model::ApplicationImages;

use super::made;
use crate::args::{ProjectPlace, UploadArgs, WorkerPlace};
use crate::deploy::metadata::Given;
use crate::deploy::script::Then;
use crate::deploy::version::{Platform, Ready};
use crate::deploy::{applications, images, migrations, project};
use crate::dev::signals::stop_token;
use crate::error::{CliError, Kind};
use crate::printer::Printer;

pub(super) async fn run(
    worker: &WorkerPlace,
    args: &UploadArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    let WorkerPlace { config, env, name } = worker.clone();
    let place = ProjectPlace { project: args.project.clone(), config, env };
    let mut config = project::read(&place, &args.version, printer)?;
    config.name = name.unwrap_or(config.name);
    project::check_waits(&config)?;
    let stop = stop_token()?;
    let options = &args.version;
    let prepared = Box::pin(async {
        let platform = Platform::open(&config, options.dry_run).await?;
        if let Some(platform) = &platform {
            check(platform, &config)?;
        }
        Ok::<_, CliError>((platform, Ready::make(config, printer).await?))
    });
    let (platform, ready) =
        stop.run_until_cancelled(prepared).await.ok_or_else(CliError::interrupted)??;
    let choosing = choosing(&ready.config);
    // It ends by itself when it is interrupted, and cleans up.
    let built = images::build(&choosing, &options.builds, &stop, printer).await?;
    ready.tell(printer);
    if choosing.containers.len() < ready.config.containers.len() {
        printer.warning(
            "the containers stay as they are: what has changed of them comes with `berth deploy`",
        );
    }
    let Some(platform) = platform else {
        printer.info("This was a dry run: nothing is uploaded");
        return Ok(());
    };
    let uploading = async {
        let Platform { target, client, .. } = &platform;
        let images = images::push(client, target, &choosing, &built, &stop, printer).await?;
        let given = Given {
            choices: images.choices,
            berth: applications::switch(&ready.config, &images.whole),
            annotations: options.notes.annotations(),
            ..Given::default()
        };
        ready.upload(client, given, Then::Waits, printer).await
    };
    let uploaded =
        stop.run_until_cancelled(uploading).await.ok_or_else(CliError::interrupted)??;
    printer.data(format_args!("Worker Startup Time: {} ms", uploaded.startup_ms));
    made(&uploaded.version, printer);
    Ok(())
}

/// The project with those containers alone whose objects choose their images: these belong to the
/// version.
fn choosing(config: &Config) -> Config {
    let mut config = config.clone();
    let chooses = |images: &ApplicationImages| matches!(images, ApplicationImages::Named(_));
    config.containers.retain(|container| chooses(&container.application.images));
    config
}

/// Refuses what the platform would refuse once all is built.
fn check(platform: &Platform, config: &Config) -> Result<(), CliError> {
    let known = platform.known.as_ref().ok_or_else(|| {
        let text = format!("there is no Worker \"{}\" at {}", config.name, platform.target.url);
        CliError::new(Kind::Failure, text).hint("`berth deploy` makes it")
    })?;
    migrations::refuse_open(&config.deploy.migrations, known.migration_tag.as_deref())
}
