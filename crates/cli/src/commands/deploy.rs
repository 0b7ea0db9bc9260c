//! `berth deploy`: a project's Worker and containers to a platform, with no Node in wrangler's place.

use ::project::config::Config;
use tokio_util::sync::CancellationToken;

use crate::args::{ContainersRollout, DeployArgs};
use crate::deploy::images::{self, Built};
use crate::deploy::metadata::Given;
use crate::deploy::script::{Then, Uploaded};
use crate::deploy::version::{Platform, Ready};
use crate::deploy::{applications, migrations, project, triggers};
use crate::dev::signals;
use crate::error::CliError;
use crate::printer::{Printer, style, styled};

pub(crate) async fn run(args: DeployArgs, printer: &Printer) -> Result<(), CliError> {
    let config = project::read(&args.place, &args.version, printer)?;
    project::check_switch(&config, args.containers_rollout)?;
    let stop = signals::stop_token()?;
    let made = Box::pin(async {
        let platform = Platform::open(&config, args.version.dry_run).await?;
        Ok::<_, CliError>((platform, Ready::make(config, printer).await?))
    });
    let (platform, ready) =
        stop.run_until_cancelled(made).await.ok_or_else(CliError::interrupted)??;
    // It ends by itself when it is interrupted, and cleans up.
    let built = match args.containers_rollout {
        ContainersRollout::None => Built::default(),
        _ => images::build(&ready.config, &args.version.builds, &stop, printer).await?,
    };
    ready.tell(printer);
    let Some(platform) = platform else {
        printer.info("This was a dry run: nothing is deployed");
        return Ok(());
    };
    let deploy = deploy(&ready, &built, &args, &platform, &stop, printer);
    stop.run_until_cancelled(deploy).await.ok_or_else(CliError::interrupted)?
}

async fn deploy(
    ready: &Ready,
    built: &Built,
    args: &DeployArgs,
    platform: &Platform,
    stop: &CancellationToken,
    printer: &Printer,
) -> Result<(), CliError> {
    let Platform { target, client, known } = platform;
    let config = &ready.config;
    // An image that cannot be pushed leaves the old code where it is.
    let images = match args.containers_rollout {
        ContainersRollout::None => images::kept(client, config).await?,
        _ => images::push(client, target, config, built, stop, printer).await?,
    };
    let made = known.as_ref().and_then(|known| known.migration_tag.as_deref());
    if migrations::is_unknown(&config.deploy.migrations, made) {
        printer.warning(format_args!(
            "the platform has made a migration \"{}\" that the configuration does not name: all of \
             those it names are made",
            made.unwrap_or_default()
        ));
    }
    let given = Given {
        migrations: migrations::wanted(&config.deploy.migrations, made),
        choices: images.choices,
        berth: applications::switch(config, &images.whole),
        annotations: args.version.notes.annotations(),
        ..Given::default()
    };
    let uploaded = ready.upload(client, given, Then::Serves, printer).await?;
    let mode = args.containers_rollout;
    if config.berth.atomic {
        for container in &config.containers {
            let name = &container.application.name;
            printer.success(format_args!("Switched the containers {name} with the code"));
        }
    } else if mode != ContainersRollout::None && !config.containers.is_empty() {
        applications::apply(client, config, &images.whole, mode, printer).await?;
    }
    let triggers = triggers::set(client, config).await?;
    done(config, &uploaded, &triggers, printer);
    Ok(())
}

fn done(config: &Config, uploaded: &Uploaded, triggers: &[String], printer: &Printer) {
    printer.success(format_args!("Deployed {}", config.name));
    for trigger in triggers {
        printer.data(format_args!("  {}", styled(style::SUCCESS, trigger)));
    }
    printer.data(format_args!("Current Version ID: {}", uploaded.version));
    printer.data(format_args!("Worker Startup Time: {} ms", uploaded.startup_ms));
}
