//! `GET /containers/json` and `POST /containers/prune`.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::containers::{Container, labels};
use super::filters::Filters;
use super::record::Status;
use super::reply::{Answer, ok};
use super::{Inner, view};
use crate::docker_api::path::Query;

/// What a list can be narrowed to.
const FILTERS: [&str; 6] = ["id", "name", "label", "status", "ancestor", "exited"];

/// `GET /containers/json?all=&limit=&filters=`
pub(super) fn list(engine: &Arc<Inner>, query: Query<'_>) -> Answer {
    let filters = Filters::parse(query.get("filters").as_deref())?;
    filters.only(&FILTERS)?;
    let limit = query.get("limit").and_then(|limit| limit.parse::<usize>().ok()).unwrap_or(0);
    let all = query.flag("all") || limit > 0 || !filters.values("status").is_empty();
    let plain = engine.containers.all();
    let plain = plain.iter().map(|container| listed(container));
    let objects = engine.objects();
    let objects = objects.iter().map(|slot| view::listed_object(slot));
    let mut listed: Vec<Value> = plain
        .chain(objects)
        .filter(|container| all || container["State"] == "running")
        .filter(|container| fits(container, &filters))
        .collect();
    if limit > 0 {
        listed.truncate(limit);
    }
    ok(Value::Array(listed))
}

fn fits(container: &Value, filters: &Filters) -> bool {
    let text = |key: &str| container[key].as_str().unwrap_or_default();
    let names = container["Names"][0].as_str().unwrap_or_default();
    filters.fits("id", |id| text("Id").starts_with(id))
        && filters.fits("name", |name| names.contains(name.trim_start_matches('/')))
        && filters.fits("status", |status| status == text("State"))
        && filters.fits("exited", |code| text("Status").contains(&format!("({code})")))
        && filters.fits("ancestor", |image| {
            let untagged = |name: &str| name.trim_end_matches(":latest").to_owned();
            untagged(text("Image")) == untagged(image)
                || text("ImageID").trim_start_matches("sha256:").starts_with(image)
        })
        && filters.labels(&labels(container))
}

/// A container of its own in a list.
fn listed(container: &Container) -> Value {
    let (record, life) = (container.record(), container.life.borrow().clone());
    let body = &record.body;
    let words = |key: &str| body[key].as_array().cloned().unwrap_or_default();
    let command: Vec<String> = words("Entrypoint")
        .iter()
        .chain(&words("Cmd"))
        .filter_map(|word| word.as_str().map(str::to_owned))
        .collect();
    let network = body["HostConfig"]["NetworkMode"].as_str().filter(|mode| !mode.is_empty());
    json!({
        "Id": record.id.as_str(),
        "Names": [format!("/{}", record.name)],
        "Image": record.image_name,
        "ImageID": record.image_id.as_str(),
        "Command": command.join(" "),
        "Created": record.created.as_second(),
        "Ports": container.ports.listed(body),
        "Labels": labels(body),
        "State": life.status.name(),
        "Status": status(&life.status, life.started, life.finished),
        "HostConfig": {"NetworkMode": network.unwrap_or("default")},
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "127.0.0.1"}}},
        "Mounts": view::mounts(container),
    })
}

/// `Up 5 minutes`, `Exited (0) 2 hours ago`.
fn status(status: &Status, started: Option<Timestamp>, finished: Option<Timestamp>) -> String {
    let since = |time: Option<Timestamp>| {
        let seconds = time.map(|time| Timestamp::now().as_second() - time.as_second());
        duration(u64::try_from(seconds.unwrap_or_default()).unwrap_or_default())
    };
    match status {
        Status::Created => "Created".to_owned(),
        Status::Running => format!("Up {}", since(started)),
        Status::Exited { code, .. } => format!("Exited ({code}) {} ago", since(finished)),
        Status::Removed { .. } => "Removal In Progress".to_owned(),
    }
}

/// A time in Docker's words.
#[must_use]
pub fn duration(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        120..3600 => format!("{minutes} minutes"),
        3600..5400 => "About an hour".to_owned(),
        5400..172_800 => format!("{hours} hours"),
        172_800..1_209_600 => format!("{} days", hours / 24),
        1_209_600..5_184_000 => format!("{} weeks", hours / 24 / 7),
        5_184_000..63_072_000 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// `POST /containers/prune`: what does not run goes.
pub(super) async fn prune(engine: &Arc<Inner>, query: Query<'_>) -> Answer {
    let filters = Filters::parse(query.get("filters").as_deref())?;
    filters.only(&["label"])?;
    let mut removed = Vec::new();
    for container in engine.containers.all() {
        let runs = container.life.borrow().status == Status::Running;
        if !runs && filters.labels(&labels(&container.record().body)) {
            engine.remove_in_turn(&container, false).await?;
            removed.push(container.id.to_string());
        }
    }
    ok(json!({"ContainersDeleted": removed, "SpaceReclaimed": 0}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_dockers_words() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (59, "59 seconds"),
            (61, "About a minute"),
            (600, "10 minutes"),
            (4000, "About an hour"),
            (7200, "2 hours"),
            (3 * 86_400, "3 days"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn a_list_is_narrowed_by_label_name_and_image() {
        let container = json!({"Id": "abc", "Names": ["/web"], "State": "running", "Image": "nginx",
            "ImageID": "sha256:12", "Status": "Up", "Labels": {"a": "1"}});
        let fit = |text: &str| fits(&container, &Filters::parse(Some(text)).unwrap());
        assert!(fit(r#"{"label":["a=1"],"name":["we"],"ancestor":["nginx:latest"]}"#));
        assert!(!fit(r#"{"label":["a=2"]}"#) && !fit(r#"{"status":["exited"]}"#));
    }
}
