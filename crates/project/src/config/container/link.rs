//! Which Durable Object class owns which container: by `class_name`, or by `exports.<class>.container`.

use std::ops::Range;

use super::Draft;
use crate::check::Report;
use crate::config::classes::Classes;
use crate::tree::Node;

/// The class of each container, in their order; `None` where something is wrong with it.
pub(super) fn classes(
    report: &mut Report,
    drafts: &[Draft<'_>],
    classes: &Classes,
) -> Vec<Option<String>> {
    let duplicates = duplicates(report, drafts);
    links(report, drafts, classes);
    let mut found = Vec::new();
    for (draft, duplicate) in drafts.iter().zip(duplicates) {
        found.push(if duplicate { None } else { class(report, draft, classes) });
    }
    found
}

/// Reports names and classes that two containers share; true for those that share a class.
fn duplicates(report: &mut Report, drafts: &[Draft<'_>]) -> Vec<bool> {
    let mut shared = vec![false; drafts.len()];
    for (index, draft) in drafts.iter().enumerate() {
        let earlier = &drafts[..index];
        if let Some(name) = &draft.name
            && earlier.iter().any(|other| other.name.as_ref() == Some(name))
        {
            report.error(
                &draft.name_span,
                format!(
                    "\"containers\" contains more than one container named \"{name}\". Container names must be unique."
                ),
            );
        }
        let class = draft.class.and_then(Node::as_str);
        if let Some(class) = class
            && earlier.iter().any(|other| other.class.and_then(Node::as_str) == Some(class))
        {
            shared[index] = true;
            report.error(
                draft.class.map_or(draft.span, |node| &node.span),
                format!(
                    "More than one container is attached to the Durable Object \"{class}\". A Durable Object can only have one container attached to it."
                ),
            );
        }
    }
    shared
}

/// Reports links of `exports` to containers that don't exist, or that two classes claim.
fn links(report: &mut Report, drafts: &[Draft<'_>], classes: &Classes) {
    for (index, link) in classes.containers.iter().enumerate() {
        let (class, name) = (&link.class, &link.container);
        if !drafts.iter().any(|draft| draft.name.as_ref() == Some(name)) {
            report.error(
                &link.span,
                format!(
                    "\"exports.{class}.container\" references a container named \"{name}\", but no container with that name is defined in \"containers\"."
                ),
            );
        }
        let first = classes.containers[..index].iter().find(|other| other.container == *name);
        if let Some(first) = first {
            report.error(
                &link.span,
                format!(
                    "The container \"{name}\" is referenced by more than one Durable Object export ({}, {class}). A container can only back a single Durable Object.",
                    first.class
                ),
            );
        }
    }
}

fn class(report: &mut Report, draft: &Draft<'_>, classes: &Classes) -> Option<String> {
    let name = draft.name.as_deref()?;
    let link = classes.containers.iter().find(|link| link.container == name);
    let Some(node) = draft.class else {
        if link.is_none() {
            report.error(
                draft.span,
                format!(
                    "The container \"{name}\" is not linked to a Durable Object. Either set \"containers.class_name\", or reference this container from a Durable Object's `exports` entry via its \"container\" field."
                ),
            );
        }
        return link.map(|link| link.class.clone());
    };
    let class = node.as_str()?;
    let sets = format!("The container \"{name}\" sets \"class_name\" to \"{class}\", but");
    let own = classes.containers.iter().find(|link| link.class == class);
    if let Some(other) = own.filter(|link| link.container != name) {
        report.error(
            &node.span,
            format!(
                "{sets} \"exports.{class}.container\" is \"{}\". A Durable Object and its container must reference each other consistently.",
                other.container
            ),
        );
        return None;
    }
    if let Some(other) = link.filter(|link| link.class != class) {
        report.error(
            &node.span,
            format!(
                "{sets} \"exports.{}.container\" references it. A Durable Object and its container must reference each other consistently.",
                other.class
            ),
        );
        return None;
    }
    storage(report, &sets, class, &node.span, classes)
}

/// The class must exist and keep its data in SQLite.
fn storage(
    report: &mut Report,
    sets: &str,
    class: &str,
    span: &Range<usize>,
    classes: &Classes,
) -> Option<String> {
    match classes.sqlite(class) {
        Some(true) => return Some(class.to_owned()),
        None if classes.by_exports => report.error(
            span,
            format!("{sets} \"exports\" has no live \"durable-object\" entry for \"{class}\"."),
        ),
        None => report.error_with(
            span,
            format!(
                "The container class_name {class} does not match any durable object class_name defined in your Wrangler config file. Note that the durable object must be defined in the same script as the container."
            ),
            format!("add the class to \"durable_objects.bindings\", and {{ \"tag\": \"v1\", \"new_sqlite_classes\": [\"{class}\"] }} to \"migrations\""),
        ),
        Some(false) if classes.by_exports => report.error(
            span,
            format!(
                "{sets} \"exports.{class}.storage\" is \"legacy-kv\". Containers are not supported on Durable Objects using the \"legacy-kv\" storage backend."
            ),
        ),
        Some(false) => report.error_with(
            span,
            format!(
                "The container class_name {class} is a Durable Object class without SQLite storage. Containers need SQLite-backed Durable Objects."
            ),
            format!("create the class with \"new_sqlite_classes\": [\"{class}\"] in \"migrations\", not with \"new_classes\""),
        ),
    }
    None
}
