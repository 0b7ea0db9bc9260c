//! The project that is deployed, and what of it nobody could deploy.

use ::project::config::{Config, Purpose, RolloutKind};
use model::ApplicationImages;

use crate::args::{ContainersRollout, ProjectPlace, VersionOptions};
use crate::dev::project::load;
use crate::error::{CliError, Kind};
use crate::printer::Printer;
use crate::secrets;

/// Reads the configuration, and refuses what nobody could upload.
pub(crate) fn read(
    place: &ProjectPlace,
    options: &VersionOptions,
    printer: &Printer,
) -> Result<Config, CliError> {
    let mut config = load(Purpose::Deploy, place.path(), place.env.as_deref(), printer)?;
    config.bundling.minify |= options.minify;
    config.deploy.keep_vars |= options.keep_vars;
    for (name, value) in &options.vars {
        config.vars.insert(name.clone(), value.clone().into());
    }
    if let Some(file) = &options.secrets_file {
        config.secrets = secrets::read_texts(file)?;
        config.vars.retain(|name, _| !config.secrets.contains_key(name));
    }
    check_date(&config)?;
    Ok(config)
}

/// Where containers switch together with the code there are no steps, and none stays as it is.
pub(crate) fn check_switch(config: &Config, rollout: ContainersRollout) -> Result<(), CliError> {
    if !config.berth.atomic {
        return Ok(());
    }
    let text = |what: &str| {
        format!("`berth.atomic`: the containers switch together with the code, and {what}")
    };
    if rollout == ContainersRollout::None {
        let text = text("`--containers-rollout none` leaves them as they are");
        return Err(CliError::new(Kind::Config, text).hint("leave one of the two out"));
    }
    for container in &config.containers {
        let name = &container.application.name;
        if let ApplicationImages::Named(_) = container.application.images {
            // Their images come with the code, but what runs goes on beside the new code.
            let text = text(&format!("those of \"{name}\" run until their objects end them"));
            return Err(CliError::new(Kind::Config, text).hint(
                "leave out `berth.atomic`: with `scheduling_policy: \"durable_object\"` images come with \
                 the code anyway",
            ));
        }
        if container.rollout.kind != RolloutKind::FullAuto {
            let text = text(&format!("the `rollout_kind` of \"{name}\" says otherwise"));
            return Err(CliError::new(Kind::Config, text).hint("leave one of the two out"));
        }
    }
    Ok(())
}

/// Where containers switch together with the code, no code waits without them.
pub(crate) fn check_waits(config: &Config) -> Result<(), CliError> {
    if !config.berth.atomic {
        return Ok(());
    }
    let text = "`berth.atomic`: the containers switch together with the code, so each version serves when \
                it is uploaded";
    Err(CliError::new(Kind::Config, text).hint("`berth deploy` brings both"))
}

fn check_date(config: &Config) -> Result<(), CliError> {
    if config.compatibility_date.is_some() {
        return Ok(());
    }
    let text = "a Worker that is deployed says which compatibility date it was written for";
    Err(CliError::new(Kind::Config, text)
        .hint("add \"compatibility_date\": \"YYYY-MM-DD\" to the configuration"))
}
