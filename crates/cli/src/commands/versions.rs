//! `berth versions` and `berth deployments`: what a Worker was, and which of it has served.

mod secret;
mod upload;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::worker::Worker;
use crate::api::{Request, escaped, failed};
use crate::args::{
    DeployVersionsArgs, DeploymentsArgs, DeploymentsCommand, VersionsArgs, VersionsCommand,
};
use crate::error::{CliError, Kind};
use crate::human::{ago, confirm_or, print_json, table};
use crate::printer::Printer;

pub(crate) async fn run(args: &VersionsArgs, printer: &Printer) -> Result<(), CliError> {
    let worker = || Worker::find(&args.place, printer);
    match &args.command {
        VersionsCommand::Upload(options) => upload::run(&args.place, options, printer).await,
        VersionsCommand::Secret(command) => secret::run(&worker().await?, command, printer).await,
        VersionsCommand::List { json } => list(&worker().await?, *json, printer).await,
        VersionsCommand::View { version, json } => {
            view(&worker().await?, version, *json, printer).await
        }
        VersionsCommand::Deploy(options) => deploy_named(&worker().await?, options, printer).await,
    }
}

async fn deploy_named(
    worker: &Worker,
    options: &DeployVersionsArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    let shares = shares(&options.shares())?;
    let names = shares.iter().map(|(version, percent)| format!("{version} ({percent}%)"));
    let names = names.collect::<Vec<_>>().join(" and ");
    if options.dry_run {
        printer.data(format_args!("{names} of {} would serve", worker.name));
        printer.info("This was a dry run: nothing has changed");
        return Ok(());
    }
    let question = format!("Let {names} of the Worker \"{}\" serve?", worker.name);
    if !options.yes && !confirm_or(&question, "--yes", printer)? {
        printer.info("Nothing has changed");
        return Ok(());
    }
    deploy(worker, &shares, options.message.as_deref(), "deploy versions of").await?;
    printer.success(format_args!("{names} of {} serves", worker.name));
    Ok(())
}

/// Says which version there is now, and how it comes to serve.
fn made(version: &str, printer: &Printer) {
    printer.data(format_args!("Worker Version ID: {version}"));
    printer.info(format_args!("It does not serve yet: `berth versions deploy {version}` lets it"));
}

/// Lets versions serve, each its share of the requests in percent.
///
/// # Errors
/// The platform refuses it; `attempt` says what was tried.
pub(super) async fn deploy(
    worker: &Worker,
    shares: &[(String, f64)],
    message: Option<&str>,
    attempt: &str,
) -> Result<(), CliError> {
    let version =
        |(version, percent): &(String, f64)| json!({"version_id": version, "percentage": percent});
    let mut body = json!({"strategy": "percentage",
        "versions": shares.iter().map(version).collect::<Vec<_>>()});
    if let Some(message) = message {
        body["annotations"] = json!({ "workers/message": message });
    }
    let request = Request::post(worker.path("/deployments")).json(&body);
    let _: Value = worker
        .client
        .ask(request)
        .await
        .map_err(failed(&format!("{attempt} \"{}\"", worker.name)))?;
    Ok(())
}

/// The share of each version: what is not said of one is what the others leave. Pure.
fn shares(said: &[(String, Option<f64>)]) -> Result<Vec<(String, f64)>, CliError> {
    let sum: f64 = said.iter().filter_map(|(_, percent)| *percent).sum();
    let open = said.iter().filter(|(_, percent)| percent.is_none()).count();
    let left = 100.0 - sum;
    if (open == 0 && left.abs() > 0.001) || (open == 1 && left < 0.0) || open > 1 {
        let text = "the shares of the versions are not 100% together".to_owned();
        return Err(CliError::new(Kind::Usage, text).hint(
            "`berth versions deploy ID`, or `ID@90 ID@10`; `berth versions list` shows the ids",
        ));
    }
    Ok(said.iter().map(|(version, percent)| (version.clone(), percent.unwrap_or(left))).collect())
}

/// One version.
async fn view(
    worker: &Worker,
    version: &str,
    json: bool,
    printer: &Printer,
) -> Result<(), CliError> {
    let path = worker.path(&format!("/versions/{}", escaped(version)));
    let attempt = format!("look at version {version} of \"{}\"", worker.name);
    let found: Value = worker.client.ask(Request::get(path)).await.map_err(failed(&attempt))?;
    if json {
        return print_json(&found, printer);
    }
    let (metadata, notes) = (&found["metadata"], &found["annotations"]);
    let runtime = &found["resources"]["script_runtime"];
    let all = |list: &Value, name: fn(&Value) -> String| {
        let all = list.as_array().into_iter().flatten().map(name).collect::<Vec<_>>();
        all.join(", ")
    };
    let binding = |one: &Value| format!("{} ({})", text(&one["name"]), text(&one["type"]));
    for (label, value) in [
        ("Version ID", text(&found["id"])),
        ("Created", text(&metadata["created_on"])),
        ("Author", text(&metadata["author_email"])),
        ("Tag", text(&notes["workers/tag"])),
        ("Message", text(&notes["workers/message"])),
        ("Compatibility date", text(&runtime["compatibility_date"])),
        ("Compatibility flags", all(&runtime["compatibility_flags"], text)),
        ("Bindings", all(&found["resources"]["bindings"], binding)),
    ] {
        printer.data(format_args!("{:<21}{value}", format!("{label}:")).to_string().trim_end());
    }
    Ok(())
}

async fn list(worker: &Worker, json: bool, printer: &Printer) -> Result<(), CliError> {
    let answer: Value = worker
        .client
        .ask(Request::get(worker.path("/versions")))
        .await
        .map_err(failed(&format!("list the versions of \"{}\"", worker.name)))?;
    if json {
        return print_json(&answer["items"], printer);
    }
    let row = |version: &Value| {
        let (metadata, notes) = (&version["metadata"], &version["annotations"]);
        [
            text(&version["id"]),
            since(&metadata["created_on"]),
            text(&metadata["author_email"]),
            text(&notes["workers/tag"]),
            text(&notes["workers/message"]),
        ]
    };
    let rows: Vec<_> = answer["items"].as_array().into_iter().flatten().map(row).collect();
    for line in table(["VERSION", "CREATED", "AUTHOR", "TAG", "MESSAGE"], &rows) {
        printer.data(line);
    }
    Ok(())
}

/// `berth deployments`.
pub(crate) async fn deployments(args: &DeploymentsArgs, printer: &Printer) -> Result<(), CliError> {
    let worker = Worker::find(&args.place, printer).await?;
    let all = deployments_of(&worker).await?;
    match args.command {
        DeploymentsCommand::List { json: true } => return print_json(&all, printer),
        DeploymentsCommand::List { json: false } => {}
        DeploymentsCommand::Status { json } => return status(&worker, &all, json, printer),
    }
    let row = |deployment: &Value| {
        let notes = &deployment["annotations"];
        [
            text(&deployment["versions"][0]["version_id"]),
            since(&deployment["created_on"]),
            text(&deployment["author_email"]),
            text(&notes["workers/triggered_by"]),
            text(&notes["workers/message"]),
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    for line in table(["VERSION", "DEPLOYED", "AUTHOR", "BY", "MESSAGE"], &rows) {
        printer.data(line);
    }
    Ok(())
}

/// Which versions serve.
fn status(worker: &Worker, all: &[Value], json: bool, printer: &Printer) -> Result<(), CliError> {
    let Some(current) = all.first() else {
        let text = format!("no version of \"{}\" serves", worker.name);
        return Err(CliError::new(Kind::Failure, text).hint("`berth deploy` deploys one"));
    };
    if json {
        return print_json(current, printer);
    }
    let row = |share: &Value| {
        [
            text(&share["version_id"]),
            format!("{}%", share["percentage"].as_f64().unwrap_or_default()),
            since(&current["created_on"]),
            text(&current["annotations"]["workers/message"]),
        ]
    };
    let rows: Vec<_> = current["versions"].as_array().into_iter().flatten().map(row).collect();
    for line in table(["VERSION", "SHARE", "DEPLOYED", "MESSAGE"], &rows) {
        printer.data(line);
    }
    Ok(())
}

/// The deployments of a Worker, the newest first.
pub(super) async fn deployments_of(worker: &Worker) -> Result<Vec<Value>, CliError> {
    let mut answer: Value = worker
        .client
        .ask(Request::get(worker.path("/deployments")))
        .await
        .map_err(failed(&format!("list the deployments of \"{}\"", worker.name)))?;
    Ok(match answer["deployments"].take() {
        Value::Array(all) => all,
        _ => Vec::new(),
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn since(value: &Value) -> String {
    let then = value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let now = Timestamp::now().as_second();
    then.map(|then| ago(now, then.as_second())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_gets_what_the_other_leaves() {
        let of = |said: &[(&str, Option<f64>)]| {
            let said: Vec<_> = said.iter().map(|(id, share)| ((*id).to_owned(), *share)).collect();
            shares(&said)
                .map(|all| all.into_iter().map(|(_, share)| share).collect::<Vec<_>>())
                .ok()
        };
        assert_eq!(of(&[("a", None)]), Some(vec![100.0]));
        assert_eq!(of(&[("a", Some(90.0)), ("b", None)]), Some(vec![90.0, 10.0]));
        assert_eq!(of(&[("a", Some(50.0)), ("b", Some(50.0))]), Some(vec![50.0, 50.0]));
        assert_eq!(of(&[("a", Some(50.0)), ("b", Some(40.0))]), None);
        assert_eq!(of(&[("a", None), ("b", None)]), None);
    }
}
