//! `containers[].images`: what Durable Objects that manage their containers choose from.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use model::{ApplicationImages, ImageSource};

use super::image::{Kind, build_args, build_context, classify};
use crate::check::{self, Report};
use crate::tree::{Entry, Object};

/// Most images of one entry.
const IMAGES_MAX: usize = 100;

/// Longest name of one, in characters.
const NAME_MAX: usize = 128;

/// Every image by its name: `{ dockerfile, build_context, build_vars }` or `{ image }`.
pub(super) fn named(
    report: &mut Report,
    span: &Range<usize>,
    object: &Object,
    root: &Path,
) -> Option<ApplicationImages> {
    let Some(entry) = check::value(object, "images") else {
        report.error(
            span,
            "\"containers.images\" must be defined with \"scheduling_policy\": \"durable_object\": the images that ctx.container.start() can be given, by name.",
        );
        return None;
    };
    let images = check::object(report, "containers.images", &entry.node)?;
    if images.entries.is_empty() || images.entries.len() > IMAGES_MAX {
        let got = images.entries.len();
        report.error(
            &entry.node.span,
            format!(
                "\"containers.images\" must have between 1 and {IMAGES_MAX} images, but has {got}."
            ),
        );
        return None;
    }
    let sources = images.entries.iter().map(|entry| one(report, entry, root));
    // All are looked at before one that is wrong ends it.
    let sources: Vec<_> = sources.collect();
    let sources: Option<BTreeMap<_, _>> = sources.into_iter().collect();
    Some(ApplicationImages::Named(sources?))
}

fn one(report: &mut Report, entry: &Entry, root: &Path) -> Option<(String, ImageSource)> {
    let name = &entry.key;
    let place = format!("containers.images.{name}");
    if !(1..=NAME_MAX).contains(&name.chars().count()) {
        report.error(
            &entry.key_span,
            format!("The name of an image in \"containers.images\" must have between 1 and {NAME_MAX} characters."),
        );
        return None;
    }
    let object = check::object(report, &place, &entry.node)?;
    let known = ["dockerfile", "build_context", "build_vars", "image"];
    report.unexpected_fields(&place, object, &known);
    let [dockerfile, image] = ["dockerfile", "image"].map(|key| check::value(object, key));
    let (key, entry) = match (dockerfile, image) {
        (Some(entry), None) => ("dockerfile", entry),
        (None, Some(entry)) => ("image", entry),
        _ => {
            report.error(
                &entry.node.span,
                format!("\"{place}\" must have either \"dockerfile\" or \"image\"."),
            );
            return None;
        }
    };
    let text = check::string(report, &format!("{place}.{key}"), &entry.node)?;
    let build_args = build_args(report, object, (&place, "build_vars"));
    let context = build_context(report, object, (&place, "build_context"), root);
    let source = match (key, classify(text, root)) {
        ("dockerfile", Ok(Kind::Dockerfile(path))) => {
            let folder = path.parent().unwrap_or(root).to_owned();
            ImageSource::Dockerfile { path, context: context.unwrap_or(folder), build_args }
        }
        ("image", Ok(Kind::Reference)) => ImageSource::Reference(text.to_owned()),
        (_, Err(message)) => {
            report.error(&entry.node.span, message);
            return None;
        }
        (_, Ok(Kind::Reference)) => {
            let text =
                format!("\"{place}.dockerfile\": there is no file {}", root.join(text).display());
            report.error(&entry.node.span, text);
            return None;
        }
        (_, Ok(Kind::Dockerfile(_))) => {
            let text =
                format!("\"{place}.image\" is a Dockerfile: name it in \"dockerfile\" instead.");
            report.error(&entry.node.span, text);
            return None;
        }
    };
    Some((name.clone(), source))
}
