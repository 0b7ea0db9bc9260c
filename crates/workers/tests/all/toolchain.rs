//! Installing workerd and esbuild, and what is said when that cannot be.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use workers::toolchain::{ToolchainError, ensure};

use crate::host::{toolchain, toolchain_options};

/// A stand-in for npm that fails as npm fails.
fn script(dir: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = dir.join(name);
    fs_err::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a script");
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a script");
    path
}

#[tokio::test]
async fn two_at_once_install_once_and_both_get_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = toolchain_options(dir.path());
    let installs = AtomicU32::new(0);
    let count = |_: &str| {
        installs.fetch_add(1, Ordering::Relaxed);
    };
    let (a, b) = tokio::join!(ensure(&options, &count), ensure(&options, &count));
    let (a, b) = (a.expect("a toolchain"), b.expect("a toolchain"));
    assert_eq!(a, b);
    assert_eq!(installs.load(Ordering::Relaxed), 1);
    assert!(a.workerd.is_file() && a.esbuild.is_file());
    let again = ensure(&options, &|line| panic!("says {line} though nothing is to be done")).await;
    assert_eq!(again.expect("a toolchain"), a);
    let left: Vec<_> = fs_err::read_dir(&options.cache_dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter(|name| !name.ends_with(".lock"))
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn without_npm_the_hint_says_what_to_install_or_set() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut options = toolchain_options(dir.path());
    options.npm = dir.path().join("no-npm");
    let error = ensure(&options, &|_| {}).await.expect_err("there is no npm");
    assert!(matches!(error, ToolchainError::NoNpm { .. }), "{error}");
    let hint = error.hint().expect("a hint");
    assert!(hint.contains("Node.js") && hint.contains("BERTH_WORKERD"), "{hint}");

    options.npm = script(dir.path(), "npm", "echo \"env: 'node': No such file\" >&2; exit 127");
    let error = ensure(&options, &|_| {}).await.expect_err("there is no node");
    assert!(matches!(error, ToolchainError::NoNpm { .. }), "{error}");
}

#[tokio::test]
async fn a_failed_install_leaves_nothing_and_says_why() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut options = toolchain_options(dir.path());
    options.npm = script(dir.path(), "npm", "echo 'npm error code ECONNREFUSED' >&2; exit 1");
    let error = ensure(&options, &|_| {}).await.expect_err("it failed");
    assert!(matches!(error, ToolchainError::Unreachable { .. }), "{error}");
    options.npm = script(dir.path(), "lazy-npm", "exit 0");
    let error = ensure(&options, &|_| {}).await.expect_err("nothing was installed");
    assert!(matches!(error, ToolchainError::Program { .. }), "{error}");
    options.npm = script(
        dir.path(),
        "old-npm",
        "for p in @cloudflare/workerd-linux-64 @cloudflare/workerd-linux-arm64 @esbuild/linux-x64 @esbuild/linux-arm64; do \
         mkdir -p node_modules/$p/bin; for b in workerd esbuild; do f=node_modules/$p/bin/$b; \
         printf '#!/bin/sh\\necho workerd 2020-01-01\\n' > $f; chmod +x $f; done; done",
    );
    let error = ensure(&options, &|_| {}).await.expect_err("the wrong version");
    assert!(matches!(error, ToolchainError::WrongVersion { .. }), "{error}");
    let left = fs_err::read_dir(&options.cache_dir).expect("a folder").count();
    assert_eq!(left, 1, "the lock file alone");
}

#[tokio::test]
async fn programs_given_by_hand_need_no_npm_and_may_be_other_versions() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut options = toolchain_options(dir.path());
    options.npm = dir.path().join("no-npm");
    options.workerd = Some(toolchain().await.workerd.clone());
    options.esbuild = Some(script(dir.path(), "esbuild", "echo 0.1.0"));
    let said = std::sync::Mutex::new(Vec::new());
    let note = |line: &str| said.lock().expect("one thread").push(line.to_owned());
    let given = ensure(&options, &note).await.expect("a toolchain");
    assert_eq!(Some(given.esbuild), options.esbuild);
    let said = said.into_inner().expect("one thread");
    assert!(matches!(&said[..], [line] if line.contains("\"0.1.0\"")), "{said:?}");

    options.workerd = Some(dir.path().join("gone"));
    let error = ensure(&options, &|_| {}).await.expect_err("there is no such file");
    assert!(matches!(error, ToolchainError::Program { .. }), "{error}");
}
