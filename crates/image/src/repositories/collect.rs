//! Garbage: manifests whose last tag was deleted, blobs that no manifest needs, old uploads.
//!
//! What was pushed by digest alone, and what a tag named before it moved, stays: deployments pin
//! digests.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use super::files::{BLOBS, MANIFESTS, children, remove};
use super::manifest::Entry;
use super::{ContentDigest, Repositories, RepositoryName};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::gc::Pruned;
use crate::layout::Layout;

/// Contents that repositories gave up.
const REMOVED: &str = "_removed";
/// A blob waits this long for its manifest.
const BLOB_GRACE: Duration = Duration::from_secs(60 * 60);
/// An upload waits this long for its next bytes.
const UPLOAD_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// What [`Repositories::collect`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Manifests removed from repositories.
    pub manifests: usize,
    /// Blobs removed from repositories.
    pub blobs: usize,
    /// Uploads that nobody went on with.
    pub uploads: usize,
    /// What went from the store, as nothing else needed it.
    pub content: Pruned,
}

impl Repositories {
    /// Removes garbage from the repositories, and from the store what of it nothing else needs:
    /// neither a name nor one of `roots` (manifest digests: give those of running instances).
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn collect(&self, roots: &[Digest]) -> Result<Collected, StoreError> {
        let layout = &self.layout;
        let mut collected =
            Collected { uploads: layout.drop_old_uploads(UPLOAD_GRACE)?, ..Collected::default() };
        let mut gone = layout.removed()?;
        {
            // Nobody may be told that something is here that is about to go.
            let _lock = layout.lock_content_for_pruning(&|| false)?;
            for name in layout.repository_names()? {
                let (manifests, blobs) = layout.collect_repository(&name)?;
                collected.manifests += manifests.len();
                collected.blobs += blobs.len();
                gone.extend(manifests.into_iter().chain(blobs));
                layout.tidy_repository(&name);
            }
        }
        if !gone.is_empty() {
            collected.content = layout.reclaim(&gone, roots)?;
        }
        for content in &gone {
            // What still runs is looked at again when it has ended.
            if roots.contains(content) {
                layout.note_removed(content)?;
            } else {
                remove(&layout.removed_path(content))?;
            }
        }
        Ok(collected)
    }
}

impl Layout {
    fn removed_path(&self, content: &Digest) -> PathBuf {
        self.repositories().join(REMOVED).join(content.hex())
    }

    /// Notes that a repository gave up a content: the next collection looks whether anything else
    /// needs it.
    pub(super) fn note_removed(&self, content: &Digest) -> Result<(), StoreError> {
        self.keep_file(&self.removed_path(content), b"")
    }

    fn removed(&self) -> Result<Vec<Digest>, StoreError> {
        let names = children(&self.repositories().join(REMOVED))?;
        Ok(names.iter().filter_map(|hex| format!("sha256:{hex}").parse().ok()).collect())
    }

    /// Removes a repository's garbage; returns the contents of manifests and of blobs removed.
    fn collect_repository(
        &self,
        name: &RepositoryName,
    ) -> Result<(Vec<Digest>, Vec<Digest>), StoreError> {
        let mut entries = BTreeMap::new();
        for digest in self.links(name, MANIFESTS)? {
            match self.entry(name, &digest)? {
                Some(entry) => _ = entries.insert(digest, entry),
                // Its bytes are gone.
                None => _ = remove(&self.link(name, MANIFESTS, &digest))?,
            }
        }
        let mut tagged = HashSet::new();
        for tag in self.tag_names(name)? {
            tagged.extend(self.tagged(name, &tag)?);
        }
        let mut manifests = Vec::new();
        for digest in garbage(&entries, &tagged) {
            self.drop_manifest(name, &digest)?;
            manifests.extend(entries.remove(&digest).map(|entry| entry.content));
        }
        let needed: HashSet<&ContentDigest> =
            entries.values().flat_map(|entry| &entry.blobs).collect();
        let mut blobs = Vec::new();
        for digest in self.links(name, BLOBS)? {
            if !needed.contains(&digest) && self.link_age(name, &digest) > BLOB_GRACE {
                blobs.extend(self.blob_link(name, &digest)?);
                remove(&self.link(name, BLOBS, &digest))?;
            }
        }
        Ok((manifests, blobs))
    }
}

/// The manifests that nobody wants any more: released ones, and what was only there for them
/// (an index's own manifests, what was attached to one), however deep. A tag, or an index that stays,
/// keeps a manifest.
fn garbage(
    entries: &BTreeMap<ContentDigest, Entry>,
    tagged: &HashSet<ContentDigest>,
) -> Vec<ContentDigest> {
    let mut gone: HashSet<&ContentDigest> = HashSet::new();
    loop {
        let kept = || entries.iter().filter(|(digest, _)| !gone.contains(digest));
        let wanted: HashSet<&ContentDigest> =
            kept().flat_map(|(_, entry)| &entry.manifests).collect();
        let parts: HashSet<&ContentDigest> = gone
            .iter()
            .filter_map(|digest| entries.get(digest))
            .flat_map(|e| &e.manifests)
            .collect();
        let more: Vec<&ContentDigest> = kept()
            .filter(|(digest, entry)| {
                let orphan = entry.subject.as_ref().is_some_and(|subject| gone.contains(subject));
                (entry.released || parts.contains(digest) || orphan)
                    && !tagged.contains(digest)
                    && !wanted.contains(digest)
            })
            .map(|(digest, _)| digest)
            .collect();
        if more.is_empty() {
            return gone.into_iter().cloned().collect();
        }
        gone.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(name: &str) -> ContentDigest {
        Digest::of(name.as_bytes()).into()
    }

    fn entry(name: &str, manifests: &[&str], subject: Option<&str>, released: bool) -> Entry {
        Entry {
            content: Digest::of(name.as_bytes()),
            size: 1,
            media_type: String::new(),
            artifact_type: None,
            annotations: BTreeMap::new(),
            subject: subject.map(digest),
            blobs: Vec::new(),
            manifests: manifests.iter().map(|name| digest(name)).collect(),
            released,
        }
    }

    fn garbage_of(entries: &[(&str, Entry)], tagged: &[&str]) -> Vec<String> {
        let map = entries.iter().map(|(name, entry)| (digest(name), entry.clone())).collect();
        let tagged = tagged.iter().map(|name| digest(name)).collect();
        let gone = garbage(&map, &tagged);
        let names = entries.iter().map(|(name, _)| *name);
        names.filter(|name| gone.contains(&digest(name))).map(str::to_owned).collect()
    }

    #[test]
    fn a_released_index_takes_along_what_was_there_for_it_alone() {
        let entries = [
            ("index", entry("index", &["amd64", "arm64", "shared"], None, true)),
            ("amd64", entry("amd64", &[], None, false)),
            ("arm64", entry("arm64", &[], None, false)),
            ("shared", entry("shared", &[], None, false)),
            ("signature", entry("signature", &[], Some("amd64"), false)),
            ("other", entry("other", &["shared"], None, false)),
        ];
        assert_eq!(garbage_of(&entries, &["arm64"]), ["index", "amd64", "signature"]);
        // Tagged again meanwhile.
        assert_eq!(garbage_of(&entries, &["index"]), [""; 0]);
    }

    #[test]
    fn what_was_pushed_by_digest_alone_and_parts_of_an_index_stay() {
        let entries = [
            ("index", entry("index", &["part"], None, false)),
            ("part", entry("part", &[], None, true)),
            ("pinned", entry("pinned", &[], None, false)),
        ];
        assert_eq!(garbage_of(&entries, &[]), [""; 0]);
    }
}
