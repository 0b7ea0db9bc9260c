//! The files of an `assets` folder, as a platform is told of them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use globset::{GlobBuilder, GlobMatcher};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

/// Files that say how others are served. Their texts are sent with the version.
const RULES: [&str; 3] = ["_headers", "_redirects", ".assetsignore"];
/// What Pages has at this place is code.
const PAGES_WORKER: &str = "_worker.js";
/// What stays as it is in a part of a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A file: what its content is called, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// 32 hex digits.
    pub(crate) hash: String,
    pub(crate) size: u64,
    pub(crate) path: PathBuf,
}

/// Why a folder is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error("{}: a name that is not UTF-8 is no part of a URL", .0.display())]
    Name(PathBuf),
    #[error("{} line {line}: {source}", path.display())]
    Pattern { path: PathBuf, line: usize, source: globset::Error },
    #[error(
        "{} is code of a Pages project: everybody could read it; take it out of the folder, or name it in \
         .assetsignore",
        .0.display()
    )]
    PagesWorker(PathBuf),
}

/// The files by the paths of their URLs, but for those that `.assetsignore` names.
pub(crate) fn files(folder: &Path) -> Result<BTreeMap<String, File>, FolderError> {
    let ignore = folder.join(".assetsignore");
    let patterns = text(&ignore)?.unwrap_or_default();
    let ignore = Ignore::parse(&patterns).map_err(|(line, source)| FolderError::Pattern {
        path: ignore,
        line,
        source,
    })?;
    let mut files = BTreeMap::new();
    walk(folder, "", &ignore, &mut files)?;
    Ok(files)
}

/// A file that may be missing.
pub(crate) fn text(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn walk(
    folder: &Path,
    below: &str,
    ignore: &Ignore,
    files: &mut BTreeMap<String, File>,
) -> Result<(), FolderError> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| FolderError::Name(path.clone()))?;
        let relative = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        // What a link leads to counts, as with wrangler.
        let metadata = fs::metadata(&path)?;
        if RULES.contains(&relative.as_str()) || ignore.matches(&relative, metadata.is_dir()) {
            continue;
        }
        if relative == PAGES_WORKER {
            return Err(FolderError::PagesWorker(path));
        }
        if metadata.is_dir() {
            walk(&path, &relative, ignore, files)?;
            continue;
        }
        let content = fs::read(&path)?;
        let file = File { hash: hash(&content), size: content.len() as u64, path };
        files.insert(url_path(&relative), file);
    }
    Ok(())
}

fn hash(content: &[u8]) -> String {
    Sha256::digest(content).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn url_path(relative: &str) -> String {
    let parts = relative.split('/').map(|part| utf8_percent_encode(part, PLAIN).to_string());
    parts.fold(String::new(), |path, part| format!("{path}/{part}"))
}

/// `.assetsignore`: patterns as in `.gitignore`, without regard to case.
#[derive(Debug, Default)]
struct Ignore(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    glob: GlobMatcher,
    folders_alone: bool,
    /// `!pattern`: what it matches is there after all.
    included: bool,
}

impl Ignore {
    /// Parses the file; an error comes with its line.
    fn parse(text: &str) -> Result<Self, (usize, globset::Error)> {
        let mut rules = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (line, included) =
                line.strip_prefix('!').map_or((line, false), |rest| (rest, true));
            let (line, folders_alone) =
                line.strip_suffix('/').map_or((line, false), |rest| (rest, true));
            let pattern = match line.strip_prefix('/') {
                Some(rest) => rest.to_owned(),
                None if line.contains('/') => line.to_owned(),
                None => format!("**/{line}"),
            };
            let glob = GlobBuilder::new(&pattern)
                .literal_separator(true)
                .backslash_escape(true)
                .case_insensitive(true)
                .build()
                .map_err(|error| (number + 1, error))?;
            rules.push(Rule { glob: glob.compile_matcher(), folders_alone, included });
        }
        Ok(Self(rules))
    }

    /// Whether a path is to be left out; the last pattern that matches decides.
    fn matches(&self, path: &str, is_folder: bool) -> bool {
        let matching =
            |rule: &&Rule| (is_folder || !rule.folders_alone) && rule.glob.is_match(path);
        self.0.iter().rev().find(matching).is_some_and(|rule| !rule.included)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_gitignore() {
        let ignore =
            Ignore::parse("# no\n*.map\n!keep.map\n/top.txt\ndocs/*.md\nnode_modules/\n\\#odd\n")
                .unwrap();
        for (path, is_folder, ignored) in [
            ("a.map", false, true),
            ("deep/er/A.MAP", false, true),
            ("deep/keep.map", false, false),
            ("top.txt", false, true),
            ("deep/top.txt", false, false),
            ("docs/a.md", false, true),
            ("docs/more/a.md", false, false),
            ("deep/node_modules", true, true),
            ("node_modules", false, false),
            ("#odd", false, true),
            ("# no", false, false),
        ] {
            assert_eq!(ignore.matches(path, is_folder), ignored, "{path}");
        }
        assert_eq!(Ignore::parse("a\n[").unwrap_err().0, 2);
    }

    #[test]
    fn files_are_told_of_by_their_urls_and_rules_are_not_among_them() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("index.html", "x");
        write("a b/ü.txt", "x");
        write("secret/key", "y");
        write("_headers", "");
        write(".assetsignore", "secret\n");
        let files = files(folder.path()).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["/a%20b/%C3%BC.txt", "/index.html"]);
        let hashes: Vec<_> = files.values().map(|file| (file.hash.as_str(), file.size)).collect();
        assert_eq!(hashes[0], ("2d711642b726b04401627ca9fbac32f5", 1));
        assert_eq!(hashes[0], hashes[1]);
        write("_worker.js", "");
        assert!(super::files(folder.path()).unwrap_err().to_string().contains("Pages"));
    }
}
