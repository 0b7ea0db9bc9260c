//! `.dockerignore`: which paths of the build context do not exist for `COPY` and `ADD`.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::glob::Glob;
use crate::error::BuildError;

/// Rules in their order; the last one that matches a path or a directory it is in decides.
#[derive(Debug, Default)]
pub(super) struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    glob: Glob,
    /// `!pattern`: what it matches is not ignored after all.
    included: bool,
}

impl Ignore {
    /// Reads `<Dockerfile>.dockerignore`, else the context's `.dockerignore`, else nothing.
    pub(super) fn load(dockerfile: Option<&Path>, context: &Path) -> Result<Self, BuildError> {
        let own = dockerfile.map(|dockerfile| {
            let mut own = OsString::from(dockerfile.as_os_str());
            own.push(".dockerignore");
            PathBuf::from(own)
        });
        for path in own.into_iter().chain([context.join(".dockerignore")]) {
            match fs_err::read_to_string(&path) {
                Ok(text) => {
                    return Self::parse(&text).map_err(|reason| BuildError::Read {
                        what: ".dockerignore",
                        source: io::Error::other(format!("{}:{reason}", path.display())),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(BuildError::Read { what: ".dockerignore", source }),
            }
        }
        Ok(Self::default())
    }

    /// Parses the file's text; an error begins with its line number.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            let (pattern, included) = match line.strip_prefix('!') {
                Some(rest) => (rest.trim(), true),
                None => (line, false),
            };
            let pattern = clean(pattern);
            if pattern.is_empty() {
                if included {
                    return Err(format!("{}: \"!\" without a pattern", number + 1));
                }
                continue;
            }
            let glob =
                Glob::new(&pattern, true).map_err(|reason| format!("{}: {reason}", number + 1))?;
            rules.push(Rule { glob, included });
        }
        Ok(Self { rules })
    }

    /// Whether the path, relative to the context, is ignored: itself or with its directory.
    pub(super) fn is_ignored(&self, path: &Path) -> bool {
        let bytes = path.as_os_str().as_bytes();
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let ends: Vec<usize> = ends.chain([bytes.len()]).collect();
        let mut ignored = false;
        for rule in &self.rules {
            // A rule that would change nothing need not be tried.
            if rule.included == ignored {
                let hit = ends.iter().any(|end| rule.glob.matches(&bytes[..*end]));
                ignored = if hit { !rule.included } else { ignored };
            }
        }
        ignored
    }

    /// Whether something in an ignored directory may still be included.
    pub(super) fn may_include_below(&self) -> bool {
        self.rules.iter().any(|rule| rule.included)
    }
}

/// The pattern without `./`, `//`, leading and trailing slashes, and with `..` taken off.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_rule_that_matches_decides() {
        for (rules, path, ignored) in [
            ("", "a", false),
            ("a", "a", true),
            ("a", "a/b/c", true),
            ("a", "b/a", false),
            ("/a", "a", true),
            ("a/", "a/x", true),
            ("./a", "a", true),
            ("**/a", "b/c/a", true),
            ("**/a", "b/c/a/d", true),
            ("*.md\n!README.md", "README.md", false),
            ("*.md\n!README.md", "other.md", true),
            ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true),
            ("*.md\nREADME-secret.md\n!README*.md", "README-secret.md", false),
            ("*\n!src", "src/main.rs", false),
            ("*\n!src", "other/main.rs", true),
            ("*\n!src/main.rs", "src/main.rs", false),
            ("*\n!src/main.rs", "src/lib.rs", true),
            ("**\n!a/b", "a/b/c", false),
            ("node_modules\n", "node_modules/x/y.js", true),
            ("# comment\n  a  ", "a", true),
            ("#a", "#a", false),
            ("\\#a", "#a", true),
            ("*/temp*", "x/temporary", true),
            ("a b", "a b", true),
            (".", "a", false),
            ("b/../a", "a", true),
            ("\u{feff}a", "a", true),
            ("a\r\nb\r", "a", true),
        ] {
            let ignore = Ignore::parse(rules).unwrap();
            assert_eq!(ignore.is_ignored(Path::new(path)), ignored, "{rules:?} {path}");
        }
    }

    #[test]
    fn a_wrong_pattern_is_refused_with_its_line() {
        assert_eq!(Ignore::parse("a\n[b").unwrap_err(), "2: the pattern \"[b\" has a [ without ]");
        assert!(Ignore::parse("!").unwrap_err().starts_with("1: "));
    }

    #[test]
    fn the_dockerfiles_own_ignore_file_wins() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join(".dockerignore"), "general").unwrap();
        let dockerfile = dir.path().join("My.dockerfile");
        let load = || Ignore::load(Some(&dockerfile), dir.path()).unwrap();
        assert!(load().is_ignored(Path::new("general")));
        fs_err::write(dir.path().join("My.dockerfile.dockerignore"), "own").unwrap();
        assert!(load().is_ignored(Path::new("own")) && !load().is_ignored(Path::new("general")));
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_parsed_without_panic(text in "\\PC{0,40}", path in "[a-c/]{1,9}") {
            if let Ok(ignore) = Ignore::parse(&text) {
                let _ = ignore.is_ignored(Path::new(&path));
            }
        }
    }
}
