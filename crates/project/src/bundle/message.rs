//! esbuild's findings: what they say, where, and what Berth adds to them.

use std::path::Path;

use super::node::Compat;
use super::packet::Value;
use super::{Location, Message};

/// Adds what a user can do about a finding; esbuild's own advice speaks of options nobody has here.
pub(super) fn with_hints(messages: &[Value], compat: Compat, root: &Path) -> Vec<Value> {
    messages.iter().map(|message| with_hint(message, compat, root)).collect()
}

fn with_hint(message: &Value, compat: Compat, root: &Path) -> Value {
    let unresolved = message
        .text("text")
        .strip_prefix("Could not resolve \"")
        .and_then(|rest| rest.strip_suffix('"'));
    let (Some(name), Value::Object(entries)) = (unresolved, message) else {
        return message.clone();
    };
    let mut entries = entries.clone();
    let notes = match compat.hint(name) {
        Some(hint) => vec![note(hint)],
        None => {
            let own = message.list("notes").iter();
            let mut notes: Vec<Value> = own
                .filter(|note| !note.text("text").contains("as external to exclude"))
                .cloned()
                .collect();
            notes.extend(package(name).map(|package| note(install_hint(package, root))));
            notes
        }
    };
    entries.insert("notes".to_owned(), Value::Array(notes));
    Value::Object(entries)
}

fn note(text: String) -> Value {
    Value::object([("text", Value::String(text)), ("location", Value::Null)])
}

/// The npm package that an import names; `None` for a path.
fn package(name: &str) -> Option<&str> {
    let slashes = if name.starts_with('@') { 2 } else { 1 };
    let end = name.match_indices('/').nth(slashes - 1).map_or(name.len(), |(at, _)| at);
    let package = &name[..end];
    let legal = |c: char| c.is_ascii_alphanumeric() || "@/-_.".contains(c);
    let is_path = name.starts_with(['.', '/']);
    (!is_path && !package.is_empty() && package.chars().all(legal)).then_some(package)
}

fn install_hint(package: &str, root: &Path) -> String {
    let manifest = root.ancestors().map(|dir| dir.join("package.json")).find(|file| file.is_file());
    let manifest = manifest.and_then(|file| fs_err::read(file).ok());
    let manifest: Option<serde_json::Value> =
        manifest.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let listed = manifest.is_some_and(|manifest| {
        ["dependencies", "devDependencies", "peerDependencies", "optionalDependencies"]
            .iter()
            .any(|key| manifest[key].get(package).is_some())
    });
    if listed {
        format!(
            "The package \"{package}\" is in package.json but not installed: run `npm install`."
        )
    } else {
        format!(
            "If \"{package}\" is an npm package, add it: run `npm install {package}`. Otherwise you can add an entry to \"alias\" in your Wrangler configuration."
        )
    }
}

/// The findings in our words.
pub(super) fn read(messages: &[Value], frames: &[Value]) -> Vec<Message> {
    let frame = |index: usize| match frames.get(index) {
        Some(Value::String(text)) => text.trim_end().to_owned(),
        _ => String::new(),
    };
    messages
        .iter()
        .enumerate()
        .map(|(index, message)| Message {
            text: message.text("text").to_owned(),
            location: message.get("location").and_then(location),
            frame: frame(index),
        })
        .collect()
}

fn location(value: &Value) -> Option<Location> {
    let file = value.text("file");
    if file.is_empty() {
        return None;
    }
    let line = value.text("lineText");
    let column = value.int("column") as usize;
    // esbuild counts bytes from 0.
    let before = line.get(..column).map_or(column, |text| text.chars().count());
    Some(Location { file: file.into(), line: value.int("line") as usize, column: before + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_name_packages_or_paths() {
        assert_eq!(package("@cloudflare/containers/x"), Some("@cloudflare/containers"));
        assert_eq!(package("hono/jsx"), Some("hono"));
        assert_eq!(package("./x"), None);
        assert_eq!(package("/x"), None);
        assert_eq!(package("virtual:x y"), None);
    }
}
