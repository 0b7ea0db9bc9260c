//! `dev`, and Berth's own key `berth`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use model::limits::{STARTS_PER_SECOND, STOP_GRACE};

use super::{Berth, ContainerEngine, Dev};
use crate::check::{self, Report};
use crate::config::scope::Scope;
use crate::tree::{Node, Object};

/// `dev`.
pub(super) fn dev(report: &mut Report, scope: &Scope<'_>) -> Dev {
    let mut dev = Dev { ip: None, port: None, enable_containers: true, container_engine: None };
    let Some(field) = scope.top("dev") else { return dev };
    let Some(object) = check::object(report, "dev", field.node) else { return dev };
    let known = [
        "ip",
        "port",
        "inspector_port",
        "inspector_ip",
        "local_protocol",
        "upstream_protocol",
        "host",
        "enable_containers",
        "container_engine",
        "generate_types",
    ];
    report.unexpected_fields("dev", object, &known);
    let get = |key: &str| check::value(object, key).map(|entry| &entry.node);
    if let Some(node) = get("ip") {
        dev.ip = check::string(report, "dev.ip", node).map(str::to_owned);
    }
    dev.port = port(report, object, "port");
    port(report, object, "inspector_port");
    for key in ["inspector_ip", "host"] {
        if let Some(node) = get(key) {
            check::string(report, &format!("dev.{key}"), node);
        }
    }
    for key in ["local_protocol", "upstream_protocol"] {
        let Some(node) = get(key) else { continue };
        let chosen = check::choice(report, &format!("dev.{key}"), node, &["http", "https"]);
        if key == "local_protocol" && chosen == Some("https") {
            report.warn(
                &node.span,
                "\"dev.local_protocol\": Berth serves http, https is not supported yet.",
            );
        }
    }
    if let Some(node) = get("enable_containers") {
        dev.enable_containers =
            check::boolean(report, "dev.enable_containers", node).unwrap_or(true);
    }
    if let Some(node) = get("generate_types") {
        check::boolean(report, "dev.generate_types", node);
    }
    dev.container_engine = get("container_engine").and_then(|node| container_engine(report, node));
    dev
}

/// A socket, or `{ localDocker: { socketPath, containerEgressInterceptorImage } }`.
fn container_engine(report: &mut Report, node: &Node) -> Option<ContainerEngine> {
    let Some(object) = node.as_object() else {
        let socket = check::string(report, "dev.container_engine", node)?;
        return Some(ContainerEngine { socket: socket_path(socket), interceptor_image: None });
    };
    report.unexpected_fields("dev.container_engine", object, &["localDocker"]);
    let path = "dev.container_engine.localDocker";
    let local = check::object(report, path, &check::value(object, "localDocker")?.node)?;
    report.unexpected_fields(path, local, &["socketPath", "containerEgressInterceptorImage"]);
    let mut text = |key: &str| {
        let node = &check::value(local, key)?.node;
        check::string(report, &format!("{path}.{key}"), node).map(str::to_owned)
    };
    Some(ContainerEngine {
        socket: socket_path(&text("socketPath")?),
        interceptor_image: text("containerEgressInterceptorImage"),
    })
}

/// The path of `unix:///run/docker.sock`, `unix:/run/docker.sock` or `/run/docker.sock`.
fn socket_path(text: &str) -> PathBuf {
    let path = text.strip_prefix("unix:").unwrap_or(text);
    PathBuf::from(path.strip_prefix("//").unwrap_or(path))
}

fn port(report: &mut Report, object: &Object, key: &str) -> Option<u16> {
    let node = &check::value(object, key)?.node;
    check::number(report, &format!("dev.{key}"), node)?;
    let port = node.as_u64().and_then(|port| u16::try_from(port).ok());
    if port.is_none() {
        report.error(
            &node.span,
            format!("\"dev.{key}\" must be a port between 0 and 65535, but got {}.", node.json()),
        );
    }
    port
}

/// `berth`.
pub(super) fn berth(report: &mut Report, scope: &Scope<'_>) -> Berth {
    let mut berth = Berth {
        stop_grace: STOP_GRACE,
        start_rate: STARTS_PER_SECOND,
        registry_mirrors: BTreeMap::new(),
        egress_allow: Vec::new(),
        atomic: false,
    };
    let Some(field) = scope.top("berth") else { return berth };
    let Some(object) = check::object(report, "berth", field.node) else { return berth };
    let keys = ["stop_grace", "start_rate", "registry_mirrors", "egress_allow", "atomic"];
    report.unexpected_fields("berth", object, &keys);
    if let Some(entry) = check::value(object, "stop_grace") {
        match duration(&entry.node) {
            Some(grace) => berth.stop_grace = grace,
            None => report.error(
                &entry.node.span,
                format!(
                    "\"berth.stop_grace\" must be a duration such as \"500ms\", \"5s\", \"2m\" or \"1h\", but got {}.",
                    entry.node.json()
                ),
            ),
        }
    }
    if let Some(entry) = check::value(object, "start_rate") {
        match entry.node.as_f64().filter(|rate| rate.is_finite() && *rate > 0.0) {
            Some(rate) => berth.start_rate = rate,
            None => report.error(
                &entry.node.span,
                format!(
                    "\"berth.start_rate\" must be a number of starts each second, above 0, but got {}.",
                    entry.node.json()
                ),
            ),
        }
    }
    berth.registry_mirrors = registry_mirrors(report, object);
    berth.egress_allow = egress_allow(report, object);
    berth.atomic = atomic(report, object);
    berth
}

fn atomic(report: &mut Report, object: &Object) -> bool {
    let Some(entry) = check::value(object, "atomic") else { return false };
    entry.node.as_bool().unwrap_or_else(|| {
        let got = entry.node.json();
        let text = format!("\"berth.atomic\" must be true or false, but got {got}.");
        report.error(&entry.node.span, text);
        false
    })
}

fn registry_mirrors(report: &mut Report, object: &Object) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Some(entry) = check::value(object, "registry_mirrors") else { return found };
    let Some(mirrors) = check::object(report, "berth.registry_mirrors", &entry.node) else {
        return found;
    };
    for mirror in &mirrors.entries {
        let path = format!("berth.registry_mirrors.{}", mirror.key);
        let Some(url) = check::string(report, &path, &mirror.node) else { continue };
        if url.starts_with("http://") || url.starts_with("https://") {
            found.insert(mirror.key.clone(), url.to_owned());
        } else {
            report.error(
                &mirror.node.span,
                format!("\"{path}\" must be a URL that begins with http:// or https://, but got \"{url}\"."),
            );
        }
    }
    found
}

fn egress_allow(report: &mut Report, object: &Object) -> Vec<String> {
    let Some(entry) = check::value(object, "egress_allow") else { return Vec::new() };
    let path = "berth.egress_allow";
    let Some(networks) = check::strings(report, path, &entry.node) else { return Vec::new() };
    if let Some(wrong) = networks.iter().find(|text| !is_network(text)) {
        report.error(
            &entry.node.span,
            format!("\"{path}\" must be a list of networks such as \"192.168.1.0/24\" or \"10.0.0.7\", but got \"{wrong}\"."),
        );
    }
    networks
}

/// An IP address, with the length of its network's prefix or without.
fn is_network(text: &str) -> bool {
    let (address, prefix) = text.split_once('/').unwrap_or((text, "0"));
    let longest = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    prefix.parse::<u8>().is_ok_and(|prefix| prefix <= longest)
}

/// A number of seconds, or a text of a number and a unit.
fn duration(node: &Node) -> Option<Duration> {
    if let Some(seconds) = node.as_f64() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    parse_duration(node.as_str()?)
}

/// A number and a unit: `500ms`, `5s`, `2m`, `1h` or `90d`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(at);
    let number: f64 = number.parse().ok()?;
    let seconds = match unit.trim_start() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok()
}
