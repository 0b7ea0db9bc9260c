//! A flat file of settings in TOML, such as `berth.toml`. Which settings there are and what they
//! accept is the caller's to know; what is wrong is shown as in a project's configuration.

use std::path::Path;

use super::{ConfigError, discover};
use crate::check::{self, Report};
use crate::tree::{Entry, Node, quoted};

/// What a setting's value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingKind {
    /// A text.
    Text,
    /// `true` or `false`.
    Switch,
    /// A list of texts.
    List,
}

/// A setting that a file may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its key.
    pub key: String,
    /// What its value must be.
    pub kind: SettingKind,
}

/// A setting that a file has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingValue {
    /// Its key.
    pub key: String,
    /// Its value as text; those of a list.
    pub texts: Vec<String>,
}

/// Reads a file of settings. `accepts` says of a key's value, or of each in a list, what is wrong with
/// it.
///
/// # Errors
/// The file cannot be read, or anything in it is wrong: a key that is not known too.
pub fn read_settings(
    path: &Path,
    known: &[Setting],
    accepts: impl Fn(&str, &str) -> Result<(), String>,
) -> Result<Vec<SettingValue>, ConfigError> {
    let (mut report, root) = discover::read_toml(path)?;
    let entries = root.as_object().map_or(&[][..], |object| &object.entries);
    let mut values = Vec::new();
    for entry in entries {
        match known.iter().find(|setting| setting.key == entry.key) {
            Some(setting) => values.extend(value(&mut report, setting, &entry.node, &accepts)),
            None => unknown(&mut report, entry, known),
        }
    }
    let diagnostics = report.finish();
    if diagnostics.is_empty() { Ok(values) } else { Err(ConfigError::Invalid { diagnostics }) }
}

fn value(
    report: &mut Report,
    setting: &Setting,
    node: &Node,
    accepts: impl Fn(&str, &str) -> Result<(), String>,
) -> Option<SettingValue> {
    let Setting { key, kind } = setting;
    let mut text = |field: &str, node: &Node| {
        let text = match kind {
            SettingKind::Switch => check::boolean(report, field, node)?.to_string(),
            SettingKind::Text | SettingKind::List => check::string(report, field, node)?.to_owned(),
        };
        if let Err(reason) = accepts(key, &text) {
            report.error(&node.span, format!("The value of \"{field}\" is wrong: {reason}."));
        }
        Some(text)
    };
    let texts = match kind {
        SettingKind::Text | SettingKind::Switch => text(key, node).into_iter().collect(),
        SettingKind::List => {
            let Some(items) = node.as_array() else {
                report.wrong_type(key, node, "array of strings");
                return None;
            };
            let items = items.iter().enumerate();
            items.filter_map(|(index, item)| text(&format!("{key}.[{index}]"), item)).collect()
        }
    };
    Some(SettingValue { key: key.clone(), texts })
}

fn unknown(report: &mut Report, entry: &Entry, known: &[Setting]) {
    let keys: Vec<&str> = known.iter().map(|setting| setting.key.as_str()).collect();
    let help = match check::nearest(&entry.key, &keys) {
        Some(key) => format!("did you mean \"{key}\"?"),
        None => format!("the settings are {}", keys.join(", ")),
    };
    report.error_with(
        &entry.key_span,
        format!("There is no setting {}.", quoted(&entry.key)),
        help,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<SettingValue>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("berth.toml");
        fs_err::write(&path, text).unwrap();
        let setting = |key: &str, kind| Setting { key: key.to_owned(), kind };
        let known = [
            setting("listen", SettingKind::Text),
            setting("stop", SettingKind::Switch),
            setting("hosts", SettingKind::List),
        ];
        let accepts = |key: &str, text: &str| match (key, text) {
            ("listen" | "hosts", "bad") => Err("it is bad".to_owned()),
            _ => Ok(()),
        };
        read_settings(&path, &known, accepts).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_texts_switches_and_lists() {
        let values =
            read("# A comment\nlisten = \"a\"\nhosts = [\"b\", \"c\"]\nstop = true\n").unwrap();
        let texts = |key: &str, texts: &[&str]| SettingValue {
            key: key.to_owned(),
            texts: texts.iter().map(|&text| text.to_owned()).collect(),
        };
        let expected =
            [texts("listen", &["a"]), texts("hosts", &["b", "c"]), texts("stop", &["true"])];
        assert_eq!(values, expected);
        assert_eq!(read(""), Ok(Vec::new()));
    }

    #[test]
    fn all_that_is_wrong_is_shown_at_once_each_in_its_line() {
        let said =
            read("lisen = \"a\"\nstop = \"yes\"\nhosts = [\"a\", \"bad\", 1]\nlisten = \"bad\"\n");
        let said = said.unwrap_err();
        for text in [
            "There is no setting \"lisen\".",
            "berth.toml:1:1",
            "did you mean \"listen\"?",
            "Expected \"stop\" to be of type boolean but got \"yes\".",
            "berth.toml:2:8",
            "The value of \"hosts.[1]\" is wrong: it is bad.",
            "berth.toml:3:15",
            "Expected \"hosts.[2]\" to be of type string but got 1.",
            "The value of \"listen\" is wrong: it is bad.",
            "4 | listen = \"bad\"",
        ] {
            assert!(said.contains(text), "{text}\n{said}");
        }
    }

    #[test]
    fn nothing_is_taken_for_something_else() {
        for (text, said) in [
            ("listen = 1", "Expected \"listen\" to be of type string but got 1."),
            ("hosts = \"a\"", "Expected \"hosts\" to be of type array of strings but got \"a\"."),
            ("[listen]\na = 1", "Expected \"listen\" to be of type string but got {\"a\":1}."),
            ("apple = 1", "the settings are listen, stop, hosts"),
            ("listen = \"a\"\nlisten = \"b\"", "berth.toml:2:1"),
            ("listen = ", "berth.toml:1:"),
        ] {
            let shown = read(text).unwrap_err();
            assert!(shown.contains(said), "{text}: {shown}");
        }
    }
}
