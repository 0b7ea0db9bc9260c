//! The project that is deployed, and what of it nobody could deploy.

use ::project::config::{Config, Purpose, RolloutKind};
use model::ApplicationImages;

use crate::args::{ContainersRollout, DeployArgs};
use crate::dev::project::load;
use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// Reads the configuration, and refuses what nobody could deploy.
pub(crate) fn read(args: &DeployArgs, printer: &Printer) -> Result<Config, CliError> {
    let mut config = load(Purpose::Deploy, args.place.path(), args.place.env.as_deref(), printer)?;
    config.bundling.minify |= args.minify;
    config.deploy.keep_vars |= args.keep_vars;
    for (name, value) in &args.vars {
        config.vars.insert(name.clone(), value.clone().into());
    }
    check_date(&config)?;
    check_switch(&config, args)?;
    Ok(config)
}

/// Where containers switch together with the code there are no steps, and none stays as it is.
fn check_switch(config: &Config, args: &DeployArgs) -> Result<(), CliError> {
    if !config.berth.atomic {
        return Ok(());
    }
    let text = |what: &str| {
        format!("`berth.atomic`: the containers switch together with the code, and {what}")
    };
    if args.containers_rollout == ContainersRollout::None {
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

fn check_date(config: &Config) -> Result<(), CliError> {
    if config.compatibility_date.is_some() {
        return Ok(());
    }
    let text = "a Worker that is deployed says which compatibility date it was written for";
    Err(CliError::new(Kind::Config, text)
        .hint("add \"compatibility_date\": \"YYYY-MM-DD\" to the configuration"))
}
