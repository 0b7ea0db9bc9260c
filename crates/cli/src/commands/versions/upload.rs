//! `berth versions upload`: a project's code and static files as a version that does not serve yet.

use std::collections::BTreeMap;

use ::project::config::Config;

use super::made;
use crate::args::{ProjectPlace, UploadArgs, VersionOptions, WorkerPlace};
use crate::deploy::metadata::Given;
use crate::deploy::script::Then;
use crate::deploy::version::{Platform, Ready};
use crate::deploy::{applications, migrations, project};
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
    let uploading = Box::pin(upload(config, &args.version, printer));
    stop_token()?.run_until_cancelled(uploading).await.ok_or_else(CliError::interrupted)?
}

async fn upload(
    config: Config,
    options: &VersionOptions,
    printer: &Printer,
) -> Result<(), CliError> {
    let platform = Platform::open(&config, options.dry_run).await?;
    if let Some(platform) = &platform {
        check(platform, &config)?;
    }
    let ready = Ready::make(config, printer).await?;
    ready.tell(printer);
    if !ready.config.containers.is_empty() {
        printer.warning(
            "the containers stay as they are: what has changed of them comes with `berth deploy`",
        );
    }
    let Some(platform) = platform else {
        printer.info("This was a dry run: nothing is uploaded");
        return Ok(());
    };
    let given = Given {
        berth: applications::switch(&ready.config, &BTreeMap::new()),
        annotations: options.notes.annotations(),
        ..Given::default()
    };
    let uploaded = ready.upload(&platform.client, given, Then::Waits, printer).await?;
    printer.data(format_args!("Worker Startup Time: {} ms", uploaded.startup_ms));
    made(&uploaded.version, printer);
    Ok(())
}

/// Refuses what the platform would refuse once all is built.
fn check(platform: &Platform, config: &Config) -> Result<(), CliError> {
    let known = platform.known.as_ref().ok_or_else(|| {
        let text = format!("there is no Worker \"{}\" at {}", config.name, platform.target.url);
        CliError::new(Kind::Failure, text).hint("`berth deploy` makes it")
    })?;
    migrations::refuse_open(&config.deploy.migrations, known.migration_tag.as_deref())
}
