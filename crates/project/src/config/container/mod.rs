//! `containers`: one application for each entry, with every default filled in.

mod image;
mod images;
mod keys;
mod limits;
mod link;
mod rollout;

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use model::{Application, ApplicationImages, InstanceType, limits::MAX_INSTANCES_DEFAULT};

use super::classes::Classes;
use super::{Constraints, Container, Observability, Ssh};
use crate::check::{self, Report};
use crate::config::scope::{Field, Scope};
use crate::tree::{Node, Object};

/// What the entries need to know of the rest of the configuration.
#[derive(Debug)]
pub(super) struct Context<'a> {
    /// The folder of the configuration file.
    pub(super) root: &'a Path,
    /// The Worker's name without its environment; `None` if it has none.
    pub(super) worker: Option<&'a str>,
    /// The environment, if the file defines it.
    pub(super) environment: Option<&'a str>,
    /// The Worker's `observability`, the default of every container's.
    pub(super) observability: &'a Observability,
    /// `berth.stop_grace`.
    pub(super) stop_grace: Duration,
}

/// An entry on its way to a [`Container`].
#[derive(Debug)]
struct Draft<'a> {
    span: &'a Range<usize>,
    name: Option<String>,
    name_span: Range<usize>,
    class: Option<&'a Node>,
    object: &'a Object,
}

const KNOWN: &[&str] = &[
    "name",
    "instances",
    "max_instances",
    "image",
    "image_build_context",
    "image_vars",
    "images",
    "observability",
    "class_name",
    "scheduling_policy",
    "instance_type",
    "ssh",
    "wrangler_ssh",
    "authorized_keys",
    "trusted_user_ca_keys",
    "configuration",
    "constraints",
    "affinities",
    "rollout_step_percentage",
    "rollout_kind",
    "durable_objects",
    "rollout_active_grace_period",
    "unsafe",
];

/// Reads `containers` and finds the class of each.
pub(super) fn containers(
    report: &mut Report,
    scope: &Scope<'_>,
    classes: &Classes,
    context: &Context<'_>,
) -> Vec<Container> {
    let field = scope.own(report, "containers");
    let items = field.as_ref().map_or(&[][..], |field| items(report, field));
    let mut drafts = Vec::new();
    for item in items {
        match item.as_object() {
            Some(object) => drafts.push(draft(report, item, object, context)),
            None => report.error(
                &item.span,
                format!("Expected \"containers\" to be a list of objects but got {}.", item.json()),
            ),
        }
    }
    let class_names = link::classes(report, &drafts, classes);
    let mut containers = Vec::new();
    for (draft, class) in drafts.iter().zip(class_names) {
        containers.extend(container(report, draft, class, context));
    }
    containers
}

/// The entries; a single one without a list is taken as a list of one (features G8).
fn items<'a>(report: &mut Report, field: &Field<'a>) -> &'a [Node] {
    if let Some(items) = field.node.as_array() {
        return items;
    }
    if field.node.as_object().is_some() {
        report.warn_with(
            field.key_span,
            "\"containers\" field should be an array, but got an object.",
            "Berth takes it as a list of one, wrangler refuses it: write \"containers\": [{ … }] in JSON, [[containers]] in TOML",
        );
        return std::slice::from_ref(field.node);
    }
    let got = field.node.json();
    report
        .error(&field.node.span, format!("\"containers\" field should be an array, but got {got}"));
    &[]
}

fn draft<'a>(
    report: &mut Report,
    item: &'a Node,
    object: &'a Object,
    context: &Context<'_>,
) -> Draft<'a> {
    report.unexpected_fields("containers", object, KNOWN);
    let class = check::value(object, "class_name").map(|entry| &entry.node);
    let class = class.filter(|node| check::string(report, "containers.class_name", node).is_some());
    let named = check::value(object, "name").map(|entry| &entry.node);
    let name = named.and_then(|node| check::string(report, "containers.name", node));
    let name = name.filter(|name| !name.is_empty()).map(str::to_owned);
    // A class name that is no text was reported; that there is no default name then is not news.
    let wrong_class = class.is_none() && check::value(object, "class_name").is_some();
    let name = name
        .or_else(|| if wrong_class { None } else { default_name(report, item, class, context) });
    let name_span = named.or(class).unwrap_or(item).span.clone();
    Draft { span: &item.span, name, name_span, class, object }
}

/// `<worker>-<class>[-<environment>]` in lower case.
fn default_name(
    report: &mut Report,
    item: &Node,
    class: Option<&Node>,
    context: &Context<'_>,
) -> Option<String> {
    let Some(class) = class.and_then(Node::as_str) else {
        report.error(
            &item.span,
            "\"containers.name\" is required when \"containers.class_name\" is not defined, because there is no class name to derive a default name from. Either name this container and reference it from a Durable Object's `exports` entry, or set \"containers.class_name\".",
        );
        return None;
    };
    let Some(worker) = context.worker else {
        report.error(
            &item.span,
            "Must have either a top level \"name\" and \"containers.class_name\" field defined, or have field \"containers.name\" defined.",
        );
        return None;
    };
    let mut name = format!("{worker}-{class}");
    if let Some(environment) = context.environment {
        name = format!("{name}-{environment}");
    }
    Some(name.to_lowercase().replace(' ', "-"))
}

fn container(
    report: &mut Report,
    draft: &Draft<'_>,
    class: Option<String>,
    context: &Context<'_>,
) -> Option<Container> {
    let object = draft.object;
    let configuration = keys::deprecated(report, object);
    let managed = keys::managed_by_objects(report, object);
    let images = match managed {
        true => images::named(report, draft.span, object, context.root),
        false => image::image(report, draft.span, object, configuration, context.root)
            .map(ApplicationImages::One),
    };
    let instance_type = match managed {
        // Each start says how large it is to be, and workerd does not pass that on.
        true => Some(InstanceType::Standard4),
        false => limits::instance_type(report, object, configuration),
    };
    let max_instances = max_instances(report, object);
    let rollout = rollout::rollout(report, object, max_instances);
    let observability = keys::observability(report, object, context.observability);
    let ssh: Ssh = keys::ssh(report, object);
    let constraints: Constraints = keys::constraints(report, object);
    keys::affinities(report, object);
    keys::unsafe_settings(report, object);
    Some(Container {
        application: Application {
            name: draft.name.clone()?,
            class_name: class?,
            images: images?,
            instance_type: instance_type.unwrap_or(InstanceType::Lite),
            max_instances: match managed {
                true => u32::MAX,
                false => max_instances.unwrap_or(MAX_INSTANCES_DEFAULT),
            },
            stop_grace: context.stop_grace,
        },
        constraints,
        rollout,
        observability,
        ssh,
    })
}

/// `max_instances`, or `instances` as it was called at first.
fn max_instances(report: &mut Report, object: &Object) -> Option<u32> {
    let entry = check::value(object, "max_instances");
    let entry = entry.or_else(|| check::value(object, "instances"))?;
    let field = format!("containers.{}", entry.key);
    let number = check::number(report, &field, &entry.node)?;
    let whole = entry.node.as_u64().and_then(|number| u32::try_from(number).ok());
    if whole.is_none() {
        report.error(
            &entry.node.span,
            format!("\"{field}\" field should be a positive number, but got {number}"),
        );
    }
    whole
}
