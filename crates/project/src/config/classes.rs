//! Durable Object classes: which exist after all `migrations` or by `exports`, under which storage.

use std::collections::BTreeMap;
use std::ops::Range;

use super::DurableObjectClass;
use crate::check::{self, Report};
use crate::config::scope::Scope;
use crate::tree::{Entry, Node, Object};

/// A class while it is followed through the migrations.
#[derive(Debug, Clone)]
struct Class {
    name: String,
    /// Its name when it was created; the storage keeps it.
    created_as: String,
    sqlite: bool,
}

/// What `migrations` and `exports` say.
#[derive(Debug, Default)]
pub(super) struct Classes {
    classes: Vec<Class>,
    /// For a container's name the class that `exports` links it to.
    pub(super) containers: Vec<ContainerLink>,
    /// Whether classes are declared by `exports`.
    pub(super) by_exports: bool,
    has_migrations: bool,
    /// How often each name was created.
    created: BTreeMap<String, usize>,
}

/// `exports.<class>.container`.
#[derive(Debug)]
pub(super) struct ContainerLink {
    pub(super) class: String,
    pub(super) container: String,
    pub(super) span: Range<usize>,
}

impl Classes {
    pub(super) fn read(report: &mut Report, scope: &Scope<'_>) -> Self {
        let mut classes = Self::default();
        if let Some(field) = scope.inherited("migrations") {
            classes.migrations(report, field.node);
        }
        if let Some(field) = scope.inherited("exports") {
            classes.exports(report, field.key_span, field.node);
        }
        classes
    }

    /// Whether the class exists, and if so whether its storage is SQLite.
    pub(super) fn sqlite(&self, name: &str) -> Option<bool> {
        self.position(name).map(|at| self.classes[at].sqlite)
    }

    /// Adds the classes that are bound but declared nowhere, with wrangler's warning.
    pub(super) fn add_bound(&mut self, report: &mut Report, bound: &[(String, Range<usize>)]) {
        let missing: Vec<_> =
            bound.iter().filter(|(class, _)| self.position(class).is_none()).collect();
        let Some((_, span)) = missing.first() else { return };
        let names: Vec<_> = missing.iter().map(|(class, _)| class.as_str()).collect();
        let list = names.join(", ");
        let new: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let message = if self.has_migrations {
            format!(
                "The `durable_objects` exported by this Worker ({list}) are created by no migration. This may not work as expected."
            )
        } else {
            format!(
                "You have configured `durable_objects` exported by this Worker ({list}), but no `migrations` and no live `exports` entry for them. This may not work as expected."
            )
        };
        report.warn_with(
            span,
            message,
            format!(
                "add {{ \"tag\": \"v1\", \"new_sqlite_classes\": [{}] }} to \"migrations\"",
                new.join(", ")
            ),
        );
        for (class, _) in missing {
            if self.position(class).is_none() {
                self.create(class, false);
            }
        }
    }

    /// The classes as the runtime needs them.
    pub(super) fn finish(self, worker: &str) -> Vec<DurableObjectClass> {
        self.classes
            .into_iter()
            .map(|class| DurableObjectClass {
                unique_key: format!("{worker}-{}", class.created_as),
                name: class.name,
                sqlite: class.sqlite,
            })
            .collect()
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.classes.iter().position(|class| class.name == name)
    }

    /// A new class. A name that was used before, by a class renamed or deleted since, gets storage
    /// of its own: `A`, then `A-2`, which no class can be called.
    fn create(&mut self, name: &str, sqlite: bool) {
        let count = self.created.entry(name.to_owned()).or_insert(0);
        *count += 1;
        let created_as = if *count == 1 { name.to_owned() } else { format!("{name}-{count}") };
        self.classes.push(Class { name: name.to_owned(), created_as, sqlite });
    }

    fn migrations(&mut self, report: &mut Report, node: &Node) {
        let Some(items) = node.as_array() else {
            let message = format!(
                "The optional \"migrations\" field should be an array, but got {}",
                node.json()
            );
            return report.error(&node.span, message);
        };
        self.has_migrations = !items.is_empty();
        for (index, item) in items.iter().enumerate() {
            let field = format!("migrations[{index}]");
            let Some(object) = check::object(report, &field, item) else { continue };
            let known = [
                "tag",
                "new_classes",
                "new_sqlite_classes",
                "renamed_classes",
                "deleted_classes",
                "transferred_classes",
            ];
            report.unexpected_fields("migrations", object, &known);
            check::required_string(report, &field, object, "tag", &item.span);
            // The order within a migration is wrangler's.
            self.delete(report, &field, object);
            self.rename(report, &field, object);
            self.transfer(report, &field, object);
            self.add(report, &field, object, "new_classes", false);
            self.add(report, &field, object, "new_sqlite_classes", true);
        }
    }

    fn delete(&mut self, report: &mut Report, field: &str, object: &Object) {
        for (name, span) in names(report, field, object, "deleted_classes") {
            match self.position(&name) {
                Some(at) => {
                    self.classes.remove(at);
                }
                None => report.error(
                    &span,
                    format!("Cannot apply deleted_classes migration to non-existent class {name}"),
                ),
            }
        }
    }

    fn rename(&mut self, report: &mut Report, field: &str, object: &Object) {
        let wanted = "{from: string, to: string}";
        for (item, texts) in
            moves(report, field, object, "renamed_classes", &["from", "to"], wanted)
        {
            let [from, to] = &texts[..] else { continue };
            match self.position(from) {
                Some(at) => self.classes[at].name.clone_from(to),
                None => report.error(
                    &item.span,
                    format!("Cannot apply renamed_classes migration to non-existent class {from}"),
                ),
            }
        }
    }

    fn transfer(&mut self, report: &mut Report, field: &str, object: &Object) {
        let wanted = "{from: string, from_script: string, to: string}";
        let keys = ["from", "from_script", "to"];
        for (item, texts) in moves(report, field, object, "transferred_classes", &keys, wanted) {
            let [_, script, to] = &texts[..] else { continue };
            report.warn(
                &item.span,
                format!("The class {to} comes from the Worker \"{script}\"; here its objects begin empty."),
            );
            if self.position(to).is_none() {
                self.create(to, true);
            }
        }
    }

    fn add(&mut self, report: &mut Report, field: &str, object: &Object, key: &str, sqlite: bool) {
        for (name, span) in names(report, field, object, key) {
            if self.position(&name).is_some() {
                report
                    .error(&span, format!("Cannot apply {key} migration to existing class {name}"));
            } else {
                self.create(&name, sqlite);
            }
        }
    }

    fn exports(&mut self, report: &mut Report, key_span: &Range<usize>, node: &Node) {
        let Some(object) = node.as_object() else {
            return report.error(
                &node.span,
                format!(
                    "The optional \"exports\" field should be an object keyed by class name, but got {}",
                    node.json()
                ),
            );
        };
        let mut renamed = BTreeMap::new();
        for entry in &object.entries {
            let name = &entry.key;
            let Some(export) = entry.node.as_object() else {
                let got = entry.node.json();
                report.error(
                    &entry.node.span,
                    format!("\"exports.{name}\" should be an object but got {got}."),
                );
                continue;
            };
            match check::value(export, "type").and_then(|entry| entry.node.as_str()) {
                Some("durable-object") => self.export(report, entry, export, &mut renamed),
                Some("worker") => {
                    report.unexpected_fields(
                        &format!("exports.{name}"),
                        export,
                        &["type", "cache"],
                    );
                }
                Some("workflow") => report.error(
                    &entry.key_span,
                    format!(
                        "\"exports.{name}\": Workflow bindings are not supported by Berth yet."
                    ),
                ),
                _ => {
                    let got = export.get("type").map_or("undefined".to_owned(), |t| t.node.json());
                    report.error(
                        &entry.node.span,
                        format!(
                            "\"exports.{name}.type\" must be \"durable-object\", \"worker\", or \"workflow\", but got {got}."
                        ),
                    );
                }
            }
        }
        if self.by_exports && self.has_migrations {
            report.error(
                key_span,
                "`migrations` and `exports` are mutually exclusive. Choose one or the other to declare your Durable Object lifecycle, but not both.",
            );
        }
        self.follow_renames(&renamed);
    }

    /// Gives each class the name it was created with, through any number of renames.
    fn follow_renames(&mut self, renamed: &BTreeMap<String, String>) {
        for class in &mut self.classes {
            // A circle of renames ends after as many steps as there are renames.
            for _ in 0..renamed.len() {
                match renamed.get(&class.created_as) {
                    Some(old) => class.created_as.clone_from(old),
                    None => break,
                }
            }
        }
    }

    fn export(
        &mut self,
        report: &mut Report,
        entry: &Entry,
        export: &Object,
        renamed: &mut BTreeMap<String, String>,
    ) {
        let name = &entry.key;
        self.by_exports = true;
        if name.is_empty() {
            report.error(&entry.key_span, "\"export\" keys cannot be the empty string.");
        }
        let state = check::value(export, "state").map(|entry| &entry.node);
        let text = |key: &str| {
            check::value(export, key).and_then(|e| e.node.as_str()).filter(|t| !t.is_empty())
        };
        let needs = |report: &mut Report, key: &str, state: &str| {
            if text(key).is_none() {
                report.error(
                    &entry.node.span,
                    format!("\"exports.{name}.{key}\" is required for state \"{state}\" and must be a non-empty string."),
                );
            }
        };
        let (state, allowed): (&str, &[&str]) = match state.map(|node| (node.as_str(), node)) {
            None | Some((Some("created"), _)) => {
                ("created", &["type", "state", "storage", "container"])
            }
            Some((Some("deleted"), _)) => ("deleted", &["type", "state"]),
            Some((Some("renamed"), _)) => {
                needs(report, "renamed_to", "renamed");
                if let Some(to) = text("renamed_to") {
                    check_rename(report, entry, name, to);
                    renamed.insert(to.to_owned(), name.clone());
                }
                ("renamed", &["type", "state", "renamed_to"])
            }
            Some((Some("transferred"), _)) => {
                needs(report, "transferred_to", "transferred");
                ("transferred", &["type", "state", "transferred_to"])
            }
            Some((Some("expecting-transfer"), _)) => {
                needs(report, "transfer_from", "expecting-transfer");
                ("expecting-transfer", &["type", "state", "storage", "transfer_from", "container"])
            }
            Some((_, node)) => {
                return report.error(
                    &node.span,
                    format!(
                        "\"exports.{name}.state\" must be one of \"created\", \"deleted\", \"renamed\", \"transferred\", or \"expecting-transfer\" but got {}.",
                        node.json()
                    ),
                );
            }
        };
        forbidden(report, name, state, export, allowed);
        if matches!(state, "created" | "expecting-transfer") {
            self.live(report, entry, export, state);
        }
    }

    /// A class that exists: its storage, and the container linked to it.
    fn live(&mut self, report: &mut Report, entry: &Entry, export: &Object, state: &str) {
        let name = &entry.key;
        let storage = check::value(export, "storage").map(|entry| &entry.node);
        let sqlite = match storage.and_then(Node::as_str) {
            Some("sqlite") => true,
            Some("legacy-kv") => false,
            _ => {
                let got = storage.map_or("undefined".to_owned(), Node::json);
                report.error(
                    storage.map_or(&entry.node.span, |node| &node.span),
                    format!(
                        "\"exports.{name}.storage\" is required for state \"{state}\" and must be one of sqlite and legacy-kv, but got {got}"
                    ),
                );
                true
            }
        };
        self.create(name, sqlite);
        let Some(container) = check::value(export, "container") else { return };
        match container.node.as_str().filter(|text| !text.is_empty()) {
            None => report.error(
                &container.node.span,
                format!(
                    "\"exports.{name}.container\" must be a non-empty string naming a container in the \"containers\" array, but got {}.",
                    container.node.json()
                ),
            ),
            Some(_) if !sqlite => report.error(
                &container.node.span,
                format!(
                    "\"exports.{name}.container\" requires \"storage\" to be \"sqlite\". Containers are not supported on Durable Objects using the \"legacy-kv\" storage backend."
                ),
            ),
            Some(text) => self.containers.push(ContainerLink {
                class: name.clone(),
                container: text.to_owned(),
                span: container.node.span.clone(),
            }),
        }
    }
}

fn check_rename(report: &mut Report, entry: &Entry, name: &str, to: &str) {
    let start = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '$');
    let identifier = to.starts_with(start) && to.chars().all(|c| start(c) || c.is_ascii_digit());
    if !identifier {
        report.error(
            &entry.node.span,
            format!("\"exports.{name}.renamed_to\" must be a valid JavaScript identifier (got \"{to}\")."),
        );
    }
    if to == name {
        report.error(
            &entry.node.span,
            format!("\"exports.{name}.renamed_to\" cannot equal the source class name \"{name}\"."),
        );
    }
}

fn forbidden(report: &mut Report, name: &str, state: &str, export: &Object, allowed: &[&str]) {
    for entry in &export.entries {
        if !allowed.contains(&entry.key.as_str()) {
            report.error_with(
                &entry.key_span,
                format!("\"exports.{name}.{}\" is forbidden on state \"{state}\".", entry.key),
                format!("allowed properties are: {}", allowed.join(", ")),
            );
        }
    }
}

/// A list of class names with their places.
fn names(
    report: &mut Report,
    field: &str,
    object: &Object,
    key: &str,
) -> Vec<(String, Range<usize>)> {
    let Some(entry) = check::value(object, key) else { return Vec::new() };
    // Reports what is no text; the loop below then only sees texts.
    check::strings(report, &format!("{field}.{key}"), &entry.node);
    let items = entry.node.as_array().unwrap_or_default();
    items.iter().filter_map(|item| Some((item.as_str()?.to_owned(), item.span.clone()))).collect()
}

/// A list of objects whose keys are all texts.
fn moves<'a>(
    report: &mut Report,
    field: &str,
    object: &'a Object,
    key: &str,
    keys: &[&str],
    wanted: &str,
) -> Vec<(&'a Node, Vec<String>)> {
    let Some(entry) = check::value(object, key) else { return Vec::new() };
    let texts = |item: &Node| -> Option<Vec<String>> {
        let object = item.as_object()?;
        keys.iter().map(|key| Some(object.get(key)?.node.as_str()?.to_owned())).collect()
    };
    let items: Option<Vec<_>> = entry
        .node
        .as_array()
        .and_then(|items| items.iter().map(|item| Some((item, texts(item)?))).collect());
    items.unwrap_or_else(|| {
        report.error(
            &entry.node.span,
            format!(
                "Expected \"{field}.{key}\" to be an array of \"{wanted}\" objects but got {}.",
                entry.node.json()
            ),
        );
        Vec::new()
    })
}
