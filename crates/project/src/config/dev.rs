//! `dev`, and Berth's own key `berth`.

use std::collections::BTreeMap;
use std::time::Duration;

use model::limits::STOP_GRACE;

use super::{Berth, Dev};
use crate::check::{self, Report};
use crate::config::scope::Scope;
use crate::tree::{Node, Object};

/// `dev`.
pub(super) fn dev(report: &mut Report, scope: &Scope<'_>) -> Dev {
    let mut dev = Dev { ip: None, port: None, enable_containers: true };
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
    if let Some(node) = get("container_engine")
        && node.as_object().is_none()
    {
        check::string(report, "dev.container_engine", node);
    }
    dev
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
    let mut berth = Berth { stop_grace: STOP_GRACE, registry_mirrors: BTreeMap::new() };
    let Some(field) = scope.top("berth") else { return berth };
    let Some(object) = check::object(report, "berth", field.node) else { return berth };
    report.unexpected_fields("berth", object, &["stop_grace", "registry_mirrors"]);
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
    let Some(entry) = check::value(object, "registry_mirrors") else { return berth };
    let Some(mirrors) = check::object(report, "berth.registry_mirrors", &entry.node) else {
        return berth;
    };
    for mirror in &mirrors.entries {
        let path = format!("berth.registry_mirrors.{}", mirror.key);
        let Some(url) = check::string(report, &path, &mirror.node) else { continue };
        if url.starts_with("http://") || url.starts_with("https://") {
            berth.registry_mirrors.insert(mirror.key.clone(), url.to_owned());
        } else {
            report.error(
                &mirror.node.span,
                format!("\"{path}\" must be a URL that begins with http:// or https://, but got \"{url}\"."),
            );
        }
    }
    berth
}

/// A number of seconds, or a text of a number and a unit.
fn duration(node: &Node) -> Option<Duration> {
    if let Some(seconds) = node.as_f64() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let text = node.as_str()?.trim();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(at);
    let number: f64 = number.parse().ok()?;
    let seconds = match unit.trim_start() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok()
}
