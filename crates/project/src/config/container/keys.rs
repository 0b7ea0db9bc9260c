//! The remaining keys of an entry: observability, SSH, places, and what is deprecated.

use super::super::bundling::observability_enabled;
use crate::check::{self, Report};
use crate::config::{Constraints, Observability, Ssh};
use crate::tree::{Node, Object};

/// Warns of deprecated keys and gives `configuration`, whose values still count.
pub(super) fn deprecated<'a>(report: &mut Report, object: &'a Object) -> Option<&'a Object> {
    let notes = [
        (
            "instances",
            "\"containers.instances\" is deprecated. Use \"containers.max_instances\" instead.",
        ),
        (
            "durable_objects",
            "\"containers.durable_objects\" is deprecated. Use the \"class_name\" field instead.",
        ),
        (
            "wrangler_ssh",
            "\"containers.wrangler_ssh\" is deprecated. Use \"containers.ssh\" instead.",
        ),
        (
            "configuration",
            "\"containers.configuration\" is deprecated. Use top level \"containers\" fields instead. \"configuration.image\" should be \"image\", limits should be set via \"instance_type\".",
        ),
    ];
    for (key, text) in notes {
        if let Some(entry) = object.get(key) {
            report.warn(&entry.key_span, text);
        }
    }
    let entry = object.get("configuration")?;
    let Some(configuration) = entry.node.as_object() else {
        report.error(&entry.node.span, "\"containers.configuration\" should be an object");
        return None;
    };
    let known = ["image", "secrets", "labels", "disk", "vcpu", "memory_mib"];
    report.unexpected_fields("containers.configuration", configuration, &known);
    Some(configuration)
}

/// What an entry cannot have when its Durable Objects manage its containers: each start says it.
const OF_OTHER_POLICIES: [&str; 12] = [
    "image",
    "image_build_context",
    "image_vars",
    "instance_type",
    "max_instances",
    "instances",
    "configuration",
    "constraints",
    "affinities",
    "rollout_step_percentage",
    "rollout_kind",
    "rollout_active_grace_period",
];

/// Whether the Durable Objects manage the containers (`scheduling_policy: "durable_object"`), which
/// decides what else an entry may have.
pub(super) fn managed_by_objects(report: &mut Report, object: &Object) -> bool {
    let policy = check::value(object, "scheduling_policy");
    let managed = policy.is_some_and(|entry| entry.node.as_str() == Some("durable_object"));
    if let Some(entry) = policy.filter(|_| !managed) {
        let choices = ["regional", "moon", "default"];
        check::choice(report, "containers.scheduling_policy", &entry.node, &choices);
    }
    if let Some(entry) = check::value(object, "images").filter(|_| !managed) {
        report.error(
            &entry.key_span,
            "\"containers.images\" can only be used with \"scheduling_policy\": \"durable_object\". Use \"image\" instead.",
        );
    }
    for key in OF_OTHER_POLICIES {
        if let Some(entry) = check::value(object, key).filter(|_| managed) {
            report.error(
                &entry.key_span,
                format!("\"containers.{key}\" cannot be used with \"scheduling_policy\": \"durable_object\"."),
            );
        }
    }
    managed
}

/// `observability`, by default the Worker's.
pub(super) fn observability(
    report: &mut Report,
    object: &Object,
    default: &Observability,
) -> Observability {
    const FIELD: &str = "containers.observability";
    let Some(entry) = check::value(object, "observability") else { return default.clone() };
    let Some(settings) = entry.node.as_object() else {
        let got = entry.node.json();
        report.error(&entry.node.span, format!("\"{FIELD}\" should be an object but got {got}."));
        return default.clone();
    };
    let known = ["enabled", "logs", "target_instance_percentage", "target_instance_count"];
    report.unexpected_fields(FIELD, settings, &known);
    let enabled = observability_enabled(report, FIELD, settings, &["enabled"]);
    let targets = ["target_instance_percentage", "target_instance_count"];
    let [percentage, count] = targets.map(|key| check::value(settings, key));
    let unset = enabled.own.is_none() && enabled.logs.is_none();
    if unset && percentage.is_none() && count.is_none() {
        report.error(
            &entry.node.span,
            format!("\"{FIELD}.enabled\" or \"{FIELD}.logs.enabled\" is required."),
        );
    }
    if let (Some(own), Some(logs)) = (enabled.own, enabled.logs)
        && own != logs
    {
        report.error(
            &entry.node.span,
            format!("\"{FIELD}.enabled\" and \"{FIELD}.logs.enabled\" cannot be set to different values."),
        );
    }
    if let (Some(_), Some(entry)) = (percentage, count) {
        report.error(
            &entry.key_span,
            format!("\"{FIELD}.target_instance_percentage\" and \"{FIELD}.target_instance_count\" cannot both be set."),
        );
    }
    let on = enabled.own == Some(true) || enabled.logs == Some(true);
    let wanted = "integer between 1 and 99 inclusive";
    target(
        report,
        percentage.map(|entry| (&*entry.key, &entry.node)),
        99,
        &format!("an {wanted}"),
        on,
    );
    target(
        report,
        count.map(|entry| (&*entry.key, &entry.node)),
        u64::MAX,
        "a positive integer",
        on,
    );
    Observability { enabled: on, head_sampling_rate: default.head_sampling_rate }
}

fn target(report: &mut Report, entry: Option<(&str, &Node)>, max: u64, wanted: &str, on: bool) {
    let Some((key, node)) = entry else { return };
    let field = format!("containers.observability.{key}");
    if check::number(report, &field, node).is_none() {
        return;
    }
    if !node.as_u64().is_some_and(|number| (1..=max).contains(&number)) {
        report.error(&node.span, format!("\"{field}\" must be {wanted}."));
    }
    if !on {
        report.error(
            &node.span,
            format!(
                "\"{field}\" requires \"containers.observability.enabled\" or \"containers.observability.logs.enabled\" to be true because container observability overrides root observability."
            ),
        );
    }
}

/// `ssh`, `authorized_keys` and `trusted_user_ca_keys`.
pub(super) fn ssh(report: &mut Report, object: &Object) -> Ssh {
    let mut ssh = Ssh::default();
    let entry = object.get("ssh").or_else(|| object.get("wrangler_ssh"));
    if let Some(entry) = entry {
        let field = format!("containers.{}", entry.key);
        let settings = entry.node.as_object();
        let get = |key| settings.and_then(|object| object.get(key)).map(|entry| &entry.node);
        ssh.enabled = get("enabled").and_then(Node::as_bool);
        if ssh.enabled.is_none() {
            let span = get("enabled").map_or(&entry.node.span, |node| &node.span);
            report.error(span, format!("{field}.enabled must be a boolean"));
        }
        if let Some(node) = get("port") {
            let port = node.as_u64().and_then(|port| u16::try_from(port).ok());
            ssh.port = port.filter(|port| *port > 0);
            if ssh.port.is_none() {
                report.error(
                    &node.span,
                    format!("{field}.port must be a number between 1 and 65535 inclusive"),
                );
            }
        }
    }
    ssh.authorized_keys = keys(report, object, "authorized_keys", true);
    let trusted = keys(report, object, "trusted_user_ca_keys", false);
    ssh.trusted_user_ca_keys = trusted.into_iter().map(|(_, key)| key).collect();
    ssh
}

fn keys(
    report: &mut Report,
    object: &Object,
    key: &str,
    name_required: bool,
) -> Vec<(String, String)> {
    let Some(entry) = object.get(key) else { return Vec::new() };
    let field = format!("containers.{key}");
    let Some(items) = entry.node.as_array() else {
        report.error(&entry.node.span, format!("{field} must be an array"));
        return Vec::new();
    };
    let mut keys = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let field = format!("{field}[{index}]");
        let Some(object) = item.as_object() else {
            report.error(&item.span, format!("{field} must be an object"));
            continue;
        };
        let name = object.get("name").map(|entry| &entry.node);
        if name.is_none_or(|node| node.as_str().is_none()) && (name_required || name.is_some()) {
            let span = name.map_or(&item.span, |node| &node.span);
            report.error(span, format!("{field}.name must be a string"));
        }
        let public = object.get("public_key").map(|entry| &entry.node);
        let span = public.map_or(&item.span, |node| &node.span);
        match public.and_then(Node::as_str) {
            None => report.error(span, format!("{field}.public_key must be a string")),
            Some(text) if !text.to_lowercase().starts_with("ssh-ed25519") => report.error(
                span,
                format!("{field}.public_key is an unsupported key type. Please provide an ED25519 public key."),
            ),
            Some(text) => {
                let name = name.and_then(Node::as_str).unwrap_or_default();
                keys.push((name.to_owned(), text.to_owned()));
            }
        }
    }
    keys
}

const REGIONS: [&str; 9] = ["ENAM", "WNAM", "EEUR", "WEUR", "APAC", "SAM", "ME", "OC", "AFR"];

/// Regions with little capacity, not enough alone (features BE1).
const LIMITED_REGIONS: [&str; 3] = ["ME", "OC", "AFR"];

/// `constraints`.
pub(super) fn constraints(report: &mut Report, object: &Object) -> Constraints {
    const FIELD: &str = "containers.constraints";
    let mut constraints = Constraints::default();
    let Some(entry) = check::value(object, "constraints") else { return constraints };
    let Some(settings) = entry.node.as_object() else {
        report.wrong_type(FIELD, &entry.node, "object");
        return constraints;
    };
    let known = ["regions", "jurisdiction", "tiers", "tier", "cities"];
    report.unexpected_fields(FIELD, settings, &known);
    tiers(report, settings);
    if let Some(cities) = check::value(settings, "cities") {
        let names = check::strings(report, &format!("{FIELD}.cities"), &cities.node);
        constraints.cities = names.unwrap_or_default();
    }
    if let Some(entry) = check::value(settings, "jurisdiction") {
        let text = check::string(report, &format!("{FIELD}.jurisdiction"), &entry.node);
        let known = text.filter(|text| ["eu", "fedramp", "us"].contains(text));
        if text.is_some() && known.is_none() {
            report.error(
                &entry.node.span,
                format!("{FIELD}.jurisdiction must be one of: \"eu\", \"fedramp\", \"us\""),
            );
        }
        constraints.jurisdiction = known.map(str::to_owned);
    }
    if let Some(entry) = check::value(settings, "regions") {
        check::strings(report, &format!("{FIELD}.regions"), &entry.node);
        constraints.regions = regions(report, &entry.node, constraints.jurisdiction.as_deref());
    }
    constraints
}

fn regions(report: &mut Report, node: &Node, jurisdiction: Option<&str>) -> Vec<String> {
    const FIELD: &str = "containers.constraints.regions";
    let within: &[&str] = match jurisdiction {
        Some("eu") => &["EEUR", "WEUR"],
        Some(_) => &["ENAM", "WNAM"],
        None => &REGIONS,
    };
    let mut regions = Vec::new();
    for item in node.as_array().unwrap_or_default() {
        let Some(text) = item.as_str() else { continue };
        let region = text.to_uppercase();
        if !REGIONS.contains(&region.as_str()) {
            let all = REGIONS.join(", ");
            report.error(
                &item.span,
                format!("{FIELD} contains invalid region \"{text}\". Valid regions are: {all}"),
            );
        } else if !within.contains(&region.as_str()) {
            report.error(
                &item.span,
                format!(
                    "{FIELD} contains region \"{text}\", which is outside of the jurisdiction \"{}\". Its regions are: {}",
                    jurisdiction.unwrap_or_default(),
                    within.join(", ")
                ),
            );
        } else {
            regions.push(region);
        }
    }
    let limited = |region: &String| LIMITED_REGIONS.contains(&region.as_str());
    if !regions.is_empty() && regions.iter().all(limited) {
        report.warn(
            &node.span,
            format!(
                "{FIELD} names only regions with limited capacity ({}); add another one.",
                regions.join(", ")
            ),
        );
    }
    regions
}

fn tiers(report: &mut Report, settings: &Object) {
    const FIELD: &str = "containers.constraints";
    if let Some(entry) = settings.get("tier") {
        report.warn(
            &entry.key_span,
            "\"constraints.tier\" has been deprecated in favor of \"constraints.tiers\". Please update your configuration to use \"constraints.tiers\" instead.",
        );
        if settings.contains("tiers") {
            report.error(
                &entry.key_span,
                format!("{FIELD}.tier and {FIELD}.tiers cannot both be set"),
            );
        }
    }
    let Some(entry) = check::value(settings, "tiers") else { return };
    let Some(items) = entry.node.as_array() else {
        let got = entry.node.json();
        return report.error(
            &entry.node.span,
            format!("Expected \"{FIELD}.tiers\" to be an array of numbers but got {got}"),
        );
    };
    for (index, item) in items.iter().enumerate() {
        check::number(report, &format!("{FIELD}.tiers.[{index}]"), item);
    }
}

/// `affinities`: known, without a meaning on one machine.
pub(super) fn affinities(report: &mut Report, object: &Object) {
    let Some(entry) = check::value(object, "affinities") else { return };
    match entry.node.as_object() {
        Some(settings) => {
            let known = ["colocation", "hardware_generation"];
            report.unexpected_fields("containers.affinities", settings, &known);
        }
        None => report.wrong_type("containers.affinities", &entry.node, "object"),
    }
}

/// `unsafe`: parts of Cloudflare's API request, which Berth does not make.
pub(super) fn unsafe_settings(report: &mut Report, object: &Object) {
    let Some(entry) = check::value(object, "unsafe") else { return };
    if entry.node.as_object().is_none() {
        report.error(
            &entry.node.span,
            format!(
                "The field \"containers.unsafe\" should be an object but got \"{}\".",
                entry.node.type_of()
            ),
        );
    } else {
        report.warn(&entry.key_span, "\"containers.unsafe\" has no meaning in Berth.");
    }
}
