//! Static files of Workers as folders, which workerd serves: one for each set of files and rules, made
//! of links to their content.

use std::io;
use std::path::{Path, PathBuf};

use control::plan::PlannedAssets;
use fs_err as fs;

/// What the name of a folder begins with that is being made.
const UNFINISHED: &str = ".unfinished-";

/// The folder of these files below the Worker's own; made if it is missing.
pub(crate) fn lay_out(root: &Path, assets: &PlannedAssets) -> io::Result<PathBuf> {
    let folder = root.join(&assets.name);
    if folder.is_dir() {
        return Ok(folder);
    }
    fs::create_dir_all(root)?;
    let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(root)?;
    for file in &assets.files {
        let path = unfinished.path().join(&file.path);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        // A file system has no links, or no more of this file.
        fs::hard_link(&file.source, &path).or_else(|_| fs::copy(&file.source, &path).map(drop))?;
    }
    for (name, text) in [("_headers", &assets.headers), ("_redirects", &assets.redirects)] {
        if let Some(text) = text {
            fs::write(unfinished.path().join(name), text)?;
        }
    }
    fs::rename(unfinished.path(), &folder)?;
    Ok(folder)
}

/// Removes all folders of a Worker but one. What cannot be removed harms nobody.
pub(crate) fn remove_others(root: &Path, kept: Option<&PlannedAssets>) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.filter_map(Result::ok) {
        if kept.is_none_or(|kept| *entry.file_name() != *kept.name) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use control::plan::PlannedFile;
    use model::AssetRules;

    use super::*;

    fn assets(name: &str, source: &Path) -> PlannedAssets {
        let file = |path: &str| PlannedFile { path: path.into(), source: source.to_owned() };
        PlannedAssets {
            name: name.into(),
            files: vec![file("index.html"), file("a b/c/d.js")],
            rules: AssetRules::default(),
            headers: Some("/*\n  x: y\n".into()),
            redirects: None,
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_where_they_belong_and_older_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("content");
        fs::write(&source, "hello").unwrap();
        let root = folder.path().join("w");
        let (one, two) = (assets("one", &source), assets("two", &source));
        let first = lay_out(&root, &one).unwrap();
        assert_eq!(lay_out(&root, &one).unwrap(), first);
        assert_eq!(names(&first), ["_headers", "a b", "index.html"]);
        assert_eq!(fs::read_to_string(first.join("a b/c/d.js")).unwrap(), "hello");
        lay_out(&root, &two).unwrap();
        assert_eq!(names(&root), ["one", "two"]);
        remove_others(&root, Some(&two));
        assert_eq!(names(&root), ["two"]);
        remove_others(&root, None);
        assert!(names(&root).is_empty());
    }

    #[test]
    fn content_that_is_missing_leaves_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("w");
        assert!(lay_out(&root, &assets("one", &folder.path().join("nothing"))).is_err());
        assert!(names(&root).is_empty());
    }
}
