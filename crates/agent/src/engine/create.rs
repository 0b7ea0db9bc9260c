//! `POST /containers/create`: what is asked for becomes a container, or is refused by name.

mod fields;
mod mounts;

use std::path::Path;
use std::sync::Arc;

use image::ImageConfig;
use jiff::Timestamp;
use model::{DurableObjectId, Limits};
use serde_json::{Value, json};

use super::error::EngineError;
use super::record::{Life, Record};
use super::reply::{Answer, created};
use super::{DISK_MB, Inner, Machine, names, ports, volumes};
use crate::application::Plain;
use crate::docker_api::parse_signal;
use crate::docker_api::path::Query;
use crate::output::console::Console;

pub(super) use fields::words;
use fields::{flag, number, text};
use mounts::{binds, tmpfs};

/// Bytes of a MiB.
const MIB: u64 = 1024 * 1024;
/// The smallest memory a program starts in at all (Docker's rule).
const LEAST_MEMORY: u64 = 6 * MIB;
/// The folder of what containers have written, in the engine's.
pub(super) const FILES: &str = "files";
/// Processes of a container that asks for no limit.
const PIDS: u64 = 32_768;

/// What a container's creation may ask for that is not done here: where it stands in `HostConfig`,
/// and the option people know it by.
const REFUSED: [(&str, &str); 16] = [
    ("Privileged", "--privileged"),
    ("CapAdd", "--cap-add"),
    ("Devices", "--device"),
    ("DeviceRequests", "--gpus"),
    ("ReadonlyRootfs", "--read-only"),
    ("VolumesFrom", "--volumes-from"),
    ("Links", "--link"),
    ("ExtraHosts", "--add-host"),
    ("Dns", "--dns"),
    ("DnsSearch", "--dns-search"),
    ("Sysctls", "--sysctl"),
    ("Ulimits", "--ulimit"),
    ("PidMode", "--pid"),
    ("UTSMode", "--uts"),
    ("UsernsMode", "--userns"),
    ("CgroupParent", "--cgroup-parent"),
];

/// `POST /containers/create?name=`
pub(super) async fn create(engine: &Arc<Inner>, query: Query<'_>, body: &Value) -> Answer {
    let image_name = text(body, "Image")?;
    if image_name.is_empty() {
        return Err(EngineError::BadParameter("no image was named".to_owned()));
    }
    refuse(body)?;
    platform(query.get("platform").as_deref())?;
    let found = engine.images.find(&image_name).await?;
    let image = engine.images.by_manifest(&found.digest).await?;
    let image = image.ok_or_else(|| EngineError::NoSuchImage(image_name.clone()))?;
    let id = new_id();
    let name = match query.get("name").filter(|name| !name.is_empty()) {
        Some(name) => name.trim_start_matches('/').to_owned(),
        None => names::invented(id.as_str()),
    };
    names::check(&name)?;
    let mut body = body.clone();
    complete(&mut body, &image.config, &id);
    let has_words = |key: &str| body[key].as_array().is_some_and(|words| !words.is_empty());
    if !has_words("Entrypoint") && !has_words("Cmd") {
        return Err(EngineError::BadParameter("No command specified".to_owned()));
    }
    ports::wanted(&body)?;
    let anonymous = volumes::resolve(&engine.volumes, &mut body)?;
    let plain = plain(&body, &id, &engine.dir);
    let record = Record {
        id: id.clone(),
        name,
        created: Timestamp::now(),
        body,
        image_name,
        manifest: found.digest,
        image_id: found.id,
        anonymous_volumes: anonymous.clone(),
        life: Life::default(),
    };
    let added = plain.and_then(|plain| {
        engine.containers.add(record, plain, &engine.api.applications, Some(image))
    });
    if added.is_err() {
        anonymous.iter().for_each(|volume| engine.volumes.discard(volume));
    }
    let container = added?;
    engine.containers.keep(&container);
    engine.tell(&container, "create", &[]);
    created(json!({"Id": id.as_str(), "Warnings": []}))
}

fn new_id() -> DurableObjectId {
    let id = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    DurableObjectId::try_from(id).expect("two simple UUIDs are 64 hex digits")
}

/// Writes down what the image says and the caller left out, as `docker inspect` shows it.
fn complete(body: &mut Value, image: &ImageConfig, id: &DurableObjectId) {
    let own = |body: &Value, key: &str| {
        !matches!(&body[key], Value::Null) && body[key] != "" && body[key] != json!([])
    };
    let has_entrypoint = own(body, "Entrypoint");
    if !own(body, "Cmd") && !has_entrypoint {
        body["Cmd"] = json!(image.cmd);
    }
    if !has_entrypoint && body["Entrypoint"] != json!([]) {
        body["Entrypoint"] = json!(image.entrypoint);
    }
    for (key, value) in [("WorkingDir", &image.working_dir), ("User", &image.user)] {
        if !own(body, key) {
            body[key] = json!(value);
        }
    }
    if !own(body, "Hostname") {
        body["Hostname"] = json!(&id.as_str()[..12]);
    }
    let mut labels = image.labels.clone();
    labels.extend(super::containers::labels(body));
    body["Labels"] = json!(labels);
    let mut env = image.env.clone();
    let caller: Vec<String> = words(body, "Env").ok().flatten().unwrap_or_default();
    env = crate::instance::environment::inherit(&env, &caller);
    body["Env"] = json!(env);
    let exposed = image.exposed_ports.iter().map(|port| (port.to_string(), json!({})));
    let mut all: serde_json::Map<String, Value> = exposed.collect();
    all.extend(body["ExposedPorts"].as_object().cloned().unwrap_or_default());
    body["ExposedPorts"] = Value::Object(all);
}

/// Refuses what would be ignored otherwise.
fn refuse(body: &Value) -> Result<(), EngineError> {
    let host = &body["HostConfig"];
    let refused = |what: &str| Err(EngineError::NotSupported(what.to_owned()));
    for (key, option) in REFUSED {
        if is_set(&host[key]) {
            return refused(option);
        }
    }
    let restart = host["RestartPolicy"]["Name"].as_str().unwrap_or_default();
    if !matches!(restart, "" | "no") {
        return refused(&format!("--restart {restart}"));
    }
    let network = host["NetworkMode"].as_str().unwrap_or_default();
    if !matches!(network, "" | "default" | "bridge" | "none") {
        return refused(&format!("--network {network}"));
    }
    if !matches!(host["IpcMode"].as_str().unwrap_or_default(), "" | "private" | "none") {
        return refused("--ipc");
    }
    let security = host["SecurityOpt"].as_array().into_iter().flatten();
    let other =
        security.filter_map(Value::as_str).find(|option| !option.starts_with("no-new-privileges"));
    match other {
        Some(option) => refused(&format!("--security-opt {option}")),
        None => Ok(()),
    }
}

/// Whether a value says more than nothing.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
    }
}

/// Whether a platform can be run here.
pub(super) fn platform(wanted: Option<&str>) -> Result<(), EngineError> {
    let host = image::Platform::host();
    match wanted.filter(|wanted| !wanted.is_empty()) {
        Some(wanted) if !host.is_named_by(wanted) && wanted != "linux" => {
            let text = format!("platform {wanted}: this machine runs {host}");
            Err(EngineError::BadParameter(text))
        }
        _ => Ok(()),
    }
}

/// What a container is beyond an object's, from its `create`.
pub(super) fn plain(
    body: &Value,
    id: &DurableObjectId,
    engine_dir: &Path,
) -> Result<Plain, EngineError> {
    let host = &body["HostConfig"];
    let tty = flag(body, "Tty")?;
    let stop_signal = match text(body, "StopSignal")?.as_str() {
        "" => None,
        text => Some(
            parse_signal(text)
                .ok_or_else(|| EngineError::BadParameter(format!("Invalid signal: {text}")))?,
        ),
    };
    Ok(Plain {
        limits: limits(host)?,
        files: engine_dir.join(FILES).join(id.as_str()),
        binds: binds(host, engine_dir)?,
        tmpfs: tmpfs(host)?,
        hostname: hostname(body)?,
        working_dir: working_dir(body)?,
        user: text(body, "User")?,
        tty,
        stdin: flag(body, "OpenStdin")?,
        internet: host["NetworkMode"].as_str() != Some("none") && !flag(body, "NetworkDisabled")?,
        stop_signal,
        console: Arc::new(Console::default()),
    })
}

fn limits(host: &Value) -> Result<Limits, EngineError> {
    let machine = Machine::this();
    let memory_mib = match number(host, "Memory")? {
        0 => machine.memory_mib,
        bytes if bytes < LEAST_MEMORY => {
            let text = "Minimum memory limit allowed is 6MB";
            return Err(EngineError::BadParameter(text.to_owned()));
        }
        bytes => bytes.div_ceil(MIB).min(machine.memory_mib),
    };
    let nano = number(host, "NanoCpus")?;
    let (quota, period) = (number(host, "CpuQuota")?, number(host, "CpuPeriod")?);
    #[expect(clippy::cast_precision_loss, reason = "a share of a CPU needs no 53 bits")]
    let vcpu = match (nano, quota) {
        (0, 0) => machine.vcpu,
        (0, quota) => quota as f64 / if period == 0 { 100_000.0 } else { period as f64 },
        (nano, _) => nano as f64 / 1e9,
    };
    if vcpu > machine.vcpu {
        let text = format!(
            "range of CPUs is from 0.01 to {:.2}, as there are only {} CPUs available",
            machine.vcpu, machine.vcpu
        );
        return Err(EngineError::BadParameter(text));
    }
    // -1 and 0 are no limit of one's own.
    let pids = match host["PidsLimit"].as_i64() {
        Some(pids) if pids > 0 => pids.unsigned_abs(),
        _ => PIDS,
    };
    Ok(Limits { vcpu: vcpu.max(0.01), memory_mib, disk_mb: DISK_MB, pids })
}

fn hostname(body: &Value) -> Result<String, EngineError> {
    let name = text(body, "Hostname")?;
    let part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > 63 || !name.bytes().all(part) {
        return Err(EngineError::BadParameter(format!("invalid hostname format: {name}")));
    }
    Ok(name)
}

fn working_dir(body: &Value) -> Result<String, EngineError> {
    let path = text(body, "WorkingDir")?;
    if !path.is_empty() && !path.starts_with('/') {
        let text =
            format!("the working directory '{path}' is invalid, it needs to be an absolute path");
        return Err(EngineError::BadParameter(text));
    }
    Ok(path)
}

/// `--rm`
pub(super) fn removes_itself(body: &Value) -> bool {
    body["HostConfig"]["AutoRemove"].as_bool() == Some(true)
}

/// What a body's own bytes decide; see [`crate::fuzz`].
pub(super) fn fuzz(body: &Value) {
    if !body.is_object() {
        return;
    }
    let _ = refuse(body);
    let id = new_id();
    let _ = plain(body, &id, Path::new("/nowhere"));
    let _ = ports::wanted(body);
    let mut body = body.clone();
    complete(&mut body, &ImageConfig::default(), &id);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: Value) -> Option<String> {
        refuse(&body).err().map(|error| error.to_string())
    }

    #[test]
    fn what_is_not_done_is_refused_by_its_option() {
        for (host, option) in [
            (json!({"Privileged": true}), "--privileged"),
            (json!({"CapAdd": ["NET_ADMIN"]}), "--cap-add"),
            (json!({"RestartPolicy": {"Name": "always"}}), "--restart always"),
            (json!({"NetworkMode": "host"}), "--network host"),
            (json!({"SecurityOpt": ["seccomp=unconfined"]}), "--security-opt seccomp=unconfined"),
        ] {
            let text = refused(json!({"HostConfig": host})).unwrap();
            assert!(text.starts_with(option), "{text}");
        }
        let usual = json!({"HostConfig": {"Privileged": false, "CapAdd": null, "Devices": [],
            "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "NetworkMode": "default",
            "Dns": [], "OomKillDisable": false, "ConsoleSize": [0, 0]}});
        assert_eq!(refused(usual), None);
    }

    #[test]
    fn limits_are_what_is_asked_for_and_else_the_machines() {
        let none = limits(&json!({})).unwrap();
        assert_eq!(none.pids, PIDS);
        let some = json!({"Memory": 64 * MIB, "NanoCpus": 500_000_000, "PidsLimit": 20});
        let some = limits(&some).unwrap();
        assert_eq!((some.memory_mib, some.vcpu, some.pids), (64, 0.5, 20));
        assert!(limits(&json!({"Memory": 1})).is_err());
        assert!(limits(&json!({"NanoCpus": 1_000_000_000_000_u64})).is_err());
        assert!(limits(&json!({"Memory": "much"})).is_err());
    }

    #[test]
    fn the_image_fills_in_what_is_left_out() {
        let image = ImageConfig {
            entrypoint: vec!["/e".into()],
            cmd: vec!["c".into()],
            env: vec!["A=1".into()],
            ..ImageConfig::default()
        };
        let id = new_id();
        let mut body = json!({"Env": ["B=2"], "Cmd": null});
        complete(&mut body, &image, &id);
        assert_eq!((&body["Entrypoint"], &body["Cmd"]), (&json!(["/e"]), &json!(["c"])));
        assert_eq!(body["Env"], json!(["A=1", "B=2"]));
        let mut body = json!({"Entrypoint": ["/o"]});
        complete(&mut body, &image, &id);
        assert_eq!((&body["Entrypoint"], &body["Cmd"]), (&json!(["/o"]), &Value::Null));
    }
}
