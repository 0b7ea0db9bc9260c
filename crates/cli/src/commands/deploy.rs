//! `berth deploy`: a project's Worker and containers to a platform, with no Node in wrangler's place.

use std::collections::BTreeMap;
use std::time::Instant;

use ::project::Bundle;
use ::project::config::Config;
use tokio_util::sync::CancellationToken;

use crate::api::{Client, Target};
use crate::args::{ContainersRollout, DeployArgs};
use crate::commands::doctor::{self, Needs};
use crate::deploy::assets_folder::File;
use crate::deploy::images::{self, Built};
use crate::deploy::metadata::{self, Given};
use crate::deploy::script::{self, Known, Uploaded};
use crate::deploy::{applications, assets, migrations, project, triggers};
use crate::dev::project::{PRODUCTION, build};
use crate::dev::session::install_toolchain;
use crate::dev::{packages, signals};
use crate::error::CliError;
use crate::human::{size, table};
use crate::paths;
use crate::printer::{Printer, style, styled};

pub(crate) async fn run(args: DeployArgs, printer: &Printer) -> Result<(), CliError> {
    let config = project::read(&args, printer)?;
    let target = match args.dry_run {
        true => None,
        false => Some(Target::find(&config.root, config.environment.as_deref())?),
    };
    let stop = signals::stop_token()?;
    // Who may not deploy learns it before anything is built.
    let platform = async {
        let Some(target) = target else { return Ok(None) };
        let client = Client::open(&target).await?;
        let known = script::known(&client, &config.name).await?;
        Ok(Some((target, client, known)))
    };
    let platform = stop.run_until_cancelled(platform).await.ok_or_else(CliError::interrupted)??;
    let ready = prepare(config, &args, &stop, printer).await?;
    ready.tell(printer);
    let Some((target, client, known)) = platform else {
        printer.info("This was a dry run: nothing is deployed");
        return Ok(());
    };
    let deploy = ready.deploy(&args, &target, &client, &known, &stop, printer);
    stop.run_until_cancelled(deploy).await.ok_or_else(CliError::interrupted)?
}

/// Everything that a deploy takes.
struct Ready {
    config: Config,
    bundle: Bundle,
    files: Option<BTreeMap<String, File>>,
    built: Built,
}

async fn prepare(
    config: Config,
    args: &DeployArgs,
    stop: &CancellationToken,
    printer: &Printer,
) -> Result<Ready, CliError> {
    doctor::require(Needs::Worker)?;
    let bundle = async {
        packages::install(&config.root, printer).await?;
        let toolchain = install_toolchain(printer, &paths::Shared::under(&paths::home())).await?;
        build(&config, &toolchain.esbuild, PRODUCTION, printer).await
    };
    let bundle = stop.run_until_cancelled(bundle).await.ok_or_else(CliError::interrupted)??;
    let files = assets::read(&config)?;
    let built = match args.containers_rollout {
        ContainersRollout::None => Built::default(),
        _ => images::build(&config, &args.mirrors, &args.build_args, stop, printer).await?,
    };
    Ok(Ready { config, bundle, files, built })
}

impl Ready {
    /// What is about to be deployed.
    fn tell(&self, printer: &Printer) {
        printer.info(format_args!("Total upload: {}", size(script::size(&self.bundle))));
        let bindings = metadata::bindings(&self.config);
        if bindings.is_empty() {
            return;
        }
        printer.info("The Worker has access to these bindings:");
        let rows: Vec<_> = bindings.iter().map(metadata::described).collect();
        for line in table(["BINDING", "KIND", "WHAT"], &rows) {
            printer.info(format_args!("  {line}"));
        }
    }

    async fn deploy(
        self,
        args: &DeployArgs,
        target: &Target,
        client: &Client,
        known: &Known,
        stop: &CancellationToken,
        printer: &Printer,
    ) -> Result<(), CliError> {
        let began = Instant::now();
        let Self { config, bundle, files, built } = self;
        // An image that cannot be pushed leaves the old code where it is.
        let images = match args.containers_rollout {
            ContainersRollout::None => images::kept(client, &config).await?,
            _ => images::push(client, target, &config, &built, stop, printer).await?,
        };
        let assets = match &files {
            Some(files) => Some(assets::upload(client, &config, files, printer).await?),
            None => None,
        };
        let made = known.migration_tag.as_deref();
        if migrations::is_unknown(&config.deploy.migrations, made) {
            printer.warning(format_args!(
                "the platform has made a migration \"{}\" that the configuration does not name: all of \
                 those it names are made",
                made.unwrap_or_default()
            ));
        }
        let given = Given {
            main: bundle.modules.first().map(|_| bundle.main.as_str()),
            migrations: migrations::wanted(&config.deploy.migrations, made),
            assets,
            choices: images.choices,
            berth: applications::switch(&config, &images.whole),
            message: args.message.as_deref(),
            tag: args.tag.as_deref(),
        };
        let metadata = metadata::metadata(&config, given);
        let uploaded = script::upload(client, &config, &metadata, &bundle).await?;
        let took = began.elapsed().as_secs_f64();
        printer.success(format_args!("Uploaded {} ({took:.2} s)", config.name));
        let mode = args.containers_rollout;
        if config.berth.atomic {
            for container in &config.containers {
                let name = &container.application.name;
                printer.success(format_args!("Switched the containers {name} with the code"));
            }
        } else if mode != ContainersRollout::None && !config.containers.is_empty() {
            applications::apply(client, &config, &images.whole, mode, printer).await?;
        }
        let triggers = triggers::set(client, &config).await?;
        done(&config, &uploaded, &triggers, printer);
        Ok(())
    }
}

fn done(config: &Config, uploaded: &Uploaded, triggers: &[String], printer: &Printer) {
    printer.success(format_args!("Deployed {}", config.name));
    for trigger in triggers {
        printer.data(format_args!("  {}", styled(style::SUCCESS, trigger)));
    }
    printer.data(format_args!("Current Version ID: {}", uploaded.version));
    printer.data(format_args!("Worker Startup Time: {} ms", uploaded.startup_ms));
}
