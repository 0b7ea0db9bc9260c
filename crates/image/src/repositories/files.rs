//! The small files of a repository: where they lie, and reading and writing them.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use super::{ContentDigest, RepositoryName, Tag};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::layout::{Layout, Lock};

pub(super) const BLOBS: &str = "_blobs";
pub(super) const MANIFESTS: &str = "_manifests";
const TAGS: &str = "_tags";
const REFERRERS: &str = "_referrers";
const FOLDERS: [&str; 4] = [BLOBS, MANIFESTS, TAGS, REFERRERS];

impl Layout {
    fn repository(&self, name: &RepositoryName) -> PathBuf {
        self.repositories().join(name.as_str())
    }

    pub(super) fn link(
        &self,
        name: &RepositoryName,
        kind: &str,
        digest: &ContentDigest,
    ) -> PathBuf {
        let (algorithm, hex) = digest.parts();
        self.repository(name).join(kind).join(algorithm).join(hex)
    }

    pub(super) fn tag_path(&self, name: &RepositoryName, tag: &Tag) -> PathBuf {
        self.repository(name).join(TAGS).join(tag.as_str())
    }

    /// Where the manifests are listed that have this subject.
    pub(super) fn referrers(&self, name: &RepositoryName, subject: &ContentDigest) -> PathBuf {
        self.repository(name).join(REFERRERS).join(subject.as_str())
    }

    /// Nobody else changes this repository until the lock is dropped.
    pub(super) fn lock_repository(&self, name: &RepositoryName) -> Result<Lock, StoreError> {
        let key = Digest::of(name.as_str().as_bytes());
        self.lock(&format!("repository-{}", key.hex()), &|| false)
    }

    /// Writes a small file as a whole, and the folders above it.
    pub(super) fn keep_file(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        self.replace_file(path, bytes)
    }

    /// Digests that a repository has links for, sorted.
    pub(super) fn links(
        &self,
        name: &RepositoryName,
        kind: &str,
    ) -> Result<Vec<ContentDigest>, StoreError> {
        let mut found = Vec::new();
        let folder = self.repository(name).join(kind);
        for algorithm in children(&folder)? {
            let digests = children(&folder.join(&algorithm))?;
            found
                .extend(digests.iter().filter_map(|hex| format!("{algorithm}:{hex}").parse().ok()));
        }
        found.sort();
        Ok(found)
    }

    /// Whether anything was ever put into a repository, and not all of it collected.
    pub(super) fn is_repository(&self, name: &RepositoryName) -> Result<bool, StoreError> {
        let children = children(&self.repository(name))?;
        Ok(children.iter().any(|child| FOLDERS.contains(&child.as_str())))
    }

    /// A repository's tags, sorted.
    pub(super) fn tag_names(&self, name: &RepositoryName) -> Result<Vec<Tag>, StoreError> {
        let names = children(&self.repository(name).join(TAGS))?;
        let mut tags: Vec<Tag> = names.iter().filter_map(|name| name.parse().ok()).collect();
        tags.sort();
        Ok(tags)
    }

    /// The manifest a tag names.
    pub(super) fn tagged(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<ContentDigest>, StoreError> {
        let text = read(&self.tag_path(name, tag))?;
        Ok(text.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok()))
    }

    /// The manifests that have this subject, sorted.
    pub(super) fn referring(
        &self,
        name: &RepositoryName,
        subject: &ContentDigest,
    ) -> Result<Vec<ContentDigest>, StoreError> {
        let names = children(&self.referrers(name, subject))?;
        let mut found: Vec<_> = names.iter().filter_map(|name| name.parse().ok()).collect();
        found.sort();
        Ok(found)
    }

    /// Contents of the store that a repository has as blobs.
    pub(super) fn linked_blobs(
        &self,
        name: &RepositoryName,
    ) -> Result<HashSet<Digest>, StoreError> {
        let mut found = HashSet::new();
        for digest in self.links(name, BLOBS)? {
            found.extend(self.blob_link(name, &digest)?);
        }
        Ok(found)
    }

    /// Contents of the store that a repository has as manifests.
    pub(super) fn linked_manifests(
        &self,
        name: &RepositoryName,
    ) -> Result<HashSet<Digest>, StoreError> {
        let mut found = HashSet::new();
        for digest in self.links(name, MANIFESTS)? {
            found.extend(self.entry(name, &digest)?.map(|entry| entry.content));
        }
        Ok(found)
    }

    /// Every repository there is a directory of, sorted.
    pub(super) fn repository_names(&self) -> Result<Vec<RepositoryName>, StoreError> {
        let root = self.repositories();
        let mut found = Vec::new();
        let mut open = vec![String::new()];
        while let Some(prefix) = open.pop() {
            let mut is_repository = false;
            for child in children(&root.join(&prefix))? {
                if child.starts_with('_') {
                    is_repository |= FOLDERS.contains(&child.as_str());
                } else if prefix.is_empty() {
                    open.push(child);
                } else {
                    open.push(format!("{prefix}/{child}"));
                }
            }
            if is_repository {
                found.extend(prefix.parse::<RepositoryName>().ok());
            }
        }
        found.sort();
        Ok(found)
    }

    /// Removes directories of a repository that hold nothing any more.
    pub(super) fn tidy_repository(&self, name: &RepositoryName) {
        let path = self.repository(name);
        for folder in FOLDERS {
            for child in children(&path.join(folder)).unwrap_or_default() {
                // What is not empty, or no directory, stays.
                let _ = std::fs::remove_dir(path.join(folder).join(child));
            }
            let _ = std::fs::remove_dir(path.join(folder));
        }
        let root = self.repositories();
        for folder in path.ancestors().take_while(|folder| *folder != root) {
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
}

/// A file's bytes, or nothing when it is not there.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs_err::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes a file; tells whether it was there.
pub(super) fn remove(path: &Path) -> Result<bool, StoreError> {
    match fs_err::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Names in a directory; none when there is no such directory.
pub(super) fn children(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs_err::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut names = Vec::new();
    for entry in entries {
        // A name that is no UTF-8 is none of ours.
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
