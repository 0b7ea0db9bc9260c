//! `GET /containers/{id}/json`: a container as `docker inspect` shows it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Inner;
use super::containers::{Container, Found};
use super::record::{Life, Status};
use super::reply::{Answer, ok};
use crate::slot::Slot;

/// A time that never was, in Go's words.
const NEVER: &str = "0001-01-01T00:00:00Z";

pub(super) fn inspect(engine: &Inner, found: &Found) -> Answer {
    ok(match found {
        Found::Plain(container) => plain(engine, container),
        Found::Object(slot) => object(slot),
    })
}

fn plain(engine: &Inner, container: &Container) -> Value {
    let record = container.record();
    let found = container.life.borrow().clone();
    let pid = pid(engine, container);
    let body = &record.body;
    let command: Vec<&str> = ["Entrypoint", "Cmd"]
        .iter()
        .flat_map(|key| body[key].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    let (path, args) = command.split_first().map_or(("", &[][..]), |(first, rest)| (*first, rest));
    let mut config = body.clone();
    let mut host = config["HostConfig"].take();
    config["Image"] = json!(record.image_name);
    if let Some(config) = config.as_object_mut() {
        config.remove("HostConfig");
        config.remove("NetworkingConfig");
    }
    if !host.is_object() {
        host = json!({});
    }
    if host["NetworkMode"].as_str().unwrap_or_default().is_empty() {
        host["NetworkMode"] = json!("default");
    }
    if !host["LogConfig"].is_object() {
        host["LogConfig"] = json!({"Type": "json-file", "Config": {}});
    }
    json!({
        "Id": record.id.as_str(),
        "Created": record.created.to_string(),
        "Path": path,
        "Args": args,
        "State": state(&found, pid),
        "Image": record.image_id.as_str(),
        "Name": format!("/{}", record.name),
        "RestartCount": 0,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": null,
        "HostConfig": host,
        "GraphDriver": {"Name": "overlay2", "Data": null},
        "Mounts": mounts(container),
        "Config": config,
        "NetworkSettings": network(container.ports.inspected(body)),
    })
}

fn network(ports: Value) -> Value {
    json!({
        "Bridge": "",
        "Ports": ports,
        "IPAddress": "127.0.0.1",
        "Gateway": "127.0.0.1",
        "Networks": {"bridge": {"IPAddress": "127.0.0.1", "Gateway": "127.0.0.1"}},
    })
}

/// A Durable Object's container, as far as it has what Docker shows.
fn object(slot: &Slot) -> Value {
    let listed = listed_object(slot);
    let published = slot.visible().map(|instance| instance.published());
    let state = published.as_ref().map(|published| &published.state);
    let running = published.as_ref().and_then(|published| published.running.as_ref());
    let status = state.map_or("removing", |state| state.docker_status());
    let exit = state.and_then(|state| state.exit_status());
    json!({
        "Id": slot.name.object.as_str(),
        "Created": NEVER,
        "Path": "",
        "Args": [],
        "State": {
            "Status": status,
            "Running": status == "running",
            "Paused": false,
            "Restarting": false,
            "Dead": false,
            "OOMKilled": exit.is_some_and(|exit| exit.out_of_memory),
            "Pid": running.map_or(0, |running| running.sandbox.pid()),
            "ExitCode": exit.map_or(0, |exit| exit.code),
            "Error": "",
            "StartedAt": NEVER,
            "FinishedAt": NEVER,
        },
        "Image": running.map(|running| running.files.image.clone()),
        "Name": format!("/{}", slot.name),
        "Platform": "linux",
        "HostConfig": {"NetworkMode": "default", "LogConfig": {"Type": "json-file", "Config": {}}},
        "Mounts": [],
        "Config": {
            "Image": listed["Image"],
            "Labels": listed["Labels"],
            "Env": running.map(|running| running.process.env.clone()),
            "Tty": false,
            "OpenStdin": false,
        },
        "NetworkSettings": network(json!({})),
    })
}

fn state(life: &Life, pid: u32) -> Value {
    let (code, out_of_memory, error) = match &life.status {
        Status::Exited { code, out_of_memory, error } => (*code, *out_of_memory, error.as_str()),
        Status::Removed { code } => (*code, false, ""),
        Status::Created | Status::Running => (0, false, ""),
    };
    let time = |time: Option<Timestamp>| time.map_or(NEVER.to_owned(), |time| time.to_string());
    json!({
        "Status": life.status.name(),
        "Running": life.status == Status::Running,
        "Paused": false,
        "Restarting": false,
        "Dead": false,
        "OOMKilled": out_of_memory,
        "Pid": pid,
        "ExitCode": code,
        "Error": error,
        "StartedAt": time(life.started),
        "FinishedAt": time(life.finished.filter(|_| life.status != Status::Running)),
    })
}

fn pid(engine: &Inner, container: &Container) -> u32 {
    let application = engine.api.applications.by_key(&container.place.key);
    let slot = application.and_then(|app| engine.api.slots.find(&app, &container.place));
    let published = slot.and_then(|slot| slot.visible()).map(|instance| instance.published());
    let live = published.filter(|published| published.state.is_live());
    live.and_then(|published| published.running).map_or(0, |running| running.sandbox.pid())
}

pub(super) fn mounts(container: &Container) -> Vec<Value> {
    let mount = |bind: &runtime::BindMount| {
        json!({
            "Type": "bind",
            "Source": bind.source,
            "Destination": bind.target,
            "Mode": if bind.read_only { "ro" } else { "" },
            "RW": !bind.read_only,
            "Propagation": "rprivate",
        })
    };
    container.plain.binds.iter().map(mount).collect()
}

/// A Durable Object's container in a list.
pub(super) fn listed_object(slot: &Slot) -> Value {
    let asked = slot.asked.lock().expect("no holder of this lock panics").clone();
    let published = slot.visible().map(|instance| instance.published());
    let status = published.as_ref().map_or("removing", |p| p.state.docker_status());
    let since = published.as_ref().and_then(|published| published.running.as_ref());
    let since = since.map(|running| running.since.elapsed().as_secs()).unwrap_or_default();
    let now = Timestamp::now().as_second();
    let image = asked.as_ref().map(|asked| asked.image.clone()).unwrap_or_default();
    json!({
        "Id": slot.name.object.as_str(),
        "Names": [format!("/{}", slot.name)],
        "Image": image,
        "ImageID": "",
        "Command": "",
        "Created": now.saturating_sub(i64::try_from(since).unwrap_or_default()),
        "Ports": [],
        "Labels": asked.and_then(|asked| asked.labels.clone()).unwrap_or_default(),
        "State": status,
        "Status": match status {
            "running" => format!("Up {}", super::list::duration(since)),
            other => other.to_owned(),
        },
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {"Networks": {}},
        "Mounts": [],
    })
}
