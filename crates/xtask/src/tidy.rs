//! `cargo xtask tidy`: the rules about the source itself that no compiler checks.
//!
//! Each rule is a function of text that returns what it found; function sizes are clippy's job.

mod edges;
mod features;
mod packages;
mod promises;
mod prose;
mod source;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::{repository, say};

/// Projects that tests build: no part of Berth.
const CORPUS: &str = "tests/differential/corpus";

/// A text file of the repository.
#[derive(Debug)]
struct File {
    path: PathBuf,
    text: String,
}

/// Something a rule found: where and what.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: PathBuf,
    /// 1-based; 0 for the file as a whole.
    line: usize,
    what: String,
}

impl Finding {
    fn new(path: &Path, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

pub(crate) fn run() -> Result<()> {
    let paths = repository::files()?;
    let files: Vec<File> = paths.iter().filter_map(|path| File::read(path)).collect();
    let mut findings = edges::check(&files);
    findings.extend(features::check()?);
    findings.extend(packages::check(&files, &paths));
    findings.extend(files.iter().flat_map(source::check));
    findings.extend(promises::check(&files));
    findings.extend(prose::check(&files, repository::root()));
    for finding in &findings {
        say(&format!("{}:{}: {}", finding.path.display(), finding.line, finding.what));
    }
    match findings.len() {
        0 => Ok(()),
        count => bail!("{count} findings"),
    }
}

impl File {
    /// The file, unless it is not text.
    fn read(path: &Path) -> Option<Self> {
        let bytes = fs_err::read(repository::root().join(path)).ok()?;
        Some(Self { path: path.to_owned(), text: String::from_utf8(bytes).ok()? })
    }

    fn is_rust(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "rs")
    }

    #[cfg(test)]
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.to_owned() }
    }
}
