//! `berth containers instances`, `stop` and `restart`.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{List, client, find, text};
use crate::api::{Request, escaped, failed};
use crate::args::{ApplicationsPlace, InstancesArgs};
use crate::error::CliError;
use crate::human::{ago, print_json, table};
use crate::printer::Printer;

/// More than the time that platforms give by themselves.
const LONGEST: Duration = Duration::from_hours(24);
/// Digits of a Durable Object's id that are shown.
const SHOWN_DIGITS: usize = 12;

pub(super) async fn list(args: &InstancesArgs, printer: &Printer) -> Result<(), CliError> {
    let client = client(&args.place).await?;
    let id = text(&find(&client, &args.application).await?["id"]);
    let path = client.path(&format!("/containers/dash/applications/{}/instances", escaped(&id)));
    let asks = !args.json && args.search.is_none();
    let list = List { client: &client, path: &path, per_page: args.per_page, asks, printer };
    if args.json && args.search.is_none() && (args.per_page.is_some() || args.page_token.is_some())
    {
        let (found, next) = list.part(args.page_token.as_deref()).await?;
        let info = json!({"per_page": args.per_page, "page_token": args.page_token,
            "next_page_token": next});
        let all: Vec<_> = rows(&found).iter().map(Row::as_wrangler).collect();
        return print_json(&json!({"instances": all, "result_info": info}), printer);
    }
    let take = |found: Value| {
        let mut rows = rows(&found);
        rows.retain(|row| args.search.as_ref().is_none_or(|search| row.is_called(search)));
        rows
    };
    let (all, shown) = list.walk(take, |part| print(part, printer)).await?;
    match (all.len() + shown, &args.search) {
        _ if args.json => {
            print_json(&all.iter().map(Row::as_wrangler).collect::<Vec<_>>(), printer)?;
        }
        (0, Some(name)) => printer.info(format_args!("No instance has the id or the name {name}")),
        (0, None) => printer.info("There are no instances"),
        _ => print(&all, printer),
    }
    Ok(())
}

fn print(rows: &[Row], printer: &Printer) {
    let now = Timestamp::now();
    let rows: Vec<_> = rows.iter().map(|row| row.columns(now)).collect();
    for line in table(["INSTANCE", "NAME", "STATE", "LOCATION", "VERSION", "CREATED"], &rows) {
        printer.data(line);
    }
}

/// An instance, and the Durable Object that owns it.
struct Row {
    instance: Value,
    object: Value,
}

fn rows(found: &Value) -> Vec<Row> {
    let list = |key: &str| found[key].as_array().into_iter().flatten();
    let row = |instance: &Value| {
        let is_its = |object: &&Value| object["deployment_id"] == instance["id"];
        let object = list("durable_objects").find(is_its).cloned().unwrap_or_default();
        Row { instance: instance.clone(), object }
    };
    list("instances").map(row).collect()
}

impl Row {
    /// Wrangler's columns; who has no name is called by the beginning of its object's id.
    fn columns(&self, now: Timestamp) -> [String; 6] {
        let created = self.instance["created_at"].as_str();
        let created = created.and_then(|at| at.parse::<Timestamp>().ok());
        let created = created.map(|at| ago(now.as_second(), at.as_second()));
        let name = match self.object["name"].as_str() {
            Some(name) => name.to_owned(),
            None => text(&self.object["id"]).chars().take(SHOWN_DIGITS).collect(),
        };
        [
            text(&self.instance["id"]),
            name,
            self.state(),
            text(&self.instance["location"]),
            self.instance["app_version"].to_string(),
            created.unwrap_or_default(),
        ]
    }

    /// What `wrangler containers instances --json` prints of one, where `id` is the object's; and the
    /// id by which instances are named here.
    fn as_wrangler(&self) -> Value {
        let Self { instance, object } = self;
        let first = |one: &Value, other: &Value| if one.is_null() { other } else { one }.clone();
        json!({
            "id": first(&object["id"], &instance["id"]),
            "instance": instance["id"],
            "name": object["name"],
            "state": self.state(),
            "location": instance["location"],
            "version": instance["app_version"],
            "created": first(&instance["created_at"], &object["assigned_at"]),
        })
    }

    fn state(&self) -> String {
        match &self.instance["current_placement"]["status"]["container_status"] {
            Value::String(state) if state == "placed" => "provisioning".to_owned(),
            state => text(state),
        }
    }

    /// Whether it is meant by this id or name.
    fn is_called(&self, name: &str) -> bool {
        [&self.instance["id"], &self.object["id"], &self.object["name"]].contains(&&json!(name))
    }
}

pub(super) async fn stop(
    place: &ApplicationsPlace,
    ids: &[String],
    grace: Option<Duration>,
    printer: &Printer,
) -> Result<(), CliError> {
    let client = client(place).await?;
    for id in ids {
        let path = client.path(&format!("/berth/instances/{}/stop", escaped(id)));
        let _: Value = client
            .ask(stop_request(path, grace))
            .await
            .map_err(failed(&format!("stop the instance {id}")))?;
        printer.data(id);
    }
    Ok(())
}

pub(super) async fn restart(
    place: &ApplicationsPlace,
    named: &str,
    grace: Option<Duration>,
    printer: &Printer,
) -> Result<(), CliError> {
    let client = client(place).await?;
    let id = text(&find(&client, named).await?["id"]);
    let path = client.path(&format!("/berth/applications/{}/restart", escaped(&id)));
    let stopped: Value = client
        .ask(stop_request(path, grace))
        .await
        .map_err(failed(&format!("restart the instances of \"{named}\"")))?;
    let stopped: Vec<&str> =
        stopped["instances"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for id in &stopped {
        printer.data(id);
    }
    printer.info("The next request of each object starts a new one");
    Ok(())
}

/// A stop, which is answered when all that it is about has ended.
fn stop_request(path: String, grace: Option<Duration>) -> Request {
    Request::post(path).json(&wanted(grace)).takes(grace.unwrap_or(LONGEST))
}

/// What a stop is asked for with: a part of a second is a whole one.
fn wanted(grace: Option<Duration>) -> Value {
    match grace {
        Some(grace) => json!({ "grace_seconds": grace.as_millis().div_ceil(1000) }),
        None => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_have_wranglers_columns() {
        let found = json!({
            "instances": [
                {"id": "i1", "app_version": 2, "location": "local", "created_at": null,
                 "current_placement": {"status": {"container_status": "placed"}}},
                {"id": "i2", "app_version": 1, "location": "local",
                 "created_at": "1970-01-01T00:00:00Z",
                 "current_placement": {"status": {"container_status": "running"}}},
            ],
            "durable_objects": [
                {"id": "0123456789abcdef", "name": null, "deployment_id": "i1"},
                {"id": "f", "name": "lobby", "deployment_id": "i2"},
            ],
        });
        let (rows, now) = (rows(&found), Timestamp::from_second(120).unwrap());
        let expected = ["i1", "0123456789ab", "provisioning", "local", "2", ""];
        assert_eq!(rows[0].columns(now), expected);
        let expected = ["i2", "lobby", "running", "local", "1", "2 minutes ago"];
        assert_eq!(rows[1].columns(now), expected);
        let expected = json!({"id": "f", "instance": "i2", "name": "lobby", "state": "running",
            "location": "local", "version": 1, "created": "1970-01-01T00:00:00Z"});
        assert_eq!(rows[1].as_wrangler(), expected);
        assert!(["i2", "f", "lobby"].iter().all(|name| rows[1].is_called(name)));
        assert!(!rows[0].is_called("lobby") && !rows[0].is_called("0123456789ab"));
    }

    #[test]
    fn a_grace_is_whole_seconds() {
        assert_eq!(wanted(Some(Duration::from_millis(1500))), json!({"grace_seconds": 2}));
        assert_eq!(wanted(Some(Duration::ZERO)), json!({"grace_seconds": 0}));
        assert_eq!(wanted(None), json!({}));
    }
}
