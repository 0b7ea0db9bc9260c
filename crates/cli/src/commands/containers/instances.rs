//! `berth containers instances`, `stop` and `restart`.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{client, find, text};
use crate::api::{Request, escaped, failed};
use crate::args::ApplicationsPlace;
use crate::error::CliError;
use crate::human::{ago, print_json, table};
use crate::printer::Printer;

/// More than the time that platforms give by themselves.
const LONGEST: Duration = Duration::from_hours(24);
/// Digits of a Durable Object's id that are shown.
const SHOWN_DIGITS: usize = 12;

pub(super) async fn list(
    place: &ApplicationsPlace,
    named: &str,
    json: bool,
    printer: &Printer,
) -> Result<(), CliError> {
    let client = client(place).await?;
    let id = text(&find(&client, named).await?["id"]);
    let path = client.path(&format!("/containers/dash/applications/{}/instances", escaped(&id)));
    let found: Value =
        client.ask(Request::get(path)).await.map_err(failed("list the instances"))?;
    if json {
        return print_json(&found, printer);
    }
    let rows = rows(&found, Timestamp::now());
    if rows.is_empty() {
        printer.info("There are no instances");
        return Ok(());
    }
    for line in table(["INSTANCE", "NAME", "STATE", "LOCATION", "VERSION", "CREATED"], &rows) {
        printer.data(line);
    }
    Ok(())
}

/// Instances with wrangler's columns; who has no name is called by the beginning of its object's id.
fn rows(found: &Value, now: Timestamp) -> Vec<[String; 6]> {
    let list = |key: &str| found[key].as_array().into_iter().flatten();
    let name = |id: &Value| {
        let object = list("durable_objects").find(|object| object["deployment_id"] == *id);
        let object = object.unwrap_or(&Value::Null);
        match object["name"].as_str() {
            Some(name) => name.to_owned(),
            None => text(&object["id"]).chars().take(SHOWN_DIGITS).collect(),
        }
    };
    let row = |one: &Value| {
        let state = match &one["current_placement"]["status"]["container_status"] {
            Value::String(state) if state == "placed" => "provisioning".to_owned(),
            state => text(state),
        };
        let created = one["created_at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
        let created = created.map(|at| ago(now.as_second(), at.as_second()));
        [
            text(&one["id"]),
            name(&one["id"]),
            state,
            text(&one["location"]),
            one["app_version"].to_string(),
            created.unwrap_or_default(),
        ]
    };
    list("instances").map(row).collect()
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
        let rows = rows(&found, Timestamp::from_second(120).unwrap());
        assert_eq!(rows[0], ["i1", "0123456789ab", "provisioning", "local", "2", ""]);
        assert_eq!(rows[1], ["i2", "lobby", "running", "local", "1", "2 minutes ago"]);
    }

    #[test]
    fn a_grace_is_whole_seconds() {
        assert_eq!(wanted(Some(Duration::from_millis(1500))), json!({"grace_seconds": 2}));
        assert_eq!(wanted(Some(Duration::ZERO)), json!({"grace_seconds": 0}));
        assert_eq!(wanted(None), json!({}));
    }
}
