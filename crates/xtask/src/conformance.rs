//! `cargo xtask conformance`: the distribution specification's own suites against
//! `berth registry serve`, with its credentials.
//!
//! Both are built from the Go module proxy: the newest, which tries every endpoint and kind of data,
//! and the one before it, which has the four workflows. Nothing may fail, and nothing is skipped but
//! alternatives that no registry can take together.

mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use e2e::RegistryServer;
use fs_err as fs;

use crate::{prerequisites, repository, say};

const MODULE: &str = "github.com/opencontainers/distribution-spec/conformance";
/// The newest suite: a program.
const SUITE: &str = "v0.0.0-20260831232431-97274622c111";
/// The one of the four workflows: a test package.
const WORKFLOWS: &str = "v0.0.0-20231101194043-f2182352d4cc";
/// The oldest Go that builds them.
const GO: (u32, u32) = (1, 24);

/// Of the workflows' tests, those that stand for the other case of one that is run: two set a variable
/// where content was not pushed (and ask the registry nothing), two are for registries that do not
/// mount. Any other that is skipped is a failure.
const ALTERNATIVES: [&str; 4] = [
    "Get tag name from environment",
    "Populate registry with test tags (no push)",
    "Cross-mounting of nonexistent blob should yield session id",
    "Cross-mounting without from, and automatic content discovery disabled should return a 202",
];

/// The account that the suites' repositories lie below.
const REPOSITORIES: [&str; 2] = ["acc/conformance/repo1", "acc/conformance/repo2"];

pub(crate) fn run() -> Result<()> {
    if !prerequisites::is_there("go") {
        prerequisites::install(&[("go", "golang-go")])?;
    }
    if let Some(version) = too_old()? {
        say(&format!(
            "skipped: the suite needs Go {}.{}, and this machine has {version}",
            GO.0, GO.1
        ));
        return Ok(());
    }
    let folder = repository::root().join("target/conformance");
    fs::create_dir_all(&folder)?;
    let (suite, workflows) = (build_suite(&folder)?, build_workflows(&folder)?);
    let server = RegistryServer::start(&[]);
    let password = server.credential(&["--pull", "--push", "--expiration-minutes", "60"]);
    let first = run_suite(&suite, &folder, &server, &password)?;
    let second = run_workflows(&workflows, &folder, &server, &password)?;
    server.stop();
    ensure!(first && second, "the registry does not conform; {} has the reports", folder.display());
    Ok(())
}

/// The version of a Go that is too old.
fn too_old() -> Result<Option<String>> {
    let output = run_go(Command::new("go").args(["env", "GOVERSION"]))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(is_too_old(&version).then_some(version))
}

fn is_too_old(version: &str) -> bool {
    // `go1.24`, `go1.26.8`, `go1.25rc1 X:nocoverage`
    let mut numbers = version.trim_start_matches("go").split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok()).unwrap_or(0);
    (next(), next()) < GO
}

/// Runs Go as it is set up here, without a toolchain of another version and without a workspace.
fn run_go(command: &mut Command) -> Result<Output> {
    command.env("GOTOOLCHAIN", "local").env("GOWORK", "off").env_remove("GOFLAGS");
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output)
}

fn build_suite(folder: &Path) -> Result<PathBuf> {
    let program = folder.join(SUITE);
    if !program.exists() {
        say("building the newest suite");
        let mut go = Command::new("go");
        run_go(go.args(["install", &format!("{MODULE}@{SUITE}")]).env("GOBIN", folder))?;
        fs::rename(folder.join("conformance"), &program)?;
    }
    Ok(program)
}

fn build_workflows(folder: &Path) -> Result<PathBuf> {
    let program = folder.join(WORKFLOWS);
    if !program.exists() {
        say("building the suite of the four workflows");
        let module = format!("{MODULE}@{WORKFLOWS}");
        let output = run_go(Command::new("go").args(["mod", "download", "-json", &module]))?;
        let told: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let sources = told["Dir"].as_str().context("go names the module's folder")?;
        // Built in the module cache, which is not written to.
        let mut go = Command::new("go");
        go.args(["test", "-c", "-o"]).arg(&program).arg(".").current_dir(sources);
        run_go(&mut go)?;
    }
    Ok(program)
}

/// Everything that the specification has, and what its next version will have: digests in headers,
/// tags as parameters, uploads cancelled.
fn run_suite(suite: &Path, folder: &Path, server: &RegistryServer, password: &str) -> Result<bool> {
    let results = folder.join("results");
    let output = Command::new(suite)
        .env("OCI_VERSION", "dev")
        .env("OCI_REGISTRY", server.address())
        .env("OCI_TLS", "disabled")
        .env("OCI_REPO1", REPOSITORIES[0])
        .env("OCI_REPO2", REPOSITORIES[1])
        .env("OCI_USERNAME", "v1")
        .env("OCI_PASSWORD", password)
        .env("OCI_RESULTS_DIR", &results)
        .current_dir(folder)
        .output()
        .context("run the newest suite")?;
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    fs::write(folder.join("suite.log"), &report)?;
    let counts = table::of_suite(&report);
    say(&table::show("every endpoint and kind of data (1.1+dev)", &counts));
    for line in table::troubles(&report) {
        say(line);
    }
    Ok(output.status.success() && table::all_pass(&counts, &[], &[]))
}

fn run_workflows(
    workflows: &Path,
    folder: &Path,
    server: &RegistryServer,
    password: &str,
) -> Result<bool> {
    let mut command = Command::new(workflows);
    for workflow in ["PULL", "PUSH", "CONTENT_DISCOVERY", "CONTENT_MANAGEMENT"] {
        command.env(format!("OCI_TEST_{workflow}"), "1");
    }
    let output = command
        .args(["-ginkgo.v", "-ginkgo.no-color"])
        .env("OCI_ROOT_URL", format!("http://{}", server.address()))
        .env("OCI_NAMESPACE", REPOSITORIES[0])
        .env("OCI_CROSSMOUNT_NAMESPACE", REPOSITORIES[1])
        .env("OCI_AUTOMATIC_CROSSMOUNT", "1")
        .env("OCI_USERNAME", "v1")
        .env("OCI_PASSWORD", password)
        .env("OCI_HIDE_SKIPPED_WORKFLOWS", "0")
        .env("OCI_REPORT_DIR", folder)
        .current_dir(folder)
        .output()
        .context("run the suite of the four workflows")?;
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    fs::write(folder.join("workflows.log"), &report)?;
    let counts = table::of_workflows(&report);
    say(&table::show("pull, push, content discovery, content management", &counts));
    for line in table::troubles(&report) {
        say(line);
    }
    let skipped: Vec<&str> = table::skipped(&report).collect();
    Ok(output.status.success() && table::all_pass(&counts, &skipped, &ALTERNATIVES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_go_that_is_too_old_is_known() {
        for old in ["go1.19.8", "go1.23", "", "devel"] {
            assert!(is_too_old(old), "{old}");
        }
        for new in ["go1.24", "go1.26.8", "go2.0", "go1.25rc1 X:nocoverage"] {
            assert!(!is_too_old(new), "{new}");
        }
    }
}
