//! What a Worker finds in its `env`: Durable Objects, services, Secrets Store secrets, version.

use std::ops::Range;

use super::{DurableObjectBinding, Purpose, SecretsStoreBinding, ServiceBinding};
use crate::check::{self, Report};
use crate::config::scope::{Field, Scope};
use crate::tree::{Node, Object};

/// A binding whose class has yet to be found, with the places of both names.
#[derive(Debug)]
pub(super) struct BoundObject {
    pub(super) binding: DurableObjectBinding,
    pub(super) class_span: Range<usize>,
}

/// The names in a Worker's `env`, to find those given twice.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<(String, &'static str, Range<usize>)>);

impl Names {
    pub(super) fn add(&mut self, name: &str, kind: &'static str, span: &Range<usize>) {
        self.0.push((name.to_owned(), kind, span.clone()));
    }

    /// Reports each name that is given more than once.
    pub(super) fn check(&self, report: &mut Report) {
        for (index, (name, kind, span)) in self.0.iter().enumerate() {
            let Some((_, before, _)) = self.0[..index].iter().find(|other| other.0 == *name) else {
                continue;
            };
            let message = if before == kind {
                format!("{name} assigned to multiple {kind} bindings.")
            } else {
                format!("{name} assigned to {before} and {kind} bindings.")
            };
            report.error(
                span,
                message
                    + "\nBindings must have unique names, so that they can all be referenced in the worker.\n\
                       Please change your bindings to have unique names.",
            );
        }
    }
}

/// `durable_objects.bindings`.
pub(super) fn durable_objects(
    report: &mut Report,
    scope: &Scope<'_>,
    worker: &str,
    names: &mut Names,
) -> Vec<BoundObject> {
    let Some(field) = scope.own(report, "durable_objects") else { return Vec::new() };
    let Some(object) = check::object(report, &field.path, field.node) else { return Vec::new() };
    report.unexpected_fields(&field.path, object, &["bindings", "code_update_strategy"]);
    let Some(entry) = check::value(object, "bindings") else { return Vec::new() };
    let path = format!("{}.bindings", field.path);
    let items = check::array(report, &path, &entry.node).unwrap_or_default();
    let mut bound = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        bound.extend(durable_object(report, &path, item, worker, names));
    }
    missing_in_environment(report, scope, &field, &bound);
    bound
}

fn durable_object(
    report: &mut Report,
    path: &str,
    item: &Node,
    worker: &str,
    names: &mut Names,
) -> Option<BoundObject> {
    let Some(object) = item.as_object() else {
        report.error(
            &item.span,
            format!("Expected \"{path}\" to be an object but got {}", item.json()),
        );
        return None;
    };
    report.unexpected_fields(path, object, &["class_name", "environment", "name", "script_name"]);
    let name = binding_text(report, object, item, "name");
    let class = binding_text(report, object, item, "class_name");
    if let Some(script) = check::value(object, "script_name") {
        match script.node.as_str() {
            None => report.error(
                &script.node.span,
                "the field \"script_name\", when present, should be a string.",
            ),
            Some(other) if other != worker => report.error(
                &script.node.span,
                format!(
                    "\"{path}.script_name\": Durable Objects of another Worker (\"{other}\") are not supported by Berth yet."
                ),
            ),
            Some(_) => {}
        }
    }
    let ((name, name_span), (class_name, class_span)) = (name?, class?);
    names.add(&name, "Durable Object", &name_span);
    Some(BoundObject { binding: DurableObjectBinding { name, class_name }, class_span })
}

/// `binding should have a string "<key>" field.`
fn binding_text(
    report: &mut Report,
    object: &Object,
    item: &Node,
    key: &str,
) -> Option<(String, Range<usize>)> {
    let node = object.get(key).map(|entry| &entry.node);
    let found = node.and_then(|node| Some((node.as_str()?.to_owned(), node.span.clone())));
    if found.is_none() {
        let span = node.map_or(&item.span, |node| &node.span);
        report.error(span, format!("binding should have a string \"{key}\" field."));
    }
    found
}

fn missing_in_environment(
    report: &mut Report,
    scope: &Scope<'_>,
    field: &Field<'_>,
    bound: &[BoundObject],
) {
    let Some(environment) = scope.defined() else { return };
    let top = scope.top("durable_objects");
    let list = top.and_then(|top| Some(&top.node.as_object()?.get("bindings")?.node));
    let items = list.and_then(Node::as_array).unwrap_or_default();
    let named = items.iter().filter_map(|item| item.as_object()?.get("name")?.node.as_str());
    let missing: Vec<_> =
        named.filter(|name| !bound.iter().any(|b| b.binding.name == *name)).collect();
    if !missing.is_empty() {
        report.warn(
            field.key_span,
            format!(
                "The following bindings are at the top level, but not on \"env.{environment}\".\n\
                 This is not what you probably want, since \"durable_objects\" configuration is not inherited by environments.\n\
                 Please add a binding for each to \"{}.bindings\":\n- {}",
                field.path,
                missing.join("\n- ")
            ),
        );
    }
}

/// `services`: bindings of the Worker to itself, and of one that is deployed to others.
pub(super) fn services(
    report: &mut Report,
    scope: &Scope<'_>,
    (worker, purpose): (&str, Purpose),
    names: &mut Names,
) -> Vec<ServiceBinding> {
    let Some(field) = scope.own(report, "services") else { return Vec::new() };
    let items = check::array(report, &field.path, field.node).unwrap_or_default();
    let mut services = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("{}[{index}]", field.path);
        let Some((found, span)) = service(report, &path, item, names) else { continue };
        if found.service != worker && purpose == Purpose::Dev {
            let (binding, service) = (&found.binding, &found.service);
            report.error(
                &span,
                format!(
                    "\"{path}\": Worker bindings to other Workers are not supported by Berth yet; \"{binding}\" is bound to \"{service}\", and this Worker is \"{worker}\"."
                ),
            );
        }
        services.push(found);
    }
    services
}

/// A binding, and where the name of its Worker stands.
fn service(
    report: &mut Report,
    path: &str,
    item: &Node,
    names: &mut Names,
) -> Option<(ServiceBinding, Range<usize>)> {
    let Some(object) = item.as_object() else {
        report.error(
            &item.span,
            format!("\"services\" bindings should be objects, but got {}", item.json()),
        );
        return None;
    };
    let known = ["binding", "service", "environment", "entrypoint", "props", "remote", "dev"];
    report.unexpected_fields(path, object, &known);
    let binding = field_text(report, path, object, item, "binding", "should");
    let service = field_text(report, path, object, item, "service", "should");
    let mut entrypoint = None;
    if let Some(entry) = check::value(object, "entrypoint") {
        entrypoint = check::string(report, &format!("{path}.entrypoint"), &entry.node);
    }
    if let Some(entry) = check::value(object, "remote").filter(|e| e.node.as_bool() != Some(false))
    {
        report.error(
            &entry.key_span,
            format!("\"{path}.remote\": remote bindings are not supported by Berth."),
        );
    }
    if let Some(entry) = check::value(object, "dev") {
        report.error(
            &entry.key_span,
            format!(
                "\"{path}.dev\": plugins of wrangler's local runtime are not supported by Berth."
            ),
        );
    }
    let ((binding, binding_span), (service, service_span)) = (binding?, service?);
    names.add(&binding, "Worker", &binding_span);
    let props = check::value(object, "props").map(|entry| entry.node.to_json());
    let entrypoint = entrypoint.map(str::to_owned);
    Some((ServiceBinding { binding, service, entrypoint, props }, service_span))
}

/// `"<path>" bindings <should> have a string "<key>" field but got <item>.`
fn field_text(
    report: &mut Report,
    path: &str,
    object: &Object,
    item: &Node,
    key: &str,
    should: &str,
) -> Option<(String, Range<usize>)> {
    let node = object.get(key).map(|entry| &entry.node);
    let found = node.and_then(|node| Some((node.as_str()?.to_owned(), node.span.clone())));
    if found.is_none() {
        report.error(
            node.map_or(&item.span, |node| &node.span),
            format!(
                "\"{path}\" bindings {should} have a string \"{key}\" field but got {}.",
                item.json()
            ),
        );
    }
    found
}

/// A `secrets_store_secrets` entry before its value is looked up.
#[derive(Debug)]
pub(super) struct StoreSecret {
    pub(super) binding: String,
    pub(super) store_id: String,
    pub(super) secret_name: String,
    pub(super) span: Range<usize>,
}

impl SecretsStoreBinding {
    /// A binding whose value is somewhere else.
    pub(super) fn without_value(secret: StoreSecret) -> Self {
        let StoreSecret { binding, store_id, secret_name, .. } = secret;
        Self { binding, store_id, secret_name, value: None }
    }
}

/// `secrets_store_secrets`.
pub(super) fn secrets_store(
    report: &mut Report,
    scope: &Scope<'_>,
    names: &mut Names,
) -> Vec<StoreSecret> {
    let Some(field) = scope.own(report, "secrets_store_secrets") else { return Vec::new() };
    let items = check::array(report, &field.path, field.node).unwrap_or_default();
    let mut secrets = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("{}[{index}]", field.path);
        let Some(object) = item.as_object() else {
            let got = item.json();
            report.error(
                &item.span,
                format!("\"secrets_store_secrets\" bindings should be objects, but got {got}"),
            );
            continue;
        };
        report.unexpected_fields(&path, object, &["binding", "store_id", "secret_name"]);
        let mut text = |key| field_text(report, &path, object, item, key, "must");
        let found = (text("binding"), text("store_id"), text("secret_name"));
        let (Some(binding), Some(store), Some(secret)) = found else { continue };
        names.add(&binding.0, "Secrets Store Secret", &binding.1);
        secrets.push(StoreSecret {
            binding: binding.0,
            store_id: store.0,
            secret_name: secret.0,
            span: secret.1,
        });
    }
    secrets
}

/// `version_metadata.binding`.
pub(super) fn version_metadata(
    report: &mut Report,
    scope: &Scope<'_>,
    names: &mut Names,
) -> Option<String> {
    let field = scope.own(report, "version_metadata")?;
    let object = check::object(report, &field.path, field.node)?;
    let (name, span) = binding_text(report, object, field.node, "binding")?;
    names.add(&name, "Worker Version Metadata", &span);
    Some(name)
}
