//! npm lock files and files that no commit should have.

use std::path::PathBuf;

use super::{File, Finding};

pub(super) fn check(files: &[File], paths: &[PathBuf]) -> Vec<Finding> {
    let locks = files.iter().filter(|file| file.path.ends_with("package-lock.json"));
    let mut findings: Vec<Finding> = locks.flat_map(check_lock).collect();
    // The fuzz targets are no part of the workspace, and run by their names.
    let manifests = files
        .iter()
        .filter(|file| file.path.ends_with("Cargo.toml") && !file.path.starts_with("fuzz"));
    findings.extend(manifests.filter_map(check_binaries));
    let pending = paths.iter().filter(|path| path.to_string_lossy().ends_with(".snap.new"));
    findings.extend(pending.map(|path| Finding::new(path, 0, "a snapshot nobody has reviewed")));
    findings
}

/// README's `cargo run` has one binary to run.
fn check_binaries(file: &File) -> Option<Finding> {
    let binaries = file.text.lines().filter(|line| line.trim() == "[[bin]]").count();
    let is_said = file.text.lines().any(|line| line.starts_with("default-run = "));
    let what = "of several binaries, `default-run` names the one of `cargo run`";
    (binaries > 1 && !is_said).then(|| Finding::new(&file.path, 0, what))
}

/// A lock file names versions and their hashes, not the server one machine got them from.
fn check_lock(file: &File) -> Vec<Finding> {
    let lines = file.text.lines().enumerate();
    let resolved = lines.filter(|(_, line)| line.trim_start().starts_with("\"resolved\""));
    let what =
        "`resolved` ties the lock to one registry: npm install --omit-lockfile-registry-resolved";
    resolved.map(|(index, _)| Finding::new(&file.path, index + 1, what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_must_not_name_its_registry() {
        let text = "{\n  \"integrity\": \"sha512-x\",\n  \"resolved\": \"https://r/x.tgz\"\n}";
        let lines: Vec<_> =
            check(&[File::new("a/package-lock.json", text)], &[]).iter().map(|f| f.line).collect();
        assert_eq!(lines, [3]);
    }

    #[test]
    fn of_several_binaries_one_is_for_cargo_run() {
        let two = "[package]\n[[bin]]\nname = \"a\"\n[[bin]]\nname = \"b\"\n";
        let found = |text: &str| check(&[File::new("a/Cargo.toml", text)], &[]).len();
        assert_eq!(found(two), 1);
        assert_eq!(found(&two.replace("[package]", "[package]\ndefault-run = \"a\"")), 0);
        assert_eq!(found("[package]\n[[bin]]\nname = \"a\"\n"), 0);
    }

    #[test]
    fn an_unreviewed_snapshot_is_found() {
        assert_eq!(check(&[], &["a/b.snap.new".into(), "a/b.snap".into()]).len(), 1);
    }
}
