//! Sources of `ADD` that are elsewhere: files by http, and git repositories.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::builder::Builder;
use super::dockerfile::Add;
use super::git::Git;
use super::tree::Tree;
use crate::digest::{Digest, Hasher};
use crate::error::{StepProblem, StoreError, at};
use crate::progress::{Outcome, Task, TaskKind, next_task};
use crate::root::Root;

/// Something elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Remote {
    File { url: String, name: String },
    Git(Git),
}

/// What is known of something elsewhere before, or after, it was fetched.
pub(super) struct Fetched {
    pub(super) remote: Remote,
    /// Says what it is.
    pub(super) identity: Digest,
    /// The commit of a repository.
    commit: Option<String>,
    /// Where it is now.
    directory: Option<tempfile::TempDir>,
}

/// What a server said about a file when it was last got.
#[derive(Serialize, Deserialize)]
struct Known {
    etag: String,
    digest: Digest,
}

impl Remote {
    /// Whether a source of `ADD` is elsewhere.
    pub(super) fn parse(source: &str) -> Option<Self> {
        if let Some(git) = Git::parse(source) {
            return Some(Self::Git(git));
        }
        let rest = source.strip_prefix("http://").or_else(|| source.strip_prefix("https://"))?;
        let path = rest.split(['?', '#']).next().unwrap_or(rest);
        let name = match path.split_once('/') {
            Some((_, path)) => decoded(path.rsplit('/').next().unwrap_or_default()),
            None => String::new(),
        };
        Some(Self::File { url: source.to_owned(), name })
    }

    /// How it is called in messages.
    fn place(&self) -> &str {
        match self {
            Self::File { url, .. } => url,
            Self::Git(git) => &git.url,
        }
    }

    /// The name a file has in a directory.
    pub(super) fn name(&self) -> Option<PathBuf> {
        match self {
            Self::File { name, .. } if !name.is_empty() => Some(name.into()),
            _ => None,
        }
    }

    /// What to copy of what was fetched.
    pub(super) fn selected(&self) -> String {
        match self {
            Self::File { .. } => FILE.to_owned(),
            Self::Git(git) => git.directory.display().to_string(),
        }
    }
}

/// A file's name where it was fetched to.
const FILE: &str = "file";
/// A repository's.
const REPOSITORY: &str = "repository";

impl Builder<'_> {
    /// Finds out what it is; a file without a checksum has to be got for that, unless its server
    /// says that it did not change.
    pub(super) fn identify(&self, remote: Remote, add: &Add) -> Result<Fetched, StepProblem> {
        let cancelled = || self.progress.cancelled();
        let checksum = add.checksum.as_deref();
        match &remote {
            Remote::Git(git) => {
                let commit = git.commit(&cancelled)?;
                if checksum.is_some_and(|checksum| !commit.starts_with(checksum)) {
                    let text =
                        format!("{} is at commit {commit}, which is not the --checksum", git.url);
                    return Err(StepProblem::Remote(text));
                }
                let mut hasher = Hasher::new();
                hasher.field(commit.as_bytes());
                hasher.field(git.directory.as_os_str().as_encoded_bytes());
                hasher.field(&[u8::from(add.keep_git_dir)]);
                let (identity, commit) = (hasher.finish(), Some(commit));
                Ok(Fetched { remote, identity, commit, directory: None })
            }
            Remote::File { .. } => match checksum {
                Some(text) => {
                    let identity = text.parse().map_err(|error| {
                        StepProblem::Invalid(format!("--checksum={text}: {error}"))
                    })?;
                    Ok(Fetched { remote, identity, commit: None, directory: None })
                }
                None => self.get_unless_known(remote),
            },
        }
    }

    /// Makes sure that it is here; returns its files.
    pub(super) fn files<'t>(
        &self,
        fetched: &'t mut Fetched,
        add: &Add,
    ) -> Result<Tree<'t>, StepProblem> {
        if fetched.directory.is_none() {
            let directory = self.layout.temporary_dir()?;
            match (&fetched.remote, &fetched.commit) {
                (Remote::Git(git), Some(commit)) => {
                    let (id, label) = (next_task(), git.url.clone());
                    self.progress.begin(&Task { id, kind: TaskKind::Download, label, total: None });
                    let into = directory.path().join(REPOSITORY);
                    let cancelled = || self.progress.cancelled();
                    let result = git.fetch(commit, &into, add.keep_git_dir, &cancelled);
                    let outcome = if result.is_ok() { Outcome::Done } else { Outcome::Failed };
                    self.progress.finish(id, outcome);
                    result?;
                }
                (Remote::File { url, .. }, _) => {
                    let got = self.get(url, &directory.path().join(FILE), None)?;
                    let got = got.map(|got| got.digest);
                    if got.as_ref() != Some(&fetched.identity) {
                        let got = got.map_or(String::new(), |digest| digest.to_string());
                        let expected = &fetched.identity;
                        let text = format!("{url} has the digest {got}, not {expected}");
                        return Err(StepProblem::Remote(text));
                    }
                }
                _ => {}
            }
            fetched.directory = Some(directory);
        }
        let directory = fetched.directory.as_ref().expect("it was just fetched").path();
        let root = match fetched.remote {
            Remote::Git(_) => directory.join(REPOSITORY),
            Remote::File { .. } => directory.to_owned(),
        };
        let root = Root::open(&root).map_err(StepProblem::Io)?;
        let place = fetched.remote.place().to_owned();
        Ok(Tree { root, place, ignore: None, owned: false })
    }

    fn get_unless_known(&self, remote: Remote) -> Result<Fetched, StepProblem> {
        let Remote::File { url, .. } = &remote else {
            return Err(StepProblem::Invalid("it is no file".to_owned()));
        };
        let path = self.layout.cache().join(format!("url-{}", Digest::of(url.as_bytes()).hex()));
        let known = fs_err::read(&path).ok().and_then(|b| serde_json::from_slice::<Known>(&b).ok());
        let known = known.filter(|_| !self.request.no_cache);
        let directory = self.layout.temporary_dir()?;
        let etag = known.as_ref().map(|known| known.etag.as_str());
        let got = self.get(url, &directory.path().join(FILE), etag)?;
        match (got, known) {
            (Some(got), _) => {
                if let Some(etag) = got.etag {
                    let known = Known { etag, digest: got.digest.clone() };
                    let bytes = serde_json::to_vec(&known).expect("it has only strings");
                    self.layout.replace_derived(&path, &bytes)?;
                }
                let (identity, directory) = (got.digest, Some(directory));
                Ok(Fetched { remote, identity, commit: None, directory })
            }
            (None, Some(known)) => {
                Ok(Fetched { remote, identity: known.digest, commit: None, directory: None })
            }
            (None, None) => Err(StepProblem::Remote(format!("{url} gave nothing"))),
        }
    }

    /// Gets a file, as a task of the progress; nothing if it has not changed since `etag`.
    fn get(&self, url: &str, to: &Path, etag: Option<&str>) -> Result<Option<Got>, StepProblem> {
        let (id, label) = (next_task(), url.to_owned());
        self.progress.begin(&Task { id, kind: TaskKind::Download, label, total: None });
        let cancelled = || self.progress.cancelled();
        let limit = self.request.pull.limits.bytes;
        let advance = |done| self.progress.advance(id, done);
        let result = download(url, to, etag, limit, &cancelled, &advance);
        let outcome = match &result {
            Ok(Some(_)) => Outcome::Done,
            Ok(None) => Outcome::Cached,
            Err(_) => Outcome::Failed,
        };
        self.progress.finish(id, outcome);
        result
    }
}

struct Got {
    digest: Digest,
    etag: Option<String>,
}

/// Writes what is at `url` to the new file `to`, with the time and the mode it is to have.
fn download(
    url: &str,
    to: &Path,
    etag: Option<&str>,
    limit: u64,
    cancelled: &dyn Fn() -> bool,
    advance: &dyn Fn(u64),
) -> Result<Option<Got>, StepProblem> {
    use fs_err::os::unix::fs::OpenOptionsExt;
    let failed = |text: String| StepProblem::Remote(format!("failed to get {url}: {text}"));
    let agent = crate::distribution::agent_for(url)
        .ok_or_else(|| failed("it is no URL without a user name".to_owned()))?;
    let mut request = agent.get(url);
    if let Some(etag) = etag {
        request = request.header("If-None-Match", etag);
    }
    let response = request.call().map_err(|error| failed(error.to_string()))?;
    if etag.is_some() && response.status().as_u16() == 304 {
        return Ok(None);
    }
    if !response.status().is_success() {
        return Err(failed(response.status().to_string()));
    }
    let header = |name: &str| {
        let value = response.headers().get(name).and_then(|value| value.to_str().ok());
        value.map(str::to_owned)
    };
    let (etag, modified) = (header("ETag"), header("Last-Modified"));
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(to).map_err(StepProblem::Io)?;
    let mut reader = response.into_body().into_reader();
    let (mut hasher, mut done) = (Hasher::new(), 0);
    let mut buffer = vec![0; 128 * 1024];
    loop {
        if cancelled() {
            return Err(StepProblem::Store(StoreError::Cancelled));
        }
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result.map_err(|error| failed(error.to_string()))?,
        };
        done += count as u64;
        if done > limit {
            return Err(failed(format!("it is larger than {limit} bytes")));
        }
        hasher.update(&buffer[..count]);
        file.write_all(&buffer[..count]).map_err(|error| StepProblem::Io(at(to, error)))?;
        advance(done);
    }
    let time = modified.as_deref().and_then(seconds).unwrap_or_default();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(time)).map_err(StepProblem::Io)?;
    Ok(Some(Got { digest: hasher.finish(), etag }))
}

/// Seconds since 1970 of a date as HTTP writes them.
fn seconds(date: &str) -> Option<u64> {
    let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    u64::try_from(time.as_second()).ok()
}

/// A name without its percent signs; `%2F` leaves the directory no more than a slash would.
fn decoded(name: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = (byte == b'%').then(|| after.get(..2)).flatten();
        let code =
            code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    let name = String::from_utf8_lossy(&bytes).into_owned();
    let name = PathBuf::from(name);
    name.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_the_last_name_of_their_path() {
        for (url, name) in [
            ("https://e.com/a/b.tar.gz?x=/y#z", "b.tar.gz"),
            ("http://e.com/a%20b", "a b"),
            ("http://e.com/a%2F..%2F..%2Fb", "b"),
            ("http://e.com/%", "%"),
            ("http://e.com/", ""),
            ("http://e.com", ""),
        ] {
            let expected = Remote::File { url: url.into(), name: name.into() };
            assert_eq!(Remote::parse(url), Some(expected));
        }
        assert_eq!(Remote::parse("a/http://x"), None);
    }

    #[test]
    fn dates_of_http_are_understood() {
        assert_eq!(seconds("Sun, 09 Sep 2001 01:46:40 GMT"), Some(1_000_000_000));
        assert_eq!(seconds("yesterday"), None);
    }
}
