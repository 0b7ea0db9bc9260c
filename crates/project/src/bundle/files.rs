//! Files that are modules without being imported in the bundle: `find_additional_modules`.

use std::path::{Path, PathBuf};

use super::plugins::module_kind;
use super::rules::{Rules, matches_file};
use super::{BundleError, Module};
use crate::config::Config;

/// Folders that never hold modules of the Worker itself.
const SKIPPED: [&str; 4] = ["node_modules", ".git", ".wrangler", ".berth"];

/// The files under `module_root` that a rule matches, with their absolute paths.
///
/// The entry point and the configuration file are left out.
pub(super) fn find(
    config: &Config,
    module_root: &Path,
    entry: &Path,
    rules: &Rules,
) -> Result<Vec<(PathBuf, Module)>, BundleError> {
    let mut files = Vec::new();
    walk(module_root, &mut files)?;
    files.sort();
    let mut modules = Vec::new();
    for file in files {
        if file == entry || file == config.path {
            continue;
        }
        let Some(name) = file.strip_prefix(module_root).ok().and_then(Path::to_str) else {
            continue;
        };
        let rule =
            rules.active.iter().find(|rule| rule.globs.iter().any(|glob| matches_file(glob, name)));
        if let Some(rule) = rule {
            let contents = read(&file)?;
            let name = name.to_owned();
            modules.push((file, Module { name, kind: module_kind(rule.kind), contents }));
        }
    }
    Ok(modules)
}

pub(super) fn read(file: &Path) -> Result<Vec<u8>, BundleError> {
    fs_err::read(file).map_err(|source| BundleError::Read { path: file.to_owned(), source })
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), BundleError> {
    let failed = |source| BundleError::Read { path: dir.to_owned(), source };
    for entry in fs_err::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        if !kind.is_dir() {
            // A link to a folder is not followed: it may lead back up.
            if entry.path().is_file() {
                files.push(entry.path());
            }
        } else if !SKIPPED.iter().any(|name| entry.file_name() == *name) {
            walk(&entry.path(), files)?;
        }
    }
    Ok(())
}
