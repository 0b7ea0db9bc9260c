//! `build`, `rules`, `define`, `alias` and the other keys of bundling; and `observability`.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Build, Bundling, Observability, Rule, RuleKind};
use crate::check::{self, Report};
use crate::config::scope::{Field, Scope};
use crate::tree::{Node, Object};

/// `build`. Paths are relative to the configuration file.
pub(super) fn build(report: &mut Report, scope: &Scope<'_>, root: &Path) -> Build {
    let mut build = Build { cwd: root.to_owned(), ..Build::default() };
    let Some(field) = scope.inherited("build") else { return build };
    let Some(object) = check::object(report, &field.path, field.node) else { return build };
    report.unexpected_fields("build", object, &["command", "cwd", "watch_dir"]);
    let mut text = |key: &str| {
        let entry = check::value(object, key)?;
        check::string(report, &format!("build.{key}"), &entry.node).map(str::to_owned)
    };
    build.command = text("command").filter(|command| !command.trim().is_empty());
    if let Some(cwd) = text("cwd") {
        build.cwd = root.join(cwd);
    }
    let dirs = match check::value(object, "watch_dir") {
        Some(entry) if entry.node.as_array().is_some() => {
            check::strings(report, "build.watch_dir", &entry.node).unwrap_or_default()
        }
        Some(entry) => check::string(report, "build.watch_dir", &entry.node)
            .map(|dir| vec![dir.to_owned()])
            .unwrap_or_default(),
        None => vec!["./src".to_owned()],
    };
    if build.command.is_some() {
        build.watch_dirs = dirs.iter().map(|dir| root.join(dir).components().collect()).collect();
    }
    build
}

/// The keys of bundling.
pub(super) fn bundling(report: &mut Report, scope: &Scope<'_>, root: &Path) -> Bundling {
    let mut flag = |key: &str| {
        scope
            .inherited(key)
            .and_then(|field| check::boolean(report, &field.path, field.node))
            .unwrap_or(false)
    };
    let mut bundling = Bundling {
        no_bundle: flag("no_bundle"),
        preserve_file_names: flag("preserve_file_names"),
        minify: flag("minify"),
        ..Bundling::default()
    };
    // wrangler keeps names unless told otherwise, and looks for more modules without a bundle.
    let mut switch = |key: &str, default: bool| {
        let field = scope.inherited(key);
        field.and_then(|f| check::boolean(report, &f.path, f.node)).unwrap_or(default)
    };
    bundling.keep_names = switch("keep_names", true);
    bundling.find_additional_modules = switch("find_additional_modules", bundling.no_bundle);
    let mut text = |key: &str| {
        let field = scope.inherited(key)?;
        check::string(report, &field.path, field.node).map(str::to_owned)
    };
    bundling.base_dir = text("base_dir").map(|dir| root.join(dir));
    bundling.tsconfig = text("tsconfig").map(|file| root.join(file));
    bundling.jsx_factory = text("jsx_factory");
    bundling.jsx_fragment = text("jsx_fragment");
    if let Some(field) = scope.inherited("rules") {
        bundling.rules = rules(report, &field);
    }
    bundling.define = define(report, scope);
    bundling.alias = alias(report, scope);
    bundling
}

fn rules(report: &mut Report, field: &Field<'_>) -> Vec<Rule> {
    let items = check::array(report, &field.path, field.node).unwrap_or_default();
    let mut rules = Vec::new();
    for (index, item) in items.iter().enumerate() {
        rules.extend(rule(report, &format!("{}[{index}]", field.path), item));
    }
    rules
}

fn rule(report: &mut Report, field: &str, item: &Node) -> Option<Rule> {
    let Some(object) = item.as_object() else {
        let got = item.json();
        report.error(&item.span, format!("\"{field}\" should be an object but got {got}."));
        return None;
    };
    report.unexpected_fields(field, object, &["type", "globs", "fallthrough"]);
    let kind = object.get("type").map(|entry| &entry.node);
    let found = match kind.and_then(Node::as_str) {
        Some("ESModule") => Some(RuleKind::EsModule),
        Some("CommonJS") => Some(RuleKind::CommonJs),
        Some("CompiledWasm") => Some(RuleKind::CompiledWasm),
        Some("Text") => Some(RuleKind::Text),
        Some("Data") => Some(RuleKind::Data),
        Some(python @ ("PythonModule" | "PythonRequirement")) => {
            report.error(
                kind.map_or(&item.span, |node| &node.span),
                format!(
                    "\"{field}\": Python Workers (\"{python}\") are not supported by Berth yet."
                ),
            );
            None
        }
        _ => {
            report.error(
                kind.map_or(&item.span, |node| &node.span),
                "bindings should have a string \"type\" field, which contains one of \"ESModule\", \"CommonJS\", \"CompiledWasm\", \"Text\", or \"Data\".",
            );
            None
        }
    };
    let globs = match object.get("globs") {
        Some(entry) => check::strings(report, &format!("{field}.globs"), &entry.node),
        None => {
            report.error(
                &item.span,
                format!("Expected \"{field}.globs\" to be an array of strings but got undefined"),
            );
            None
        }
    };
    let fallthrough = match check::value(object, "fallthrough") {
        Some(entry) => {
            let value = entry.node.as_bool();
            if value.is_none() {
                report.error(
                    &entry.node.span,
                    "the field \"fallthrough\", when present, should be a boolean.",
                );
            }
            value
        }
        None => None,
    };
    Some(Rule { kind: found?, globs: globs?, fallthrough })
}

fn define(report: &mut Report, scope: &Scope<'_>) -> BTreeMap<String, String> {
    let mut define = BTreeMap::new();
    let Some(field) = scope.own(report, "define") else { return define };
    let Some(object) = check::object(report, &field.path, field.node) else { return define };
    let top = scope.top("define");
    let top =
        top.as_ref().and_then(|top| top.node.as_object()).filter(|top| !top.entries.is_empty());
    for entry in &object.entries {
        let name = &entry.key;
        match entry.node.as_str() {
            Some(text) => {
                define.insert(name.clone(), text.to_owned());
            }
            None => report.error(
                &entry.node.span,
                format!(
                    "The field \"{}.{name}\" should be a string but got {}.",
                    field.path,
                    entry.node.json()
                ),
            ),
        }
        if let (Some(environment), Some(top)) = (scope.defined(), top)
            && !top.contains(name)
        {
            report.warn(
                &entry.key_span,
                format!(
                    "\"{name}\" exists on \"env.{environment}\", but not on the top level.\n\
                     This is not what you probably want, since \"define\" configuration within environments can only override existing top level \"define\" configuration\n\
                     Please remove \"{}.{name}\", or add \"define.{name}\".",
                    field.path
                ),
            );
        }
    }
    if let (Some(environment), Some(top)) = (scope.defined(), top) {
        let missing: Vec<_> = top
            .entries
            .iter()
            .map(|entry| entry.key.as_str())
            .filter(|key| !object.contains(key))
            .collect();
        if !missing.is_empty() {
            report.warn(
                field.key_span,
                format!(
                    "The following define entries exist at the top level, but not on \"{}\".\n\
                     This is probably not what you want, since \"define\" configuration is not inherited by environments.\n\
                     Please add these entries to \"env.{environment}.define\":\n- {}",
                    field.path,
                    missing.join("\n- ")
                ),
            );
        }
    }
    define
}

fn alias(report: &mut Report, scope: &Scope<'_>) -> BTreeMap<String, String> {
    let mut alias = BTreeMap::new();
    let Some(field) = scope.top("alias") else { return alias };
    let Some(object) = field.node.as_object() else {
        report.error(
            &field.node.span,
            format!("Expected alias to be an object, but got {}", field.node.type_of()),
        );
        return alias;
    };
    for entry in &object.entries {
        match entry.node.as_str() {
            Some(text) => {
                alias.insert(entry.key.clone(), text.to_owned());
            }
            None => report.error(
                &entry.node.span,
                format!(
                    "Expected alias[\"{}\"] to be a string, but got {}",
                    entry.key,
                    entry.node.type_of()
                ),
            ),
        }
    }
    alias
}

/// The two switches of an `observability` object.
#[derive(Debug)]
pub(super) struct Switches {
    /// `enabled`.
    pub(super) own: Option<bool>,
    /// `logs.enabled`.
    pub(super) logs: Option<bool>,
}

/// Reads `enabled` and `logs`, whose other keys are checked against `logs_known`.
pub(super) fn observability_enabled(
    report: &mut Report,
    field: &str,
    settings: &Object,
    logs_known: &[&str],
) -> Switches {
    let own = check::value(settings, "enabled")
        .and_then(|entry| check::boolean(report, &format!("{field}.enabled"), &entry.node));
    let logs = check::value(settings, "logs").and_then(|entry| {
        let logs = entry.node.as_object();
        if logs.is_none() {
            report.wrong_type(&format!("{field}.logs"), &entry.node, "object");
        }
        logs
    });
    let logs = logs.and_then(|logs| {
        report.unexpected_fields(&format!("{field}.logs"), logs, logs_known);
        let entry = check::value(logs, "enabled")?;
        check::boolean(report, &format!("{field}.logs.enabled"), &entry.node)
    });
    Switches { own, logs }
}

/// `observability` of the Worker.
pub(super) fn observability(report: &mut Report, scope: &Scope<'_>) -> Observability {
    let off = Observability { enabled: false, head_sampling_rate: 1.0 };
    let Some(field) = scope.inherited("observability") else { return off };
    let Some(settings) = field.node.as_object() else {
        let got = field.node.json();
        report.error(
            &field.node.span,
            format!("\"{}\" should be an object but got {got}.", field.path),
        );
        return off;
    };
    let known =
        ["enabled", "head_sampling_rate", "redact_query_string", "issues", "logs", "traces"];
    report.unexpected_fields(&field.path, settings, &known);
    let logs_known =
        ["enabled", "head_sampling_rate", "invocation_logs", "destinations", "persist"];
    let switches = observability_enabled(report, &field.path, settings, &logs_known);
    let inner = |key: &str| check::value(settings, key).and_then(|entry| entry.node.as_object());
    let others =
        ["traces", "issues"].iter().any(|key| inner(key).is_some_and(|o| o.contains("enabled")));
    if switches.own.is_none() && switches.logs.is_none() && !others {
        let name = &field.path;
        report.error(
            &field.node.span,
            format!(
                "\"{name}.enabled\" or \"{name}.logs.enabled\" or \"{name}.traces.enabled\" or \"{name}.issues.enabled\" is required."
            ),
        );
    }
    let own = sampling_rate(report, &field.path, "head_sampling_rate", Some(settings));
    let path = format!("{}.logs", field.path);
    let logs = sampling_rate(report, &path, "head_sampling_rate", inner("logs"));
    Observability {
        enabled: switches.logs == Some(true)
            || (switches.own == Some(true) && switches.logs != Some(false)),
        head_sampling_rate: logs.or(own).unwrap_or(1.0),
    }
}

fn sampling_rate(
    report: &mut Report,
    path: &str,
    key: &str,
    settings: Option<&Object>,
) -> Option<f64> {
    let entry = check::value(settings?, key)?;
    let rate = check::number(report, &format!("{path}.{key}"), &entry.node)?;
    if !(0.0..=1.0).contains(&rate) {
        report
            .error(&entry.node.span, format!("\"{path}.{key}\" must be a value between 0 and 1."));
    }
    Some(rate)
}
