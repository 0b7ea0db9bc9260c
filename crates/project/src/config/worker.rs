//! The Worker itself: name, entry point, compatibility, cron triggers.

use std::path::{Path, PathBuf};

use crate::check::{self, Report};
use crate::config::scope::{Field, Scope};
use crate::tree::Value;

/// A Worker's name, with and without its environment.
#[derive(Debug)]
pub(super) struct Name {
    /// The name it runs under.
    pub(super) effective: String,
    /// The environment's own name, or that of the top level: what containers are named after.
    pub(super) own: Option<String>,
}

/// What a Worker without a name is called.
const DEFAULT_NAME: &str = "worker";

/// `name`; an environment without one gets `<name>-<environment>`.
pub(super) fn name(report: &mut Report, scope: &Scope<'_>) -> Name {
    let own = scope.in_environment("name");
    let named = own.is_some();
    let text = own.or_else(|| scope.top("name")).and_then(|field| valid_name(report, &field));
    let text = text.filter(|text| !text.is_empty());
    if text.is_none() && scope.top("name").is_none() {
        report.warn(
            &(0..0),
            format!("\"name\" is missing from the configuration; the Worker is called \"{DEFAULT_NAME}\"."),
        );
    }
    let base = text.clone().unwrap_or_else(|| DEFAULT_NAME.to_owned());
    let effective = match scope.name() {
        Some(environment) if !named => format!("{base}-{environment}"),
        _ => base,
    };
    Name { effective, own: text }
}

fn valid_name(report: &mut Report, field: &Field<'_>) -> Option<String> {
    let valid = |text: &&str| {
        let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        text.chars().next().is_none_or(letter) && text.chars().all(|c| letter(c) || c == '-')
    };
    let text = field.node.as_str().filter(valid);
    if text.is_none() {
        report.error(
            &field.node.span,
            format!(
                "Expected \"name\" to be of type string, alphanumeric and lowercase with dashes only but got {}.",
                field.node.json()
            ),
        );
    }
    text.map(str::to_owned)
}

/// `main`, absolute.
pub(super) fn main(report: &mut Report, scope: &Scope<'_>, root: &Path) -> Option<PathBuf> {
    let Some(field) = scope.inherited("main") else {
        if scope.inherited("assets").is_none() {
            report.error_with(
                &(0..0),
                "Missing entry-point to Worker script or to assets directory",
                "add \"main\": \"src/index.ts\" to the configuration, or \"assets\": { \"directory\": \"./dist\" }",
            );
        }
        return None;
    };
    let text = check::string(report, "main", field.node)?;
    if Path::new(text).extension().is_some_and(|extension| extension == "py") {
        report.error(&field.node.span, "\"main\": Python Workers are not supported by Berth yet.");
    }
    Some(root.join(text).components().collect())
}

/// `compatibility_date` and `compatibility_flags`.
pub(super) fn compatibility(
    report: &mut Report,
    scope: &Scope<'_>,
) -> (Option<String>, Vec<String>) {
    let date = match scope.inherited("compatibility_date") {
        Some(field) => compatibility_date(report, &field),
        None => {
            report.warn_with(
                &(0..0),
                "No compatibility_date was specified. Using the installed Workers runtime's latest supported date.",
                "add \"compatibility_date\": \"YYYY-MM-DD\" to the configuration",
            );
            None
        }
    };
    let flags = scope.inherited("compatibility_flags").and_then(|field| {
        let texts = field.node.as_array().and_then(|items| {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        if texts.is_none() {
            report.wrong_type("compatibility_flags", field.node, "string array");
        }
        texts
    });
    let flags = flags.unwrap_or_default();
    let both = |name: &str| {
        let no = format!("no_{name}");
        flags.iter().any(|flag| flag == name) && flags.contains(&no)
    };
    if both("global_navigator")
        && let Some(field) = scope.inherited("compatibility_flags")
    {
        report.error(
            &field.node.span,
            "Conflicting compatibility flags: \"global_navigator\" and \"no_global_navigator\" cannot both be set. Remove one of these flags from your configuration.",
        );
    }
    (date, flags)
}

fn compatibility_date(report: &mut Report, field: &Field<'_>) -> Option<String> {
    let node = field.node;
    if let Value::Date(text) = &node.value {
        report.error_with(
            &node.span,
            format!(
                "Expected \"compatibility_date\" to be of type string but got {}.",
                node.json()
            ),
            format!("write it in quotes: compatibility_date = \"{text}\""),
        );
        return None;
    }
    let text = check::string(report, "compatibility_date", node)?;
    if text.contains(['\u{2013}', '\u{2014}']) {
        report.error(
            &node.span,
            "\"compatibility_date\" field should use ISO-8601 accepted hyphens (-) rather than en-dashes (–) or em-dashes (—).",
        );
        return None;
    }
    if !is_date(text) {
        report.error(
            &node.span,
            format!(
                "\"compatibility_date\" field should be a valid ISO-8601 date (YYYY-MM-DD), but got {}.",
                node.json()
            ),
        );
        return None;
    }
    Some(text.to_owned())
}

/// `YYYY-MM-DD`, a day that exists.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    if [year.len(), month.len(), day.len()] != [4, 2, 2]
        || !text.bytes().all(|b| b.is_ascii_digit() || b == b'-')
    {
        return false;
    }
    let number = |text: &str| text.parse::<u32>().unwrap_or(0);
    let (year, month, day) = (number(year), number(month), number(day));
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// `triggers.crons`.
pub(super) fn crons(report: &mut Report, scope: &Scope<'_>) -> Vec<String> {
    let Some(field) = scope.inherited("triggers") else { return Vec::new() };
    let Some(object) = field.node.as_object() else {
        report.wrong_type("triggers", field.node, "object");
        return Vec::new();
    };
    report.unexpected_fields("triggers", object, &["crons", "events"]);
    let events = check::value(object, "events");
    if let Some(entry) = events.filter(|e| e.node.as_array().is_none_or(|a| !a.is_empty())) {
        report.error(&entry.key_span, "\"triggers.events\" is not supported by Berth yet.");
    }
    let Some(entry) = check::value(object, "crons") else { return Vec::new() };
    if entry.node.as_array().is_none() {
        report.error(
            &entry.node.span,
            format!(
                "Expected \"triggers.crons\" to be of type array, but got {}.",
                field.node.json()
            ),
        );
        return Vec::new();
    }
    let crons = check::strings(report, "triggers.crons", &entry.node).unwrap_or_default();
    for item in entry.node.as_array().unwrap_or_default() {
        if item.as_str().is_some_and(|text| text.trim().is_empty()) {
            report.error(&item.span, "\"triggers.crons\" must not contain an empty expression.");
        }
    }
    crons
}

#[cfg(test)]
mod tests {
    use super::is_date;

    #[test]
    fn only_days_that_exist_are_dates() {
        for text in ["2024-02-29", "2026-08-04", "2000-12-31"] {
            assert!(is_date(text), "{text}");
        }
        for text in [
            "2023-02-29",
            "2024-13-01",
            "2024-1-1",
            "2024-01-00",
            "24-01-01",
            "",
            "2024-01-01T00:00",
        ] {
            assert!(!is_date(text), "{text}");
        }
    }
}
