//! Storage of Durable Objects: a folder for each Worker, and in it one for each class.

use std::io;
use std::path::Path;

use control::plan::PlannedClass;
use fs_err as fs;

/// Removes the storage of classes that a migration has deleted, once the Worker serves without them: no
/// version has them again.
pub(crate) fn remove_deleted(worker: &Path, classes: &[PlannedClass]) {
    let removed = deleted(worker, classes);
    let removed = removed
        .and_then(|names| names.iter().try_for_each(|name| fs::remove_dir_all(worker.join(name))));
    match removed {
        // A Worker without objects.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, "the storage of a deleted class stays"),
        Ok(()) => {}
    }
}

/// Folders of classes that are none of these. Others that may lie there are not ours.
fn deleted(worker: &Path, classes: &[PlannedClass]) -> io::Result<Vec<String>> {
    let is_namespace = |name: &str| {
        name.len() == 32 && name.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut deleted = Vec::new();
    for entry in fs::read_dir(worker)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if is_namespace(&name) && !classes.iter().any(|class| class.namespace_id == name) {
            deleted.push(name);
        }
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn only_folders_of_classes_that_are_gone_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (kept, gone) = ("0".repeat(32), "a".repeat(32));
        for name in [&kept, &gone, "else"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("object.sqlite"), "").unwrap();
        }
        let class = PlannedClass {
            name: "C".into(),
            namespace_id: kept.clone(),
            sqlite: true,
            container: false,
            images: BTreeMap::new(),
        };
        remove_deleted(folder.path(), &[class]);
        let is_there = |name: &str| folder.path().join(name).join("object.sqlite").exists();
        assert!(is_there(&kept) && is_there("else") && !is_there(&gone));
        remove_deleted(&folder.path().join("nothing"), &[]);
    }
}
