//! A case of the corpus: a folder with a Dockerfile, its context, and what to expect.
//!
//! | | |
//! |--|--|
//! | `Dockerfile` | what both builders build |
//! | `Dockerfile.buildah` | the same in words that buildah knows, where it is older than a feature |
//! | `context/` | the build context |
//! | `prepare.sh` | makes in `context/` and `served/` what a repository cannot hold |
//! | `served/` | files behind the URL in the build argument `SERVER` |
//! | `expect.toml` | [`Expect`] |

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use serde::Deserialize;
use tempfile::TempDir;

use crate::compare::Difference;

/// How a case is built, and in what the images may differ.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Expect {
    /// The stage to build.
    pub target: Option<String>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// `--build-context`: a name and a folder beside the Dockerfile.
    pub build_contexts: BTreeMap<String, String>,
    /// `--secret`: an ID and a file beside the Dockerfile.
    pub secrets: BTreeMap<String, String>,
    /// Whether the build is given an SSH agent.
    pub ssh: bool,
    /// Whether buildah too adds a layer for each step, so that histories can be compared; it takes
    /// its time for that.
    pub layers: bool,
    /// Paths whose modification time the Dockerfile reference fixes.
    pub mtimes: Vec<String>,
    /// Differences that have a reason.
    pub differences: Vec<Listed>,
}

/// A difference that has a reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// A difference's place; `**` stands for anything.
    pub at: String,
    /// Why there is one, and why ours is right.
    pub reason: String,
}

/// A case, with a copy of its files that the builders may read and nobody else changes.
#[derive(Debug)]
pub struct Case {
    /// Its name, which is the folder's.
    pub name: String,
    /// What `expect.toml` says.
    pub expect: Expect,
    folder: TempDir,
}

impl Case {
    /// Prepares the case in that folder.
    ///
    /// # Panics
    /// There is none, or its files are not as they should be.
    #[must_use]
    pub fn prepare(source: &Path) -> Self {
        let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = tempfile::tempdir().expect("make a folder for a case");
        copy(source, folder.path());
        fs::create_dir_all(folder.path().join("context")).expect("make the context");
        if folder.path().join("prepare.sh").exists() {
            let script =
                Command::new("sh").args(["-eu", "prepare.sh"]).current_dir(&folder).output();
            let script = script.expect("run prepare.sh");
            let said = String::from_utf8_lossy(&script.stderr);
            assert!(script.status.success(), "prepare.sh of {name}: {said}");
        }
        let expect = match fs::read_to_string(folder.path().join("expect.toml")) {
            Ok(text) => toml::from_str(&text)
                .unwrap_or_else(|error| panic!("read expect.toml of {name}: {error}")),
            Err(_) => Expect::default(),
        };
        Self { name, expect, folder }
    }

    /// A path beside the Dockerfile.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The Dockerfile for Berth.
    #[must_use]
    pub fn dockerfile(&self) -> PathBuf {
        self.path("Dockerfile")
    }

    /// The Dockerfile for buildah.
    #[must_use]
    pub fn dockerfile_of_buildah(&self) -> PathBuf {
        let own = self.path("Dockerfile.buildah");
        if own.exists() { own } else { self.dockerfile() }
    }
}

impl Expect {
    /// What is wrong: differences that are not listed, and listed ones that are not there.
    #[must_use]
    pub fn check(&self, found: &[Difference]) -> Vec<String> {
        let listed = |difference: &&Difference| {
            self.differences.iter().any(|listed| fits(&listed.at, &difference.at))
        };
        let new = found.iter().filter(|difference| !listed(difference)).map(ToString::to_string);
        let unseen = self
            .differences
            .iter()
            .filter(|listed| !found.iter().any(|difference| fits(&listed.at, &difference.at)));
        let unseen =
            unseen.map(|listed| format!("{} is listed as a difference, and is none", listed.at));
        new.chain(unseen).collect()
    }
}

/// The folder of the cases.
#[must_use]
pub fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Whether `text` is `pattern`, in which each `**` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once("**") else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    loop {
        if fits(rest, text) {
            return true;
        }
        let mut chars = text.chars();
        if chars.next().is_none() {
            return false;
        }
        text = chars.as_str();
    }
}

/// Copies a folder with the permissions of a fresh clone: what the umask was is nobody's business.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("read the case: {error}")) {
        let entry = entry.expect("read a case");
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().expect("look at a file of a case");
        if kind.is_symlink() {
            let target = fs::read_link(&path).expect("read a link of a case");
            fs::os::unix::fs::symlink(target, &copied).expect("copy a link");
            continue;
        }
        let executable =
            entry.metadata().expect("look at a file").permissions().mode() & 0o100 != 0;
        let mode = if kind.is_dir() {
            fs::create_dir(&copied).expect("make a folder of a case");
            copy(&path, &copied);
            0o755
        } else {
            fs::copy(&path, &copied).expect("copy a file of a case");
            if executable { 0o755 } else { 0o644 }
        };
        fs::set_permissions(&copied, PermissionsExt::from_mode(mode)).expect("set permissions");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(at: &str) -> Difference {
        Difference { at: at.to_owned(), ours: String::new(), theirs: String::new() }
    }

    #[test]
    fn a_pattern_stands_for_anything_between() {
        assert!(fits("/var/log/**: content", "/var/log/a/b: content"));
        assert!(!fits("/var/log/**: content", "/var/log/a/b: mode"));
        assert!(fits("**", "/a: mode") && fits("/a: mode", "/a: mode"));
        assert!(!fits("/a: mode", "/a: modes"));
    }

    #[test]
    fn a_difference_must_be_listed_and_a_listed_one_seen() {
        let listed = Listed { at: "/a: mode".into(), reason: "so".into() };
        let expect = Expect { differences: vec![listed], ..Expect::default() };
        assert_eq!(expect.check(&[difference("/a: mode")]), [""; 0]);
        assert_eq!(expect.check(&[]).len(), 1);
        assert_eq!(expect.check(&[difference("/a: mode"), difference("/b: mode")]).len(), 1);
    }
}
