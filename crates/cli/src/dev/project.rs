//! The project that `berth dev` runs or `berth deploy` deploys: its configuration, and its code as a bundle.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use model::Application;
use project::config::{Config, ConfigError, Purpose};
use project::{Bundle, BundleError, BundleOptions, bundle};

use crate::args::DevArgs;
use crate::error::{CliError, Kind};
use crate::printer::{Printer, style, styled};

/// Port when neither the command line nor the configuration says one; wrangler's.
const DEFAULT_PORT: u16 = 8787;

/// `process.env.NODE_ENV` of code that runs here, and of code that is deployed.
pub(crate) const DEVELOPMENT: &str = "development";
pub(crate) const PRODUCTION: &str = "production";

/// Reads the configuration and prints its warnings.
pub(crate) fn load(
    purpose: Purpose,
    path: &Path,
    environment: Option<&str>,
    printer: &Printer,
) -> Result<Config, CliError> {
    let (config, warnings) = Config::load_for(purpose, path, environment).map_err(config_error)?;
    for warning in warnings {
        printer.info(warning.render(printer.draws_bars()));
    }
    Ok(config)
}

/// The folder of the project at `path`.
pub(crate) fn root(path: &Path) -> Result<PathBuf, CliError> {
    let (config, _) = Config::load(path, None).map_err(config_error)?;
    Ok(config.root)
}

pub(crate) fn config_error(error: ConfigError) -> CliError {
    match error {
        ConfigError::NotFound { .. } => CliError::new(Kind::Config, error.to_string())
            .hint("name the project's folder, or write a new one: `berth init my-app`"),
        ConfigError::Invalid { .. } => {
            CliError::new(Kind::Config, format!("the configuration is wrong\n\n{error}"))
        }
        error => CliError::attempt(Kind::Config, "read the configuration", error),
    }
}

/// Whether containers are turned on.
pub(crate) fn runs_containers(config: &Config, args: &DevArgs) -> bool {
    args.enable_containers.unwrap_or(config.dev.enable_containers)
}

/// The applications that Berth runs: none when containers are turned off or another engine has them.
pub(crate) fn applications(config: &Config, args: &DevArgs) -> Vec<Application> {
    if !runs_containers(config, args) || config.dev.container_engine.is_some() {
        return Vec::new();
    }
    let applications = config.containers.iter().map(|container| container.application.clone());
    let with_grace = |application: Application| Application {
        stop_grace: args.stop_grace.unwrap_or(application.stop_grace),
        ..application
    };
    applications.map(with_grace).collect()
}

/// Where to listen: the command line, else the configuration, else wrangler's defaults.
pub(crate) fn address(config: &Config, args: &DevArgs) -> Result<(IpAddr, u16), CliError> {
    let ip = match (&args.ip, config.dev.ip.as_deref()) {
        (Some(ip), _) => *ip,
        (None, None | Some("localhost")) => Ipv4Addr::LOCALHOST.into(),
        (None, Some("*")) => Ipv4Addr::UNSPECIFIED.into(),
        (None, Some(text)) => text.parse().map_err(|_| {
            CliError::new(Kind::Config, format!("dev.ip \"{text}\" is not an IP address"))
        })?,
    };
    Ok((ip, args.port.or(config.dev.port).unwrap_or(DEFAULT_PORT)))
}

/// Runs the custom build, then bundles.
pub(crate) async fn build(
    config: &Config,
    esbuild: &Path,
    node_env: &str,
    printer: &Printer,
) -> Result<Bundle, CliError> {
    run_build_command(config, printer).await?;
    bundle_code(config, esbuild, node_env, printer).await
}

/// Runs `build.command`, its output behind a prefix.
pub(crate) async fn run_build_command(config: &Config, printer: &Printer) -> Result<(), CliError> {
    if let Some(command) = &config.build.command {
        printer.info(format_args!("Running the custom build: {command}"));
    }
    let printer = printer.clone();
    let mut output = move |line: &str| {
        printer.info(format_args!("{} {line}", styled(style::DIM, "build")));
    };
    project::bundle::run_build_command(&config.build, &mut output)
        .await
        .map_err(|error| CliError::attempt(Kind::Build, "run the custom build", error))
}

async fn bundle_code(
    config: &Config,
    esbuild: &Path,
    node_env: &str,
    printer: &Printer,
) -> Result<Bundle, CliError> {
    if config.main.is_none() && config.assets.is_some() {
        return Ok(assets_only());
    }
    let options = BundleOptions { esbuild, node_env };
    let bundle = bundle(config, &options).await.map_err(bundle_failed)?;
    for warning in &bundle.warnings {
        printer.info(&warning.frame);
    }
    Ok(bundle)
}

fn bundle_failed(error: BundleError) -> CliError {
    CliError::attempt(Kind::Build, "bundle the Worker", error)
}

/// A Worker of assets alone has no code.
fn assets_only() -> Bundle {
    Bundle {
        main: String::new(),
        modules: Vec::new(),
        source_map: None,
        inputs: Vec::new(),
        exports: Vec::new(),
        warnings: Vec::new(),
    }
}

/// Files and folders whose changes matter: the configuration's, the code's, the custom build's.
pub(crate) fn watched(
    config: &Config,
    inputs: &[PathBuf],
) -> (BTreeSet<PathBuf>, BTreeSet<PathBuf>) {
    let files = config.inputs.iter().chain(inputs).cloned().collect();
    let trees = match config.build.command {
        Some(_) => config.build.watch_dirs.iter().cloned().collect(),
        None => BTreeSet::new(),
    };
    (files, trees)
}
