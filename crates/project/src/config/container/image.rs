//! `containers[].image`: a Dockerfile, a folder with one, or a registry reference.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use model::ImageSource;

use crate::check::{self, Report};
use crate::tree::{Object, Value};

/// Where the image of an entry comes from.
pub(super) fn image(
    report: &mut Report,
    span: &Range<usize>,
    object: &Object,
    configuration: Option<&Object>,
    root: &Path,
) -> Option<ImageSource> {
    let build_args = build_args(report, object, ("containers", "image_vars"));
    let context = build_context(report, object, ("containers", "image_build_context"), root);
    let entry = check::value(object, "image")
        .or_else(|| configuration.and_then(|object| check::value(object, "image")));
    let Some(entry) = entry else {
        report.error(
            span,
            "\"containers.image\" field must be defined for each container app. This should be the path to your Dockerfile or an image URI pointing to the Cloudflare registry.",
        );
        return None;
    };
    let text = check::string(report, "containers.image", &entry.node)?;
    match classify(text, root) {
        Ok(Kind::Dockerfile(path)) => {
            let folder = path.parent().unwrap_or(root).to_owned();
            let context = context.unwrap_or(folder);
            Some(ImageSource::Dockerfile { path, context, build_args })
        }
        Ok(Kind::Reference) => Some(ImageSource::Reference(text.to_owned())),
        Err(message) => {
            let path: PathBuf = root.join(text).components().collect();
            let help = format!("there is no file {}", path.display());
            report.error_with(&entry.node.span, message, help);
            None
        }
    }
}

pub(super) enum Kind {
    Dockerfile(PathBuf),
    Reference,
}

/// wrangler's rule: what exists is a Dockerfile, anything else must look like `host/path:tag`.
pub(super) fn classify(text: &str, root: &Path) -> Result<Kind, String> {
    let path: PathBuf = root.join(text).components().collect();
    if path.is_file() {
        return Ok(Kind::Dockerfile(path));
    }
    if path.is_dir() && !text.is_empty() {
        let inside = path.join("Dockerfile");
        if inside.is_file() {
            return Ok(Kind::Dockerfile(inside));
        }
        return Err(format!("{text} is a directory, you should specify a path to the Dockerfile"));
    }
    let prefix = format!(
        "The image \"{text}\" does not appear to be a valid path to a Dockerfile, or a valid image registry path:\n"
    );
    if !is_url_authority(text) {
        return Err(prefix + "Invalid URL");
    }
    let last = text.rsplit('/').next().unwrap_or_default();
    if !last.contains(':') {
        return Err(prefix
            + "If this is an image registry path, it needs to include at least a tag ':' (e.g: docker.io/httpd:1)");
    }
    if text.contains("://") {
        return Err(prefix
            + "Image reference should not include the protocol part (e.g: docker.io/httpd:1, not https://docker.io/httpd:1)");
    }
    Ok(Kind::Reference)
}

/// Whether `https://<text>` is a URL: a host without forbidden characters, a port that is a number.
fn is_url_authority(text: &str) -> bool {
    let authority = text.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    let forbidden = |c: char| c.is_control() || " #%/:<>?@[\\]^|".contains(c);
    let host_ok = !host.is_empty() && !host.contains(forbidden);
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    host_ok && digits && (port.is_empty() || port.parse::<u16>().is_ok())
}

/// The folder a build reads from; `place` and `key` are where it stands.
pub(super) fn build_context(
    report: &mut Report,
    object: &Object,
    (place, key): (&str, &str),
    root: &Path,
) -> Option<PathBuf> {
    let field = format!("{place}.{key}");
    let entry = check::value(object, key)?;
    let context = root.join(check::string(report, &field, &entry.node)?);
    if !context.is_dir() {
        let text = format!("\"{field}\" is not a directory: {}", context.display());
        report.error(&entry.node.span, text);
    }
    Some(context)
}

/// Build arguments; `place` and `key` are where they stand.
pub(super) fn build_args(
    report: &mut Report,
    object: &Object,
    (place, key): (&str, &str),
) -> BTreeMap<String, String> {
    let mut args = BTreeMap::new();
    let Some(entry) = check::value(object, key) else { return args };
    let Some(vars) = entry.node.as_object() else {
        report.wrong_type(&format!("{place}.{key}"), &entry.node, "object");
        return args;
    };
    for var in &vars.entries {
        let text = match &var.node.value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => var.node.json(),
            _ => {
                let field = format!("{place}.{key}.{}", var.key);
                report.wrong_type(&field, &var.node, "string");
                continue;
            }
        };
        args.insert(var.key.clone(), text);
    }
    args
}
