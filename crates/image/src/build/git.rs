//! `ADD` of a git repository, by the `git` program of this machine.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use crate::error::{StepProblem, StoreError};

/// How often a running git is looked at.
const POLL: Duration = Duration::from_millis(20);

/// A repository, what of it, and how it is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Git {
    pub(super) url: String,
    /// Branch, tag or commit; the default branch if there is none.
    pub(super) reference: Option<String>,
    pub(super) directory: PathBuf,
}

impl Git {
    /// Parses `url#reference:directory`, if it is a repository's.
    pub(super) fn parse(source: &str) -> Option<Self> {
        let (url, fragment) = source.split_once('#').unwrap_or((source, ""));
        let http = url.starts_with("http://") || url.starts_with("https://");
        let other = ["git://", "ssh://", "git@"].iter().any(|scheme| url.starts_with(scheme));
        if !(other || http && url.trim_end_matches('/').ends_with(".git")) {
            return None;
        }
        let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
        let reference = (!reference.is_empty()).then(|| reference.to_owned());
        Some(Self { url: url.to_owned(), reference, directory: directory.into() })
    }

    fn failed(&self, what: &str, text: &str) -> StepProblem {
        StepProblem::Remote(format!("failed to {what} {}: {}", self.url, text.trim()))
    }

    /// The commit that is meant.
    pub(super) fn commit(&self, cancelled: &dyn Fn() -> bool) -> Result<String, StepProblem> {
        let reference = self.reference.as_deref().unwrap_or("HEAD");
        if reference.starts_with('-') || self.url.starts_with('-') {
            return Err(self.failed("look up", &format!("\"{reference}\" is no branch or tag")));
        }
        if is_commit(reference) {
            return Ok(reference.to_ascii_lowercase());
        }
        let dereferenced = format!("{reference}^{{}}");
        let arguments = ["ls-remote", "--", &self.url, reference, &dereferenced];
        let output = run(Path::new("/"), &arguments, cancelled)?;
        let text = output.map_err(|text| self.failed("look up", &text))?;
        let lines: Vec<(&str, &str)> =
            text.lines().filter_map(|line| line.split_once('\t')).collect();
        let tag = format!("refs/tags/{reference}");
        // An annotated tag is not the commit itself.
        let names = [format!("{tag}^{{}}"), tag, format!("refs/heads/{reference}")];
        let named = |wanted: &str| lines.iter().find(|(_, name)| *name == wanted);
        let found = named(reference).or_else(|| names.iter().find_map(|name| named(name)));
        let found = found.map(|(commit, _)| *commit);
        let found = found.filter(|commit| is_commit(commit)).map(str::to_owned);
        found.ok_or_else(|| {
            self.failed("look up", &format!("it has no branch, tag or commit \"{reference}\""))
        })
    }

    /// Checks the commit out in the new directory `into`.
    pub(super) fn fetch(
        &self,
        commit: &str,
        into: &Path,
        keep_git_dir: bool,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(), StepProblem> {
        fs_err::create_dir(into).map_err(StepProblem::Io)?;
        let git = |arguments: &[&str]| run(into, arguments, cancelled);
        let done =
            |output: Result<String, String>| output.map_err(|text| self.failed("fetch", &text));
        done(git(&["init", "--quiet", "."])?)?;
        done(git(&["remote", "add", "origin", "--", &self.url])?)?;
        // Not every server gives a commit by its name: then the branch or tag, or everything.
        let shallow = ["fetch", "--quiet", "--depth=1", "origin"];
        let tries: [Vec<&str>; 3] = [
            shallow.into_iter().chain([commit]).collect(),
            shallow.into_iter().chain(self.reference.as_deref()).collect(),
            vec!["fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*"],
        ];
        let mut result = Err(String::new());
        for fetch in &tries {
            result = git(fetch)?;
            let object = format!("{commit}^{{commit}}");
            if result.is_ok() && git(&["cat-file", "-e", &object])?.is_ok() {
                break;
            }
        }
        done(result)?;
        done(git(&["-c", "advice.detachedHead=false", "checkout", "--quiet", commit])?)?;
        if into.join(".gitmodules").exists() {
            done(git(&["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"])?)?;
        }
        let time = done(git(&["log", "-1", "--format=%ct"])?)?;
        let time = Duration::from_secs(time.trim().parse().unwrap_or_default());
        if !keep_git_dir {
            fs_err::remove_dir_all(into.join(".git")).map_err(StepProblem::Io)?;
        }
        settle(into, time, keep_git_dir).map_err(StepProblem::Io)
    }
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Every file gets the commit's time, so that a checkout is the same whenever it is made.
fn settle(directory: &Path, time: Duration, keep_git_dir: bool) -> io::Result<()> {
    for entry in fs_err::read_dir(directory)? {
        let path = entry?.path();
        let metadata = fs_err::symlink_metadata(&path)?;
        let is_git = path.file_name().is_some_and(|name| name == ".git");
        if metadata.is_dir() {
            settle(&path, time, keep_git_dir)?;
        } else if is_git && !keep_git_dir {
            // Where a submodule has its repository.
            fs_err::remove_file(&path)?;
        } else if metadata.is_file() && metadata.mode() & 0o200 != 0 {
            let file = fs_err::File::options().write(true).open(&path)?;
            file.set_modified(UNIX_EPOCH + time)?;
        }
    }
    fs_err::File::open(directory)?.set_modified(UNIX_EPOCH + time)
}

/// Runs git; gives its output, or what it complains of.
fn run(
    directory: &Path,
    arguments: &[&str],
    cancelled: &dyn Fn() -> bool,
) -> Result<Result<String, String>, StepProblem> {
    let mut child = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StepProblem::Remote(
                "ADD of a git repository needs the program git on this machine".to_owned(),
            ),
            _ => StepProblem::Io(error),
        })?;
    let read = |stream: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            // What can be read is enough for a message.
            let _ = stream.map(|mut stream| stream.read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let stdout = read(child.stdout.take().map(|stream| Box::new(stream) as _));
    let stderr = read(child.stderr.take().map(|stream| Box::new(stream) as _));
    let status = loop {
        if let Some(status) = child.try_wait().map_err(StepProblem::Io)? {
            break status;
        }
        if cancelled() {
            child.kill().and_then(|()| child.wait()).map_err(StepProblem::Io)?;
            return Err(StepProblem::Store(StoreError::Cancelled));
        }
        std::thread::sleep(POLL);
    };
    let text = |thread: std::thread::JoinHandle<String>| thread.join().unwrap_or_default();
    let (stdout, stderr) = (text(stdout), text(stderr));
    Ok(if status.success() { Ok(stdout) } else { Err(stderr) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_told_from_files() {
        let git = |url: &str, reference: Option<&str>, directory: &str| {
            let reference = reference.map(str::to_owned);
            Some(Git { url: url.into(), reference, directory: directory.into() })
        };
        for (text, expected) in [
            ("https://e.com/a.git", git("https://e.com/a.git", None, "")),
            ("https://e.com/a.git#v1", git("https://e.com/a.git", Some("v1"), "")),
            ("https://e.com/a.git#v1:sub/dir", git("https://e.com/a.git", Some("v1"), "sub/dir")),
            ("git@e.com:a/b.git#:sub", git("git@e.com:a/b.git", None, "sub")),
            ("git://e.com/a", git("git://e.com/a", None, "")),
            ("https://e.com/a.tar.gz", None),
            ("dir.git", None),
        ] {
            assert_eq!(Git::parse(text), expected, "{text}");
        }
    }
}
