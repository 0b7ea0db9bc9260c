//! `berth containers`: the container applications of a platform, and their instances.

mod apply;
mod build;
mod cp;
mod exec;
mod images;
mod instances;
mod registries;
mod rollouts;
mod ssh;
mod streams;
mod top;

use std::num::NonZeroU32;
use std::path::Path;

use serde_json::{Value, json};

use crate::api::{Client, Request, Target, escaped, failed};
use crate::args::{ApplicationsPlace, ContainersCommand};
use crate::commands::snapshots;
use crate::error::{CliError, Kind};
use crate::human::{confirm, is_interactive, print_json, table, wants_more};
use crate::printer::Printer;

/// What the platform's WebSockets speak.
const PROTOCOL: &str = "berth-v1";

/// The exit code is 0, or that of the program that was run.
pub(crate) async fn run(command: ContainersCommand, printer: &Printer) -> Result<u8, CliError> {
    let done = match command {
        ContainersCommand::Exec(args) => return exec::run(&args).await,
        ContainersCommand::Ssh(args) => return ssh::run(&args).await,
        ContainersCommand::List { per_page, json, place } => {
            list(&place, per_page, json, printer).await
        }
        ContainersCommand::Info { application, json, place } => {
            info(&place, &application, json, printer).await
        }
        ContainersCommand::Delete { application, force, place } => {
            delete(&place, &application, force, printer).await
        }
        ContainersCommand::Instances(args) => instances::list(&args, printer).await,
        ContainersCommand::Logs(args) => streams::logs(&args).await,
        ContainersCommand::Apply(args) => apply::run(&args, printer).await,
        ContainersCommand::Cp(args) => cp::run(&args, printer).await,
        ContainersCommand::Top(args) => top::run(&args, printer).await,
        ContainersCommand::Stop { instances, grace, place } => {
            instances::stop(&place, &instances, grace, printer).await
        }
        ContainersCommand::Restart { application, grace, place } => {
            instances::restart(&place, &application, grace, printer).await
        }
        ContainersCommand::Events(args) => streams::events(&args, printer).await,
        ContainersCommand::Rollouts(command) => rollouts::run(&command, printer).await,
        ContainersCommand::Build(args) => Box::pin(build::build(*args, printer)).await,
        ContainersCommand::Push(args) => build::push(&args, printer).await,
        ContainersCommand::Images(args) => images::run(&args, printer).await,
        ContainersCommand::Registries(args) => registries::run(&args, printer).await,
        ContainersCommand::Snapshots(command) => snapshots::run(command, printer),
    };
    done.map(|()| 0)
}

async fn list(
    place: &ApplicationsPlace,
    per_page: Option<NonZeroU32>,
    json: bool,
    printer: &Printer,
) -> Result<(), CliError> {
    let client = client(place).await?;
    let path = client.path("/containers/dash/applications");
    let list = List { client: &client, path: &path, per_page, asks: !json, printer };
    let take = |found: Value| match found {
        Value::Array(all) => all,
        _ => Vec::new(),
    };
    let (all, shown) = list.walk(take, |part| print(part, printer)).await?;
    match all.len() + shown {
        _ if json => print_json(&all.iter().map(as_wrangler).collect::<Vec<_>>(), printer)?,
        0 => printer.info("There are no container applications"),
        _ => print(&all, printer),
    }
    Ok(())
}

fn print(applications: &[Value], printer: &Printer) {
    let rows: Vec<_> = applications.iter().map(row).collect();
    for line in table(["ID", "NAME", "STATE", "LIVE INSTANCES", "LAST MODIFIED"], &rows) {
        printer.data(line);
    }
}

/// A list of the platform's that has parts.
struct List<'a> {
    client: &'a Client,
    path: &'a str,
    /// How many are in a part; the platform chooses where nobody says.
    per_page: Option<NonZeroU32>,
    /// Whether somebody at a terminal is asked before the next part comes.
    asks: bool,
    printer: &'a Printer,
}

impl List<'_> {
    /// A part, and what asks for the next one.
    async fn part(&self, token: Option<&str>) -> Result<(Value, Option<String>), CliError> {
        let per_page = self.per_page.map(|number| format!("per_page={number}"));
        let token = token.map(|token| format!("page_token={}", escaped(token)));
        let query: Vec<String> = per_page.into_iter().chain(token).collect();
        let request = Request::get(format!("{}?{}", self.path, query.join("&")));
        self.client.ask_part(request).await.map_err(failed("list them"))
    }

    /// Walks through it, and gives back what is still to be shown, and how many were shown already:
    /// none where nobody is asked.
    async fn walk<T>(
        &self,
        take: impl Fn(Value) -> Vec<T>,
        show: impl Fn(&[T]),
    ) -> Result<(Vec<T>, usize), CliError> {
        let asks = self.asks && is_interactive();
        let (mut all, mut shown, mut token) = (Vec::new(), 0, None);
        loop {
            let (found, next) = self.part(token.as_deref()).await?;
            all.extend(take(found));
            token = next;
            if token.is_none() {
                return Ok((all, shown));
            }
            if asks {
                show(&all);
                shown += all.len();
                all.clear();
                if !wants_more(shown, self.printer)? {
                    return Ok((all, shown));
                }
            }
        }
    }
}

async fn info(
    place: &ApplicationsPlace,
    named: &str,
    json: bool,
    printer: &Printer,
) -> Result<(), CliError> {
    let application = find(&client(place).await?, named).await?;
    if json {
        return print_json(&application, printer);
    }
    for (name, value) in [
        ("name", text(&application["name"])),
        ("id", text(&application["id"])),
        ("state", state(&application).to_owned()),
        ("image", text(&application["image"])),
        ("version", application["version"].to_string()),
        ("instances", live(&application)),
        ("created", text(&application["created_at"])),
        ("modified", text(&application["updated_at"])),
    ] {
        printer.data(format_args!("{name:9} {value}"));
    }
    Ok(())
}

async fn delete(
    place: &ApplicationsPlace,
    named: &str,
    force: bool,
    printer: &Printer,
) -> Result<(), CliError> {
    let client = client(place).await?;
    let application = find(&client, named).await?;
    let (name, id) = (text(&application["name"]), text(&application["id"]));
    let question =
        format!("Delete the container application \"{name}\" ({id}) with its instances?");
    if !force && !confirm(&question, printer)? {
        printer.info("Nothing is deleted");
        return Ok(());
    }
    let path = client.path(&format!("/containers/applications/{id}"));
    let _: Value = client
        .ask(Request::delete(path))
        .await
        .map_err(failed(&format!("delete the container application \"{name}\"")))?;
    printer.success(format_args!("Deleted {name}"));
    Ok(())
}

async fn client(place: &ApplicationsPlace) -> Result<Client, CliError> {
    Client::open(&Target::find(Path::new("."), place.env.as_deref())?).await
}

/// The application with this id or name.
async fn find(client: &Client, named: &str) -> Result<Value, CliError> {
    let all: Vec<Value> = client
        .ask(Request::get(client.path("/containers/applications")))
        .await
        .map_err(failed("find the container application"))?;
    let is_it = |application: &Value| ["id", "name"].iter().any(|key| application[key] == named);
    all.into_iter().find(is_it).ok_or_else(|| {
        CliError::new(Kind::Failure, format!("there is no container application \"{named}\""))
            .hint("`berth containers list` shows which there are")
    })
}

fn row(application: &Value) -> [String; 5] {
    [
        text(&application["id"]),
        text(&application["name"]),
        state(application).to_owned(),
        live(application),
        text(&application["updated_at"]),
    ]
}

/// What `wrangler containers list --json` prints of one.
fn as_wrangler(application: &Value) -> Value {
    let mut shown = json!({ "state": state(application) });
    for key in ["id", "name", "instances", "image", "version", "updated_at", "created_at"] {
        shown[key] = application[key].clone();
    }
    shown
}

/// How an application does, in wrangler's words.
fn state(application: &Value) -> &'static str {
    let count = |key: &str| application["health"]["instances"][key].as_u64().unwrap_or_default();
    match () {
        () if count("failed") > 0 => "degraded",
        () if count("starting") + count("scheduling") > 0 => "provisioning",
        () if count("active") > 0 => "active",
        () => "ready",
    }
}

fn live(application: &Value) -> String {
    application["health"]["instances"]["active"].to_string()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_is_as_well_as_its_worst_instance() {
        let state_of = |failed: u32, starting: u32, active: u32| {
            let instances = json!({"failed": failed, "starting": starting, "active": active});
            state(&json!({"health": {"instances": instances}}))
        };
        assert_eq!(state_of(1, 1, 2), "degraded");
        assert_eq!(state_of(0, 1, 2), "provisioning");
        assert_eq!(state_of(0, 0, 2), "active");
        assert_eq!(state_of(0, 0, 0), "ready");
        assert_eq!(state(&json!({})), "ready");
    }
}
