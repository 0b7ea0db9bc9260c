//! Which of the project's files changed, in batches.
//!
//! Folders are watched, not files: editors replace a file instead of writing it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// Changes that come this close after each other are one: a "save all", a branch switch.
const SETTLE: Duration = Duration::from_millis(50);

/// What is watched, and a queue of what changed.
#[derive(Debug)]
pub(crate) struct Watch {
    watcher: RecommendedWatcher,
    changes: mpsc::UnboundedReceiver<PathBuf>,
    watched: BTreeSet<(PathBuf, bool)>,
    files: BTreeSet<PathBuf>,
    trees: BTreeSet<PathBuf>,
}

impl Watch {
    pub(crate) fn new() -> notify::Result<Self> {
        // Unbounded, but drained by the one loop of `dev`; a watcher's thread must not wait.
        let (sender, changes) = mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if matches!(event.kind, EventKind::Access(_)) {
                return;
            }
            for path in event.paths {
                // The receiver is gone when `dev` ends.
                let _ = sender.send(path);
            }
        })?;
        Ok(Self {
            watcher,
            changes,
            watched: BTreeSet::new(),
            files: BTreeSet::new(),
            trees: BTreeSet::new(),
        })
    }

    /// Watches these files, and everything under these folders, in place of what was watched.
    pub(crate) fn set(&mut self, files: BTreeSet<PathBuf>, trees: BTreeSet<PathBuf>) {
        let mut wanted: BTreeSet<(PathBuf, bool)> = files
            .iter()
            // Packages change by an install, which ends with the project's own files changing.
            .filter(|file| !file.components().any(|part| part.as_os_str() == "node_modules"))
            .filter_map(|file| file.parent())
            .map(|folder| (folder.to_owned(), false))
            .collect();
        wanted.extend(trees.iter().map(|tree| (tree.clone(), true)));
        for (gone, _) in self.watched.difference(&wanted) {
            // A folder that was deleted is unwatched already.
            let _ = self.watcher.unwatch(gone);
        }
        let mut watched = BTreeSet::new();
        for (folder, recursive) in wanted {
            let mode =
                if recursive { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
            let known = self.watched.contains(&(folder.clone(), recursive));
            if known || self.watcher.watch(&folder, mode).is_ok() {
                watched.insert((folder, recursive));
            }
        }
        (self.watched, self.files, self.trees) = (watched, files, trees);
    }

    /// The next batch of changed files; never empty.
    pub(crate) async fn changed(&mut self) -> BTreeSet<PathBuf> {
        let mut changed = BTreeSet::new();
        loop {
            let next = if changed.is_empty() {
                Ok(self.changes.recv().await)
            } else {
                tokio::time::timeout(SETTLE, self.changes.recv()).await
            };
            match next {
                Ok(Some(path)) if self.concerns(&path) => _ = changed.insert(path),
                Ok(Some(_)) => {}
                Ok(None) => std::future::pending().await,
                Err(_quiet) => return changed,
            }
        }
    }

    fn concerns(&self, path: &Path) -> bool {
        self.files.contains(path) || self.trees.iter().any(|tree| path.starts_with(tree))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_replaced_file_is_a_change_and_its_neighbour_is_none() {
        let dir = std::env::temp_dir().join(format!("berth-watch-{}", std::process::id()));
        fs_err::create_dir_all(&dir).unwrap();
        let file = dir.join("index.js");
        fs_err::write(&file, "1").unwrap();
        let mut watch = Watch::new().unwrap();
        watch.set(BTreeSet::from([file.clone()]), BTreeSet::new());
        fs_err::write(dir.join("other.js"), "2").unwrap();
        fs_err::write(dir.join("index.js.new"), "3").unwrap();
        fs_err::rename(dir.join("index.js.new"), &file).unwrap();
        let changed = tokio::time::timeout(Duration::from_secs(10), watch.changed()).await;
        assert_eq!(changed.unwrap(), BTreeSet::from([file]));
        fs_err::remove_dir_all(&dir).unwrap();
    }
}
