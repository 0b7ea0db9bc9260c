//! `assets`: static files beside the Worker.

use std::path::Path;

use super::bindings::Names;
use super::{Assets, HtmlHandling, NotFoundHandling, RunWorkerFirst};
use crate::check::{self, Report};
use crate::config::scope::Scope;
use crate::tree::{Entry, Object};

/// What assets need to know of the rest of the configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) root: &'a Path,
    /// Whether there is a Worker script.
    pub(super) has_main: bool,
    /// Whether a custom build may make the folder later.
    pub(super) has_build: bool,
}

/// `assets`.
pub(super) fn assets(
    report: &mut Report,
    scope: &Scope<'_>,
    context: Context<'_>,
    names: &mut Names,
) -> Option<Assets> {
    let field = scope.inherited("assets")?;
    let object = check::object(report, &field.path, field.node)?;
    let known = [
        "directory",
        "binding",
        "html_handling",
        "not_found_handling",
        "base_path",
        "run_worker_first",
    ];
    report.unexpected_fields(&field.path, object, &known);
    if let Some(entry) = check::value(object, "base_path") {
        report.error(&entry.key_span, "\"assets.base_path\" is not supported by Berth yet.");
    }
    let binding = check::value(object, "binding").and_then(|entry| {
        let name = check::string(report, "assets.binding", &entry.node)?;
        names.add(name, "Assets", &entry.node.span);
        if !context.has_main {
            report.error(
                &entry.node.span,
                "Cannot use assets with a binding in an assets-only Worker.\nPlease remove the asset binding from your configuration file, or provide a Worker script in your configuration file (`main`).",
            );
        }
        Some(name.to_owned())
    });
    let html_handling = html_handling(report, object);
    let not_found_handling = not_found_handling(report, object);
    let run_worker_first = check::value(object, "run_worker_first")
        .and_then(|entry| run_worker_first(report, entry, context.has_main))
        .unwrap_or(RunWorkerFirst::Always(false));
    let Some(entry) = check::value(object, "directory") else {
        report.error(
            field.key_span,
            "The `assets` property in your configuration is missing the required `directory` property.",
        );
        return None;
    };
    let text = check::string(report, "assets.directory", &entry.node)?;
    let directory = context.root.join(text).components().collect::<std::path::PathBuf>();
    if directory.exists() && !directory.is_dir() {
        report.error(
            &entry.node.span,
            format!(
                "The asset directory specified by the \"assets.directory\" field in your configuration file is not a directory:\n{}",
                directory.display()
            ),
        );
    } else if !directory.exists() && !context.has_build {
        report.error(
            &entry.node.span,
            format!(
                "The directory specified by the \"assets.directory\" field in your configuration file does not exist:\n{}",
                directory.display()
            ),
        );
    }
    Some(Assets { directory, binding, html_handling, not_found_handling, run_worker_first })
}

fn html_handling(report: &mut Report, object: &Object) -> HtmlHandling {
    let Some(entry) = check::value(object, "html_handling") else { return HtmlHandling::default() };
    let choices = ["auto-trailing-slash", "force-trailing-slash", "drop-trailing-slash", "none"];
    match check::choice(report, "assets.html_handling", &entry.node, &choices) {
        Some("force-trailing-slash") => HtmlHandling::ForceTrailingSlash,
        Some("drop-trailing-slash") => HtmlHandling::DropTrailingSlash,
        Some("none") => HtmlHandling::None,
        _ => HtmlHandling::AutoTrailingSlash,
    }
}

fn not_found_handling(report: &mut Report, object: &Object) -> NotFoundHandling {
    let Some(entry) = check::value(object, "not_found_handling") else {
        return NotFoundHandling::default();
    };
    let choices = ["single-page-application", "404-page", "none"];
    match check::choice(report, "assets.not_found_handling", &entry.node, &choices) {
        Some("single-page-application") => NotFoundHandling::SinglePageApplication,
        Some("404-page") => NotFoundHandling::NotFoundPage,
        _ => NotFoundHandling::None,
    }
}

fn run_worker_first(report: &mut Report, entry: &Entry, has_main: bool) -> Option<RunWorkerFirst> {
    let first = if let Some(value) = entry.node.as_bool() {
        RunWorkerFirst::Always(value)
    } else if entry.node.as_array().is_some() {
        let paths = check::strings(report, "assets.run_worker_first", &entry.node)?;
        for (path, item) in paths.iter().zip(entry.node.as_array().unwrap_or_default()) {
            if !path.trim_start_matches('!').starts_with('/') {
                report.error(
                    &item.span,
                    format!("\"assets.run_worker_first\" rules must start with \"/\" or \"!/\", but got \"{path}\"."),
                );
            }
        }
        RunWorkerFirst::Paths(paths)
    } else {
        report.error(
            &entry.node.span,
            format!(
                "The field \"assets.run_worker_first\" should be an array of strings or a boolean, but got {}.",
                entry.node.json()
            ),
        );
        return None;
    };
    if !has_main && first != RunWorkerFirst::Always(false) {
        report.error(
            &entry.key_span,
            "Cannot set run_worker_first without a Worker script.\nPlease remove run_worker_first from your configuration file, or provide a Worker script in your configuration file (`main`).",
        );
    }
    Some(first)
}
