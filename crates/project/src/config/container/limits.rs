//! `containers[].instance_type`: a named type, or `{vcpu, memory_mib, disk_mb}` within its bounds.

use model::InstanceType;

use crate::check::{self, Report};
use crate::tree::{Entry, Object};

/// The names wrangler accepts, the old ones last.
const NAMES: [&str; 8] =
    ["lite", "basic", "standard-1", "standard-2", "standard-3", "standard-4", "dev", "standard"];

/// Bounds of a custom type (features BA4).
const VCPU: (f64, f64) = (1.0, 4.0);
const MEMORY_MIB: u64 = 12 * 1024;
const DISK_MB: u64 = 20_000;
const MEMORY_MIB_PER_VCPU: f64 = 3.0 * 1024.0;

/// The type of an entry; `None` when unset or wrong.
pub(super) fn instance_type(
    report: &mut Report,
    object: &Object,
    configuration: Option<&Object>,
) -> Option<InstanceType> {
    let entry = check::value(object, "instance_type");
    let old = configuration.filter(|configuration| {
        ["vcpu", "memory_mib", "disk"].iter().any(|key| configuration.contains(key))
    });
    match (entry, old) {
        (Some(entry), Some(_)) => {
            report.error(
                &entry.key_span,
                "Cannot set custom limits via \"containers.configuration\" and use preset \"instance_type\" limits at the same time.",
            );
            None
        }
        (None, Some(configuration)) => Some(from_configuration(report, configuration)),
        (Some(entry), None) => match entry.node.as_object() {
            Some(custom) => {
                let known = ["vcpu", "memory_mib", "disk_mb"];
                report.unexpected_fields("containers.instance_type", custom, &known);
                let get = |key| check::value(custom, key);
                let entries = (get("vcpu"), get("memory_mib"), get("disk_mb"));
                Some(custom_type(report, "containers.instance_type", entries))
            }
            None => named(report, entry),
        },
        (None, None) => None,
    }
}

fn named(report: &mut Report, entry: &Entry) -> Option<InstanceType> {
    let name = check::choice(report, "containers.instance_type", &entry.node, &NAMES)?;
    let renamed = match name {
        "dev" => Some("lite"),
        "standard" => Some("standard-1"),
        _ => None,
    };
    if let Some(new) = renamed {
        report.warn(
            &entry.node.span,
            format!(
                "The \"{name}\" instance_type has been renamed to \"{new}\" and will be removed in a subsequent version. Please update your configuration to use \"{new}\" instead."
            ),
        );
    }
    InstanceType::from_name(name).ok()
}

/// `configuration.{vcpu, memory_mib, disk.size_mb}`, the form before `instance_type`.
fn from_configuration(report: &mut Report, configuration: &Object) -> InstanceType {
    let disk = check::value(configuration, "disk").and_then(|disk| {
        let inner = disk.node.as_object();
        if inner.is_none() {
            report.wrong_type("containers.configuration.disk", &disk.node, "object");
        }
        inner.and_then(|object| check::value(object, "size_mb"))
    });
    let get = |key| check::value(configuration, key);
    let entries = (get("vcpu"), get("memory_mib"), disk);
    custom_type(report, "containers.configuration", entries)
}

type Entries<'a> = (Option<&'a Entry>, Option<&'a Entry>, Option<&'a Entry>);

/// A custom type; what is unset is lite's.
fn custom_type(report: &mut Report, path: &str, entries: Entries<'_>) -> InstanceType {
    let lite = InstanceType::Lite.limits();
    let (vcpu_entry, memory_entry, disk_entry) = entries;
    let vcpu = vcpu_entry.and_then(|entry| {
        let value = number(report, path, entry)?;
        let within = (VCPU.0..=VCPU.1).contains(&value);
        if !within {
            report.error(
                &entry.node.span,
                format!(
                    "\"{path}.vcpu\" must be between {} and {}, but got {value}",
                    VCPU.0, VCPU.1
                ),
            );
        }
        within.then_some(value)
    });
    let memory = memory_entry.and_then(|e| whole(report, path, e, "memory_mib", MEMORY_MIB));
    let disk = disk_entry.and_then(|entry| whole(report, path, entry, "disk_mb", DISK_MB));
    let memory_mib = memory.unwrap_or(lite.memory_mib);
    if let (Some(vcpu), Some(entry)) = (vcpu, memory_entry.or(vcpu_entry)) {
        #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 MiB")]
        let enough = memory_mib as f64 >= vcpu * MEMORY_MIB_PER_VCPU;
        if !enough {
            report.error(
                &entry.node.span,
                format!(
                    "\"{path}.memory_mib\" must be at least {MEMORY_MIB_PER_VCPU} MiB for each vCPU, but {vcpu} vCPU have {memory_mib} MiB"
                ),
            );
        }
    }
    InstanceType::Custom {
        vcpu: vcpu.unwrap_or(lite.vcpu),
        memory_mib,
        disk_mb: disk.unwrap_or(lite.disk_mb),
    }
}

fn number(report: &mut Report, path: &str, entry: &Entry) -> Option<f64> {
    let value = entry.node.as_f64();
    if value.is_none() {
        report.error(
            &entry.node.span,
            format!("\"{path}.{}\", when present, should be a number.", entry.key),
        );
    }
    value
}

fn whole(report: &mut Report, path: &str, entry: &Entry, key: &str, max: u64) -> Option<u64> {
    let value = number(report, path, entry)?;
    let whole = entry.node.as_u64().filter(|number| (1..=max).contains(number));
    if whole.is_none() {
        report.error(
            &entry.node.span,
            format!("\"{path}.{key}\" must be a whole number between 1 and {max}, but got {value}"),
        );
    }
    whole
}
