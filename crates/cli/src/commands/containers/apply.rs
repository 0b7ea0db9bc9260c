//! `berth containers apply`: makes the platform's container applications what a project's configuration
//! says, and leaves the Worker's code as it is.

use ::project::config::{Config, Purpose};
use model::ApplicationImages;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::api::{Client, Target};
use crate::args::{ApplyArgs, ContainersRollout};
use crate::deploy::applications::{Planned, Step, carry_out, plan};
use crate::deploy::differences::{Difference, differences};
use crate::deploy::images;
use crate::dev::project::load;
use crate::dev::signals::stop_token;
use crate::error::{CliError, Kind};
use crate::human::{confirm_or, print_json};
use crate::printer::{Printer, style, styled};

/// What is printed in the place of an image that is still to be built.
const BUILT: &str = "is built and pushed before";

pub(super) async fn run(args: &ApplyArgs, printer: &Printer) -> Result<(), CliError> {
    let config = read(args, printer)?;
    if config.containers.is_empty() {
        printer.info("The configuration has no containers");
        return if args.json { print_json(&shown(&[], false, false), printer) } else { Ok(()) };
    }
    let target = Target::find(&config.root, config.environment.as_deref())?;
    let stop = stop_token()?;
    let applying = apply(args, &config, &target, &stop, printer);
    stop.run_until_cancelled(applying).await.ok_or_else(CliError::interrupted)?
}

fn read(args: &ApplyArgs, printer: &Printer) -> Result<Config, CliError> {
    let (path, environment) = (args.place.path(), args.place.env.as_deref());
    let mut config = load(Purpose::Deploy, path, environment, printer)?;
    if config.berth.atomic {
        let text =
            "`berth.atomic`: the containers switch together with the code, never by themselves";
        return Err(CliError::new(Kind::Config, text).hint("`berth deploy` brings both"));
    }
    // Those that objects choose from come with the code, which stays as it is.
    for container in &mut config.containers {
        if let ApplicationImages::Named(images) = &mut container.application.images {
            images.clear();
        }
    }
    Ok(config)
}

async fn apply(
    args: &ApplyArgs,
    config: &Config,
    target: &Target,
    stop: &CancellationToken,
    printer: &Printer,
) -> Result<(), CliError> {
    let client = Client::open(target).await?;
    let mode = args.containers_rollout;
    let names = images::named(config).whole;
    // Who may not ask, or lacks the Worker, learns it before anything is built.
    let mut planned = plan(&client, config, &names, mode).await?;
    let with_builds = images::built_applications(config);
    let builds = mode != ContainersRollout::None && !with_builds.is_empty();
    if builds && !args.dry_run {
        let built = images::build(config, &args.builds, stop, printer).await?;
        let names = images::push(&client, target, config, &built, stop, printer).await?.whole;
        planned = plan(&client, config, &names, mode).await?;
    }
    let unbuilt = builds && args.dry_run;
    if !args.json {
        for one in &planned {
            let is_open = unbuilt && with_builds.contains(&one.name);
            lines(one, is_open).iter().for_each(|line| printer.data(line));
        }
    }
    let is_same = planned.iter().all(|one| matches!(one.step, Step::Keep { .. }));
    let applied = !is_same && !args.dry_run && confirmed(args, stop, printer).await?;
    if applied {
        for one in &planned {
            carry_out(&client, one, printer).await?;
        }
    } else if args.dry_run {
        printer.info("This was a dry run: nothing is changed");
    } else if is_same {
        printer.success("The platform's containers are as the configuration wants them");
    } else {
        printer.info("Nothing is changed");
    }
    if args.json {
        print_json(&shown(&planned, unbuilt, applied), printer)?;
    }
    Ok(())
}

/// Asks, unless there is a yes already. Who interrupts is not waited for.
async fn confirmed(
    args: &ApplyArgs,
    stop: &CancellationToken,
    printer: &Printer,
) -> Result<bool, CliError> {
    if args.yes {
        return Ok(true);
    }
    let (answer, answered) = oneshot::channel();
    let printer = printer.clone();
    std::thread::spawn(move || {
        // Nobody hears an answer after an interruption.
        let _ = answer.send(confirm_or("Apply these changes?", "--yes", &printer));
    });
    let answered = stop.run_until_cancelled(answered).await.ok_or_else(CliError::interrupted)?;
    answered.unwrap_or(Ok(false))
}

/// What is to be done about one application, as a person reads it; `is_open`: its image is not built yet.
fn lines(Planned { name, step }: &Planned, is_open: bool) -> Vec<String> {
    let head = match step {
        Step::Create(_) => styled(style::SUCCESS, format_args!("+ {name}")),
        Step::Keep { .. } => styled(style::DIM, format_args!("= {name}")),
        Step::Change { rollout: None, .. } => styled(style::WARNING, format_args!("~ {name}")),
        Step::Change { .. } => {
            format!("{} (rolled out)", styled(style::WARNING, format_args!("~ {name}")))
        }
    };
    let open = is_open.then(|| format!("    configuration.image {BUILT}"));
    let changes = changes(step).into_iter().map(|change| line(&change));
    [head].into_iter().chain(open).chain(changes).collect()
}

fn line(Difference { field, before, after }: &Difference) -> String {
    match before {
        Value::Null => format!("    {field}: {}", text(after)),
        before => format!("    {field}: {} → {}", text(before), text(after)),
    }
}

/// A value without the quotes of a text.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "nothing".to_owned(),
        value => value.to_string(),
    }
}

fn changes(step: &Step) -> Vec<Difference> {
    match step {
        Step::Create(wanted) => differences(&Value::Null, wanted),
        Step::Keep { .. } => Vec::new(),
        Step::Change { differences, .. } => differences.clone(),
    }
}

/// All of it for programs.
fn shown(planned: &[Planned], unbuilt: bool, applied: bool) -> Value {
    let one = |Planned { name, step }: &Planned| {
        let (action, id, is_rolled_out) = match step {
            Step::Create(_) => ("create", None, false),
            Step::Keep { id } => ("keep", Some(id), false),
            Step::Change { id, rollout, .. } => ("change", Some(id), rollout.is_some()),
        };
        json!({"name": name, "id": id, "action": action, "changes": changes(step),
            "rollout": is_rolled_out})
    };
    let all: Vec<Value> = planned.iter().map(one).collect();
    // Of a dry run: whether an image would be built, which may be another one then.
    json!({"applications": all, "builds_images": unbuilt, "applied": applied})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(step: Step) -> Planned {
        Planned { name: "app".to_owned(), step }
    }

    fn change() -> Planned {
        let known = json!({"max_instances": 5, "configuration": {"image": "a"}});
        let wanted = json!({"max_instances": 6, "configuration": {"image": "b"}});
        let differences = differences(&known, &wanted);
        planned(Step::Change { id: "1".into(), wanted, differences, rollout: Some(json!({})) })
    }

    #[test]
    fn a_person_sees_what_was_and_what_will_be() {
        let plain = |planned: &Planned, is_open| {
            let lines = lines(planned, is_open).join("\n");
            anstream::adapter::strip_str(&lines).to_string()
        };
        let expected =
            "~ app (rolled out)\n    configuration.image: a → b\n    max_instances: 5 → 6";
        assert_eq!(plain(&change(), false), expected);
        let made = planned(Step::Create(json!({"name": "app", "max_instances": 2})));
        let expected =
            format!("+ app\n    configuration.image {BUILT}\n    max_instances: 2\n    name: app");
        assert_eq!(plain(&made, true), expected);
        assert_eq!(plain(&planned(Step::Keep { id: "1".into() }), false), "= app");
    }

    #[test]
    fn a_program_sees_the_same() {
        let all = shown(&[change()], false, true);
        let first = &all["applications"][0];
        assert_eq!((&first["action"], &first["id"]), (&json!("change"), &json!("1")));
        let image = json!({"field": "configuration.image", "before": "a", "after": "b"});
        assert_eq!((&first["changes"][0], &first["rollout"]), (&image, &json!(true)));
        assert_eq!(all["applied"], json!(true));
    }
}
