//! Files of secrets: a JSON object of their texts, or lines as of a `.env` file.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use ::project::config::Secret;
use ::project::parse_dot_env;

use crate::error::{CliError, Kind};

/// Longest text that is read from standard input.
const MOST_BYTES: u64 = 4 * 1024 * 1024;
/// What such a file looks like.
const FORM: &str = "write {\"NAME\": \"text\"}, or a line NAME=text for each";

/// Secrets by their names; one that is to go has no text.
pub(crate) type Secrets = BTreeMap<String, Option<String>>;

/// Reads a file, or else standard input.
pub(crate) fn read(file: Option<&Path>) -> Result<Secrets, CliError> {
    let text = match file {
        Some(file) => fs_err::read_to_string(file)
            .map_err(|error| CliError::failure("read the secrets", error))?,
        None => stdin()?,
    };
    parse(&text)
}

/// Reads a file whose secrets all have a text: those of a version that is uploaded.
pub(crate) fn read_texts(file: &Path) -> Result<BTreeMap<String, Secret>, CliError> {
    let with_text = |(name, text): (String, Option<String>)| match text {
        Some(text) => Ok((name, Secret::new(text))),
        None => {
            let text = format!("the secret {name} has no text, and an upload deletes none");
            Err(CliError::new(Kind::Usage, text)
                .hint("`berth versions secret delete` makes a version without it"))
        }
    };
    read(Some(file))?.into_iter().map(with_text).collect()
}

fn stdin() -> Result<String, CliError> {
    let mut text = String::new();
    let read = std::io::stdin().take(MOST_BYTES).read_to_string(&mut text);
    read.map_err(|error| CliError::failure("read standard input", error))?;
    Ok(text)
}

/// Only the place of a mistake is told: they are secrets. Pure.
fn parse(text: &str) -> Result<Secrets, CliError> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| {
            let line = error.line();
            let text = format!("the secrets are no JSON object of texts, from line {line}");
            CliError::new(Kind::Usage, text).hint(FORM)
        });
    }
    let lines = parse_dot_env(text).into_iter().map(|(name, text)| (name, Some(text)));
    let secrets: Secrets = lines.collect();
    if secrets.is_empty() {
        return Err(CliError::new(Kind::Usage, "there are no secrets to be read").hint(FORM));
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, Option<String>)> {
        parse(text).unwrap().into_iter().collect()
    }

    #[test]
    fn an_object_and_lines_say_the_same() {
        let both = [("A".to_owned(), Some("1".to_owned())), ("B".to_owned(), Some("x y".into()))];
        assert_eq!(parsed(" \n{\"B\": \"x y\", \"A\": \"1\"}"), both);
        assert_eq!(parsed("# of production\nexport A=1\nB='x y' # two words\n"), both);
        assert_eq!(parsed("A=$HOME"), [("A".to_owned(), Some("$HOME".to_owned()))]);
        assert_eq!(parsed(r#"{"A": null}"#), [("A".to_owned(), None)]);
        assert!(parsed("{}").is_empty());
    }

    #[test]
    fn a_mistake_is_told_by_its_place_alone() {
        for text in ["{\n\"A\": hush}", "{\n\"A\": [\"hush\"]}"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("line 2") && !error.contains("hush"), "{error}");
        }
        for text in ["", "hush", "[\"hush\"]", "# A=hush"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("no secrets") && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_version_is_uploaded_with_texts_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), r#"{"A": "1"}"#).unwrap();
        let texts = read_texts(file.path()).unwrap();
        assert_eq!(texts["A"].expose(), "1");
        fs_err::write(file.path(), r#"{"A": null}"#).unwrap();
        let error = read_texts(file.path()).unwrap_err();
        assert!(error.to_string().contains("the secret A has no text"), "{error}");
    }
}
