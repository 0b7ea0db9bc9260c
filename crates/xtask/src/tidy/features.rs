//! What `xtask` needs has the features that the whole workspace gives it: cargo would build it and
//! all that needs it twice otherwise, a minute of each run on a new machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::Finding;
use crate::repository;

/// Packages with their sets of features: a line of `cargo tree` is `name version|features`.
type Features<'tree> = BTreeMap<&'tree str, BTreeSet<&'tree str>>;

pub(super) fn check() -> Result<Vec<Finding>> {
    let xtask = tree(&["--package", "xtask", "--edges", "normal"])?;
    let workspace = tree(&["--workspace", "--edges", "normal,dev"])?;
    Ok(compare(&xtask, &workspace))
}

fn tree(of: &[&str]) -> Result<String> {
    let mut cargo = repository::command("cargo");
    cargo.args(["tree", "--locked", "--no-dedupe", "--prefix", "none", "--format", "{p}|{f}"]);
    let output = cargo.args(of).output().context("run cargo")?;
    ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).context("what cargo tree says is not UTF-8")
}

fn compare(xtask: &str, workspace: &str) -> Vec<Finding> {
    let workspace = features(workspace);
    let other = |package: &str, sets: &BTreeSet<&str>| match workspace.get(package) {
        Some(known) => !known.is_superset(sets),
        None => true,
    };
    let others = features(xtask).into_iter().filter(|(package, sets)| other(package, sets));
    let manifest = Path::new("crates/xtask/Cargo.toml");
    others
        .map(|(package, sets)| {
            let wanted = workspace.get(package).cloned().unwrap_or_default();
            let what = format!(
                "{package} is built twice: {sets:?} here, {wanted:?} in the workspace; name it with those"
            );
            Finding::new(manifest, 0, what)
        })
        .collect()
}

fn features(tree: &str) -> Features<'_> {
    let mut features = Features::new();
    for (package, set) in tree.lines().filter_map(|line| line.split_once('|')) {
        features.entry(package).or_default().insert(set);
    }
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_with_other_features_is_found() {
        let workspace = "libc v0.2.1|default,std\nserde v1.0.0|std\nserde v1.0.0|\nring v0.17.0|";
        assert_eq!(compare("libc v0.2.1|default,std\nserde v1.0.0|std\n\n", workspace), []);
        let found = compare("libc v0.2.1|std", workspace);
        let [finding] = &found[..] else { panic!("{found:?}") };
        assert!(finding.what.starts_with("libc v0.2.1 is built twice"), "{finding:?}");
    }
}
