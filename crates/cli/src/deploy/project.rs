//! The project that is deployed, and what of it the platform does not do at all.

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
    check(&config)?;
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
    let mut containers = config.containers.iter();
    match containers.find(|container| container.rollout.kind != RolloutKind::FullAuto) {
        None => Ok(()),
        Some(container) => {
            let name = &container.application.name;
            let text = text(&format!("the `rollout_kind` of \"{name}\" says otherwise"));
            Err(CliError::new(Kind::Config, text).hint("leave one of the two out"))
        }
    }
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

fn check(config: &Config) -> Result<(), CliError> {
    if config.compatibility_date.is_none() {
        let text = "a Worker that is deployed says which compatibility date it was written for";
        return Err(CliError::new(Kind::Config, text)
            .hint("add \"compatibility_date\": \"YYYY-MM-DD\" to the configuration"));
    }
    check_images(config)
}

/// Refuses containers that choose from several images.
pub(crate) fn check_images(config: &Config) -> Result<(), CliError> {
    let named = |images: &ApplicationImages| matches!(images, ApplicationImages::Named(_));
    let mut applications = config.containers.iter().map(|container| &container.application);
    if let Some(application) = applications.find(|application| named(&application.images)) {
        let text = format!(
            "containers \"{}\": `scheduling_policy: \"durable_object\"` is not deployed yet",
            application.name
        );
        return Err(CliError::new(Kind::Config, text)
            .hint("give the container one `image`; `berth dev` runs several"));
    }
    Ok(())
}
