//! `/_ping`, `/version`, `/info`, `/system/df`.

use std::sync::Arc;

use http::{HeaderValue, Response, header};
use serde_json::{Value, json};

use super::record::Status;
use super::reply::{Answer, ok};
use super::{API_VERSIONS, Inner};
use crate::docker_api::reply::whole;

pub(super) fn ping() -> Answer {
    let mut reply = Response::new(whole("OK"));
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(reply)
}

/// What `docker version` shows of the server.
pub(super) fn version(berth: &str) -> Value {
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let (newest, oldest) = API_VERSIONS;
    json!({
        "Platform": {"Name": "Berth"},
        "Components": [{
            "Name": "Engine",
            "Version": berth,
            "Details": {"ApiVersion": newest, "MinAPIVersion": oldest, "Os": "linux",
                "Arch": image::Platform::host().architecture(), "KernelVersion": kernel},
        }],
        "Version": berth,
        "ApiVersion": newest,
        "MinAPIVersion": oldest,
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": image::Platform::host().architecture(),
        "KernelVersion": kernel,
        "BuildTime": "",
    })
}

/// What `docker info` shows: of the machine, and what of it the engine uses.
#[must_use]
pub fn machine(berth: &str) -> Value {
    let machine = super::Machine::this();
    let uname = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    json!({
        "ID": "",
        "Driver": "overlay2",
        "DriverStatus": [],
        "Plugins": {"Volume": ["local"], "Network": ["bridge", "null"], "Authorization": null,
            "Log": ["json-file"]},
        "MemoryLimit": true,
        "SwapLimit": false,
        "CpuCfsPeriod": true,
        "CpuCfsQuota": true,
        "PidsLimit": true,
        "OomKillDisable": false,
        "IPv4Forwarding": true,
        "Debug": false,
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2",
        "KernelVersion": text(uname.release()),
        "OperatingSystem": "Berth",
        "OSType": "linux",
        "Architecture": text(uname.machine()),
        "NCPU": machine.vcpu as u64,
        "MemTotal": machine.memory_mib * 1024 * 1024,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {"InsecureRegistryCIDRs": ["127.0.0.0/8"], "IndexConfigs": {},
            "Mirrors": []},
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": text(uname.nodename()),
        "Labels": [],
        "ExperimentalBuild": false,
        "ServerVersion": berth,
        "Runtimes": {"berth": {"path": "berth"}},
        "DefaultRuntime": "berth",
        "Swarm": {"LocalNodeState": "inactive", "ControlAvailable": false},
        "LiveRestoreEnabled": false,
        "Isolation": "",
        "InitBinary": "berth-init",
        "SecurityOptions": ["name=seccomp,profile=builtin"],
        "Warnings": null,
    })
}

/// `GET /info`
pub(super) fn info(engine: &Arc<Inner>) -> Answer {
    let mut info = machine(engine.version);
    let all = engine.containers.all();
    let objects = engine.objects().len();
    let running = all.iter().filter(|c| c.life.borrow().status == Status::Running).count();
    info["Containers"] = json!(all.len() + objects);
    info["ContainersRunning"] = json!(running + objects);
    info["ContainersPaused"] = json!(0);
    info["ContainersStopped"] = json!(all.len() - running);
    info["Images"] = json!(engine.images.count());
    info["DockerRootDir"] = json!(engine.dir);
    ok(info)
}

/// `GET /system/df`
pub(super) async fn disk_usage(engine: &Arc<Inner>) -> Answer {
    let images = engine.images.list(&super::filters::Filters::default()).await?;
    let size: u64 = images.iter().filter_map(|image| image["Size"].as_u64()).sum();
    ok(json!({
        "LayersSize": size,
        "Images": images,
        "Containers": [],
        "Volumes": [],
        "BuildCache": [],
    }))
}
