//! Finding and reading the configuration file.

use std::path::{Path, PathBuf};

use super::ConfigError;
use crate::check::Report;
use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::parse;
use crate::tree::Node;

/// The names of a configuration file. wrangler looks for each of them up to the root before it
/// looks for the next.
const NAMES: [&str; 3] = ["wrangler.json", "wrangler.jsonc", "wrangler.toml"];

/// The configuration file that belongs to a path: the file itself, or the one found from a folder
/// upwards.
pub(super) fn find(path: &Path) -> Result<PathBuf, ConfigError> {
    let absolute = std::path::absolute(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    if !absolute.exists() {
        let source = std::io::ErrorKind::NotFound.into();
        return Err(ConfigError::Read { path: absolute, source });
    }
    if !absolute.is_dir() {
        return Ok(absolute);
    }
    let found = NAMES.iter().find_map(|name| {
        absolute.ancestors().map(|dir| dir.join(name)).find(|candidate| candidate.is_file())
    });
    found.ok_or(ConfigError::NotFound { dir: absolute })
}

/// Reads and parses a configuration file by its extension.
pub(super) fn read(path: &Path) -> Result<(Report, Node), ConfigError> {
    read_as(path, path.extension().is_some_and(|extension| extension == "toml"))
}

/// Reads and parses a file as TOML, whatever its extension.
pub(super) fn read_toml(path: &Path) -> Result<(Report, Node), ConfigError> {
    read_as(path, true)
}

fn read_as(path: &Path, is_toml: bool) -> Result<(Report, Node), ConfigError> {
    let read = |source| ConfigError::Read { path: path.to_owned(), source };
    let bytes = fs_err::read(path).map_err(read)?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Err(not_utf8(path, &error)),
    };
    let source = Source::new(path, text.strip_prefix('\u{feff}').unwrap_or(&text));
    let parsed = if is_toml {
        parse::toml::parse(source.text())
    } else {
        parse::jsonc::parse(source.text()).map_err(|error| vec![error])
    };
    let mut report = Report::new(source);
    match parsed {
        Ok(node) => Ok((report, node)),
        Err(errors) => {
            for (message, span) in errors {
                report.error(&span, message);
            }
            Err(ConfigError::Invalid { diagnostics: report.finish() })
        }
    }
}

fn not_utf8(path: &Path, error: &std::string::FromUtf8Error) -> ConfigError {
    let valid = error.utf8_error().valid_up_to();
    let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
    let diagnostic = Diagnostic {
        severity: Severity::Error,
        message: "The file is not valid UTF-8".to_owned(),
        // The replacement character takes three bytes.
        span: valid..valid + 3,
        source: Source::new(path, text),
        help: None,
    };
    ConfigError::Invalid { diagnostics: vec![diagnostic] }
}
