//! Which keys are in effect: those at the top level, or those of one environment with what it inherits.
//!
//! The rules are wrangler's: some keys of an environment fall back to the top level, bindings and
//! `vars` never do, and a few keys exist at the top level only.

use std::ops::Range;

use crate::check::{self, Report};
use crate::tree::{Entry, Node, Object, quoted};

/// A key in effect.
#[derive(Debug, Clone)]
pub(crate) struct Field<'a> {
    /// How messages name it: `vars`, or `env.staging.vars`.
    pub(crate) path: String,
    pub(crate) key_span: &'a Range<usize>,
    pub(crate) node: &'a Node,
}

/// The file as one environment sees it.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    top: &'a Object,
    environment: Option<Environment<'a>>,
    /// The name that was asked for, even where the file has no environments at all.
    name: Option<&'a str>,
}

#[derive(Debug)]
struct Environment<'a> {
    name: &'a str,
    key_span: &'a Range<usize>,
    object: &'a Object,
}

impl<'a> Scope<'a> {
    /// Picks an environment. One that is missing among others is an error; in a file without
    /// environments the top level is used, with a warning.
    pub(crate) fn new(report: &mut Report, root: &'a Node, name: Option<&'a str>) -> Self {
        static EMPTY: Object = Object { entries: Vec::new() };
        let top = match root.as_object() {
            Some(object) => object,
            None => {
                report.error(
                    &root.span,
                    format!("Expected the configuration to be an object but got {}.", root.json()),
                );
                &EMPTY
            }
        };
        let mut scope = Self { top, environment: None, name };
        let all = check::value(top, "env");
        let Some(name) = name else { return scope };
        let named = all.and_then(|all| check::value(all.node.as_object()?, name));
        match named {
            Some(entry) => {
                let object = check::object(report, &format!("env.{name}"), &entry.node);
                scope.environment =
                    object.map(|object| Environment { name, key_span: &entry.key_span, object });
            }
            None => missing(report, name, all),
        }
        scope
    }

    /// The environment that was asked for.
    pub(crate) fn name(&self) -> Option<&'a str> {
        self.name
    }

    /// The environment, if the file defines it.
    pub(crate) fn defined(&self) -> Option<&'a str> {
        self.environment.as_ref().map(|environment| environment.name)
    }

    /// A key that the environment takes from the top level where it has none of its own.
    pub(crate) fn inherited(&self, key: &str) -> Option<Field<'a>> {
        self.in_environment(key).or_else(|| self.top(key))
    }

    /// A key that environments don't inherit. Warns where only the top level has it.
    pub(crate) fn own(&self, report: &mut Report, key: &str) -> Option<Field<'a>> {
        let Some(environment) = &self.environment else { return self.top(key) };
        let own = self.in_environment(key);
        if own.is_none() && self.top(key).is_some() {
            let name = environment.name;
            report.warn(
                environment.key_span,
                format!(
                    "\"{key}\" exists at the top level, but not on \"env.{name}\".\n\
                     This is not what you probably want, since \"{key}\" is not inherited by environments.\n\
                     Please add \"{key}\" to \"env.{name}\"."
                ),
            );
        }
        own
    }

    /// A key of the top level, whatever the environment.
    pub(crate) fn top(&self, key: &str) -> Option<Field<'a>> {
        check::value(self.top, key).map(|entry| field(key.to_owned(), entry))
    }

    /// A key that the environment itself has.
    pub(crate) fn in_environment(&self, key: &str) -> Option<Field<'a>> {
        let environment = self.environment.as_ref()?;
        let entry = check::value(environment.object, key)?;
        Some(field(format!("env.{}.{key}", environment.name), entry))
    }

    /// Every entry in effect of a list of keys, own or inherited.
    pub(crate) fn entries(&self, report: &mut Report, known: (&[&str], &[&str])) {
        let (top_only, both) = known;
        let top: Vec<&str> = top_only.iter().chain(both).copied().collect();
        report.unexpected_fields("top-level", self.top, &top);
        if let Some(environment) = &self.environment {
            report.unexpected_fields(
                &format!("env.{}", environment.name),
                environment.object,
                both,
            );
        }
        for object in std::iter::once(self.top).chain(self.environment.iter().map(|e| e.object)) {
            duplicate_keys(report, object);
        }
    }
}

fn field(path: String, entry: &Entry) -> Field<'_> {
    Field { path, key_span: &entry.key_span, node: &entry.node }
}

fn duplicate_keys(report: &mut Report, object: &Object) {
    for (index, entry) in object.entries.iter().enumerate() {
        if object.entries[index + 1..].iter().any(|later| later.key == entry.key) {
            report.warn(
                &entry.key_span,
                format!(
                    "The key {} is given more than once; the last one counts.",
                    quoted(&entry.key)
                ),
            );
        }
    }
}

fn missing(report: &mut Report, name: &str, all: Option<&Entry>) {
    let mut message = format!(
        "No environment found in configuration with name \"{name}\".\n\
         Before using `--env={name}` there should be an equivalent environment section in the configuration.\n"
    );
    let Some(all) = all else {
        message += "The top level of the configuration is used instead.";
        report.warn(&(0..0), message);
        return;
    };
    let entries = all.node.as_object().map_or(&[][..], |object| &object.entries);
    let names: Vec<_> = entries.iter().map(|entry| quoted(&entry.key)).collect();
    message += &format!("The available configured environment names are: [{}]", names.join(","));
    report.error(&all.key_span, message);
}
