//! `berth containers rollouts`: how new images come to an application's instances.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{client, find, text};
use crate::api::{Client, Request, escaped, failed};
use crate::args::{RolloutArgs, RolloutsCommand};
use crate::error::{CliError, Kind};
use crate::human::{ago, print_json, table};
use crate::printer::Printer;

pub(super) async fn run(command: &RolloutsCommand, printer: &Printer) -> Result<(), CliError> {
    match command {
        RolloutsCommand::List { application, json, place } => {
            let client = client(place).await?;
            let (_, all) = rollouts(&client, application).await?;
            list(&all, *json, printer)
        }
        RolloutsCommand::Status { which, json } => {
            let client = client(&which.place).await?;
            let (_, rollout) = wanted(&client, which).await?;
            show(&rollout, *json, printer)
        }
        RolloutsCommand::Next(which) => change(which, "next", printer).await,
        RolloutsCommand::Previous(which) => change(which, "previous", printer).await,
        RolloutsCommand::Revert(which) => change(which, "revert", printer).await,
    }
}

fn list(all: &[Value], json: bool, printer: &Printer) -> Result<(), CliError> {
    if json {
        return print_json(&all, printer);
    }
    if all.is_empty() {
        printer.info("There are no rollouts");
        return Ok(());
    }
    let now = Timestamp::now();
    let row = |rollout: &Value| {
        let created = rollout["created_at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
        let created = created.map(|at| ago(now.as_second(), at.as_second()));
        let [steps, instances] = progress(rollout);
        [
            text(&rollout["id"]),
            text(&rollout["status"]),
            rollout["target_version"].to_string(),
            steps,
            instances,
            created.unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    for line in table(["ID", "STATUS", "VERSION", "STEPS", "INSTANCES", "CREATED"], &rows) {
        printer.data(line);
    }
    Ok(())
}

fn show(rollout: &Value, json: bool, printer: &Printer) -> Result<(), CliError> {
    if json {
        return print_json(rollout, printer);
    }
    let [steps, instances] = progress(rollout);
    for (name, value) in [
        ("id", text(&rollout["id"])),
        ("status", text(&rollout["status"])),
        ("reason", text(&rollout["reason"])),
        ("kind", text(&rollout["kind"])),
        ("version", rollout["target_version"].to_string()),
        ("image", text(&rollout["target_configuration"]["image"])),
        ("steps", steps),
        ("instances", instances),
    ] {
        printer.data(format_args!("{name:9} {value}"));
    }
    let steps = rollout["steps"].as_array().into_iter().flatten();
    for step in steps {
        let share = &step["step_size"]["percentage"];
        printer.data(format_args!(
            "step {}    {share}%  {}  {}",
            step["id"],
            text(&step["status"]),
            text(&step["description"])
        ));
    }
    Ok(())
}

/// How many steps are done, and how many instances are new, of how many.
fn progress(rollout: &Value) -> [String; 2] {
    let progress = &rollout["progress"];
    [("completed_steps", "total_steps"), ("updated_instances", "total_instances")]
        .map(|(done, all)| format!("{}/{}", progress[done], progress[all]))
}

async fn change(which: &RolloutArgs, action: &str, printer: &Printer) -> Result<(), CliError> {
    let client = client(&which.place).await?;
    let (application, rollout) = wanted(&client, which).await?;
    let id = text(&rollout["id"]);
    let path = client.path(&format!(
        "/containers/applications/{}/rollouts/{}",
        escaped(&application),
        escaped(&id)
    ));
    let changed: Value = client
        .ask(Request::post(path).json(&json!({ "action": action })))
        .await
        .map_err(failed(&format!("change the rollout {id}")))?;
    printer.data(format_args!("{id} {}", text(&changed["status"])));
    Ok(())
}

/// The id of an application, and the rollout that is meant of it: the newest if none is named.
async fn wanted(client: &Client, which: &RolloutArgs) -> Result<(String, Value), CliError> {
    let (application, all) = rollouts(client, &which.application).await?;
    let mut all = all.into_iter();
    let found = match &which.rollout {
        Some(id) => all.find(|rollout| rollout["id"] == id.as_str()),
        None => all.next(),
    };
    let none = || {
        let name = which.rollout.as_deref().map(|id| format!(" {id}")).unwrap_or_default();
        let text = format!("\"{}\" has no rollout{name}", which.application);
        CliError::new(Kind::Failure, text)
            .hint("`berth containers rollouts list` shows which there are")
    };
    Ok((application, found.ok_or_else(none)?))
}

/// The id of an application, and its rollouts, the newest first.
async fn rollouts(client: &Client, named: &str) -> Result<(String, Vec<Value>), CliError> {
    let id = text(&find(client, named).await?["id"]);
    let path = client.path(&format!("/containers/applications/{}/rollouts", escaped(&id)));
    let all = client.ask(Request::get(path)).await.map_err(failed("list the rollouts"))?;
    Ok((id, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_counted_in_steps_and_instances() {
        let rollout = json!({"progress": {"completed_steps": 1, "total_steps": 2,
            "updated_instances": 3, "total_instances": 10}});
        assert_eq!(progress(&rollout), ["1/2", "3/10"]);
    }
}
