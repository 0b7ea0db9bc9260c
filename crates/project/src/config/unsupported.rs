//! Keys that wrangler knows: those without a meaning here, and those that are refused by name.
//!
//! A binding that silently does not exist would fail at run time, far from its cause; so what Berth
//! cannot run yet is an error with its place.

use crate::check::{self, Report};
use crate::config::scope::{Field, Scope};
use crate::tree::{Node, Value};

/// Keys that only the top level has.
pub(super) const TOP_ONLY: &[&str] = &[
    "$schema",
    "addresses",
    "alias",
    "berth",
    "data_blobs",
    "dependencies_instrumentation",
    "dev",
    "env",
    "keep_vars",
    "legacy_env",
    "node_compat",
    "pages_build_output_dir",
    "send_metrics",
    "site",
    "text_blobs",
    "wasm_modules",
];

/// Keys that the top level and environments have.
pub(super) const BOTH: &[&str] = &[
    "access",
    "account_id",
    "agent_memory",
    "ai",
    "ai_search",
    "ai_search_namespaces",
    "analytics",
    "analytics_engine_datasets",
    "artifacts",
    "assets",
    "base_dir",
    "browser",
    "build",
    "cache",
    "cloudchamber",
    "compatibility_date",
    "compatibility_flags",
    "compliance_region",
    "connect",
    "containers",
    "d1_databases",
    "define",
    "dispatch_namespaces",
    "durable_objects",
    "exports",
    "find_additional_modules",
    "first_party_worker",
    "flagship",
    "hyperdrive",
    "images",
    "jsx_factory",
    "jsx_fragment",
    "k2",
    "keep_names",
    "kv_namespaces",
    "limits",
    "logfwdr",
    "logpush",
    "main",
    "media",
    "migrations",
    "minify",
    "mtls_certificates",
    "name",
    "no_bundle",
    "observability",
    "pipelines",
    "placement",
    "preserve_file_names",
    "preview_urls",
    "previews",
    "python_modules",
    "queues",
    "r2_buckets",
    "ratelimits",
    "route",
    "routes",
    "rules",
    "secrets",
    "secrets_store_secrets",
    "send_email",
    "services",
    "stream",
    "streaming_tail_consumers",
    "tail_consumers",
    "triggers",
    "tsconfig",
    "unsafe",
    "unsafe_hello_world",
    "upload_source_maps",
    "vars",
    "vectorize",
    "version_metadata",
    "vpc_networks",
    "vpc_services",
    "worker_loaders",
    "workers_dev",
    "workflows",
];

/// Binding kinds that Berth does not run, with the names that Cloudflare gives them.
const BINDINGS: &[(&str, &str)] = &[
    ("agent_memory", "Agent Memory"),
    ("ai", "AI"),
    ("ai_search", "AI Search Instance"),
    ("ai_search_namespaces", "AI Search Namespace"),
    ("analytics", "Analytics SQL"),
    ("analytics_engine_datasets", "Analytics Engine Dataset"),
    ("artifacts", "Artifacts"),
    ("browser", "Browser Run"),
    ("connect", "Connect"),
    ("d1_databases", "D1 Database"),
    ("dispatch_namespaces", "Dispatch Namespace"),
    ("flagship", "Flagship"),
    ("hyperdrive", "Hyperdrive Config"),
    ("images", "Images"),
    ("k2", "K2 Stream"),
    ("kv_namespaces", "KV Namespace"),
    ("logfwdr", "logfwdr"),
    ("media", "Media"),
    ("mtls_certificates", "mTLS Certificate"),
    ("pipelines", "Pipeline"),
    ("queues", "Queue"),
    ("r2_buckets", "R2 Bucket"),
    ("ratelimits", "Rate Limit"),
    ("send_email", "Send Email"),
    ("stream", "Stream"),
    ("unsafe_hello_world", "Hello World"),
    ("vectorize", "Vectorize Index"),
    ("vpc_networks", "VPC Network"),
    ("vpc_services", "VPC Service"),
    ("worker_loaders", "Worker Loader"),
    ("workflows", "Workflow"),
];

/// Binding kinds of the service-worker format, at the top level only.
const LEGACY_BINDINGS: &[(&str, &str)] =
    &[("data_blobs", "Data Blob"), ("text_blobs", "Text Blob"), ("wasm_modules", "Wasm Module")];

/// Keys of type boolean without a meaning on one machine.
const BOOLEANS: &[&str] =
    &["first_party_worker", "logpush", "preview_urls", "upload_source_maps", "workers_dev"];

/// Checks the keys that nothing else reads, and names those that nobody reads.
pub(super) fn check(report: &mut Report, scope: &Scope<'_>) {
    scope.entries(report, (TOP_ONLY, BOTH));
    for (key, kind) in BINDINGS {
        if let Some(field) = scope.own(report, key) {
            refuse_binding(report, &field, kind);
        }
    }
    for (key, kind) in LEGACY_BINDINGS {
        if let Some(field) = scope.top(key) {
            refuse_binding(report, &field, kind);
        }
    }
    for key in BOOLEANS {
        if let Some(field) = scope.inherited(key) {
            check::boolean(report, &field.path, field.node);
        }
    }
    for key in ["keep_vars", "send_metrics"] {
        if let Some(field) = scope.top(key) {
            check::boolean(report, &field.path, field.node);
        }
    }
    if let Some(field) = scope.inherited("account_id") {
        check::string(report, &field.path, field.node);
    }
    for key in ["placement", "limits", "cache"] {
        if let Some(field) = scope.inherited(key) {
            check::object(report, &field.path, field.node);
        }
    }
    for key in ["tail_consumers", "streaming_tail_consumers"] {
        if let Some(field) = scope.own(report, key) {
            tail_consumers(report, &field);
        }
    }
    routes(report, scope);
    removed(report, scope);
    unsafe_settings(report, scope);
}

fn refuse_binding(report: &mut Report, field: &Field<'_>, kind: &str) {
    if !is_empty(field.node) {
        report.error_with(
            field.key_span,
            format!("\"{}\": {kind} bindings are not supported by Berth yet.", field.path),
            "remove it, or move it to an environment that is deployed to Cloudflare",
        );
    }
}

/// Whether nothing is said: an empty list or object, also one level down (`queues.producers`).
fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => {
            object.entries.iter().all(|entry| entry.node.as_array().is_some_and(<[Node]>::is_empty))
        }
        _ => false,
    }
}

/// Workers that are told of what happens in this one: by `berth serve`, to which they are deployed.
fn tail_consumers(report: &mut Report, field: &Field<'_>) {
    let items = check::array(report, &field.path, field.node).unwrap_or_default();
    for (index, item) in items.iter().enumerate() {
        let path = format!("{}[{index}]", field.path);
        let Some(object) = item.as_object() else {
            let message = format!("\"{path}\" should be an object but got {}.", item.json());
            report.error(&item.span, message);
            continue;
        };
        check::required_string(report, &path, object, "service", &item.span);
        if let Some(entry) = check::value(object, "environment") {
            check::string(report, &format!("{path}.environment"), &entry.node);
        }
    }
}

fn routes(report: &mut Report, scope: &Scope<'_>) {
    if let Some(field) = scope.inherited("route") {
        route(report, &field.path, field.node);
    }
    let Some(field) = scope.inherited("routes") else { return };
    let Some(items) = field.node.as_array() else {
        let message =
            format!("Expected \"{}\" to be an array but got {}.", field.path, field.node.json());
        return report.error(&field.node.span, message);
    };
    for item in items {
        route(report, &field.path, item);
    }
}

fn route(report: &mut Report, path: &str, node: &Node) {
    let pattern = node.as_object().and_then(|object| object.get("pattern"));
    if node.as_str().is_none() && pattern.is_none_or(|entry| entry.node.as_str().is_none()) {
        report.error(
            &node.span,
            format!(
                "Expected \"{path}\" to be either a string, or an object with shape {{ pattern, custom_domain, zone_id | zone_name, enabled, previews_enabled }}, but got {}.",
                node.json()
            ),
        );
    }
}

/// Keys that wrangler itself no longer takes, and kinds of project that are no Worker.
fn removed(report: &mut Report, scope: &Scope<'_>) {
    let texts = [
        (
            "node_compat",
            "The \"node_compat\" field is no longer supported as of Wrangler v4. Instead, use the `nodejs_compat` compatibility flag.",
        ),
        (
            "legacy_env",
            "The \"legacy_env\" field is no longer supported, so please remove it from your configuration file.",
        ),
        ("site", "\"site\": Workers Sites are not supported by Berth. Use \"assets\" instead."),
        (
            "pages_build_output_dir",
            "\"pages_build_output_dir\": Pages projects are not supported by Berth. Use \"main\" and \"assets\" instead.",
        ),
    ];
    for (key, text) in texts {
        if let Some(field) = scope.top(key) {
            report.error(field.key_span, text);
        }
    }
}

fn unsafe_settings(report: &mut Report, scope: &Scope<'_>) {
    let Some(field) = scope.own(report, "unsafe") else { return };
    let Some(object) = check::object(report, &field.path, field.node) else { return };
    for key in ["bindings", "capnp"] {
        if let Some(entry) = check::value(object, key).filter(|entry| !is_empty(&entry.node)) {
            report.error(
                &entry.key_span,
                format!("\"{}.{key}\" is not supported by Berth.", field.path),
            );
        }
    }
    if let Some(entry) = check::value(object, "metadata") {
        report
            .warn(&entry.key_span, format!("\"{}.metadata\" has no meaning in Berth.", field.path));
    }
    report.unexpected_fields(&field.path, object, &["bindings", "metadata", "capnp"]);
}
