//! A new version of a Worker: where it goes, what it is made of, and its upload.

use std::collections::BTreeMap;
use std::time::Instant;

use ::project::Bundle;
use ::project::config::Config;

use super::assets;
use super::assets_folder::File;
use super::metadata::{self, Given};
use super::script::{self, Known, Then, Uploaded};
use crate::api::{Client, Target};
use crate::commands::doctor::{self, Needs};
use crate::dev::packages;
use crate::dev::project::{PRODUCTION, build};
use crate::dev::session::install_toolchain;
use crate::error::CliError;
use crate::human::{size, table};
use crate::paths;
use crate::printer::Printer;

/// Where a version goes, and what is there already.
pub(crate) struct Platform {
    pub(crate) target: Target,
    pub(crate) client: Client,
    /// The Worker, if it is there.
    pub(crate) known: Option<Known>,
}

impl Platform {
    /// The one that a project is deployed to; nothing is asked for a dry run. Who may not upload learns
    /// it here, before anything is built.
    pub(crate) async fn open(config: &Config, dry_run: bool) -> Result<Option<Self>, CliError> {
        if dry_run {
            return Ok(None);
        }
        let target = Target::find(&config.root, config.environment.as_deref())?;
        let client = Client::open(&target).await?;
        let known = script::known(&client, &config.name).await?;
        Ok(Some(Self { target, client, known }))
    }
}

/// Everything that a version takes, but for images.
pub(crate) struct Ready {
    pub(crate) config: Config,
    bundle: Bundle,
    files: Option<BTreeMap<String, File>>,
}

impl Ready {
    /// Bundles the code, and reads the static files.
    pub(crate) async fn make(config: Config, printer: &Printer) -> Result<Self, CliError> {
        doctor::require(Needs::Worker)?;
        packages::install(&config.root, printer).await?;
        let toolchain = install_toolchain(printer, &paths::Shared::under(&paths::home())).await?;
        let bundle = build(&config, &toolchain.esbuild, PRODUCTION, printer).await?;
        let files = assets::read(&config)?;
        Ok(Self { config, bundle, files })
    }

    /// Says what is about to be uploaded.
    pub(crate) fn tell(&self, printer: &Printer) {
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

    /// Uploads it: first the static files that are new, then all else. `given` is what comes from
    /// elsewhere than the code and these files.
    pub(crate) async fn upload(
        &self,
        client: &Client,
        given: Given<'_>,
        then: Then,
        printer: &Printer,
    ) -> Result<Uploaded, CliError> {
        let began = Instant::now();
        let Self { config, bundle, files } = self;
        let assets = match files {
            Some(files) => Some(assets::upload(client, config, files, printer).await?),
            None => None,
        };
        let main = bundle.modules.first().map(|_| bundle.main.as_str());
        let metadata = metadata::metadata(config, Given { main, assets, ..given });
        let uploaded = script::upload(client, config, &metadata, bundle, then).await?;
        let took = began.elapsed().as_secs_f64();
        printer.success(format_args!("Uploaded {} ({took:.2} s)", config.name));
        Ok(uploaded)
    }
}
