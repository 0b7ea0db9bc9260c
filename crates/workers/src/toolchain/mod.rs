//! The pinned workerd and esbuild: installed with npm once, checked, and found again.
//!
//! The lock file in this crate names each package's hash, so npm installs these bytes or nothing.
//! Packages' own install scripts never run.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

mod error;
mod npm;
mod verify;

pub use error::ToolchainError;

/// The workerd that Berth runs, as npm counts versions.
pub const WORKERD_VERSION: &str = "1.20261117.1";
/// The same, as workerd itself says it.
const WORKERD_SAYS: &str = "workerd 2026-11-17";
/// The esbuild that Berth bundles with, which says just that.
pub const ESBUILD_VERSION: &str = "0.28.2";

/// The two programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// The workerd binary.
    pub workerd: PathBuf,
    /// The native esbuild binary.
    pub esbuild: PathBuf,
}

/// Where to look, and what to use instead.
#[derive(Debug, Clone)]
pub struct Options {
    /// Installs live in folders under this one, named by the lock file's hash.
    pub cache_dir: PathBuf,
    /// This workerd and no other (`BERTH_WORKERD`).
    pub workerd: Option<PathBuf>,
    /// This esbuild and no other (`BERTH_ESBUILD`).
    pub esbuild: Option<PathBuf>,
    /// The npm command: `npm`, looked up in `PATH`.
    pub npm: PathBuf,
}

/// What npm is given, for one processor architecture. Each has a pair of files of its own, because
/// npm passes over a missing package silently as soon as it is an optional one.
#[derive(Debug)]
struct Packages {
    manifest: &'static str,
    lock: &'static str,
    workerd: &'static str,
    esbuild: &'static str,
}

const X64: Packages = Packages {
    manifest: include_str!("../../toolchain/linux-x64/package.json"),
    lock: include_str!("../../toolchain/linux-x64/package-lock.json"),
    workerd: "node_modules/@cloudflare/workerd-linux-64/bin/workerd",
    esbuild: "node_modules/@esbuild/linux-x64/bin/esbuild",
};

const ARM64: Packages = Packages {
    manifest: include_str!("../../toolchain/linux-arm64/package.json"),
    lock: include_str!("../../toolchain/linux-arm64/package-lock.json"),
    workerd: "node_modules/@cloudflare/workerd-linux-arm64/bin/workerd",
    esbuild: "node_modules/@esbuild/linux-arm64/bin/esbuild",
};

impl Packages {
    fn of_this_machine() -> Result<&'static Self, ToolchainError> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(&X64),
            "aarch64" => Ok(&ARM64),
            other => Err(ToolchainError::NoPackages { architecture: other }),
        }
    }

    fn folder_name(&self) -> String {
        let digest = Sha256::new().chain_update(self.manifest).chain_update(self.lock).finalize();
        let digits: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("toolchain-{digits}")
    }

    fn in_folder(&self, folder: &Path) -> Toolchain {
        Toolchain { workerd: folder.join(self.workerd), esbuild: folder.join(self.esbuild) }
    }
}

/// Finds the toolchain, installing it first if it is not there.
///
/// `progress` is called with one line for a person when an install begins, so not at all when
/// there is nothing to do, and when a program given by hand is not the version that Berth is made
/// for. Two processes may call this at once; one of them installs.
///
/// # Errors
/// npm is missing or failed, or a program does not run.
pub async fn ensure(
    options: &Options,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<Toolchain, ToolchainError> {
    if let (Some(workerd), Some(esbuild)) = (&options.workerd, &options.esbuild) {
        let given = Toolchain { workerd: workerd.clone(), esbuild: esbuild.clone() };
        verify::given(&given, options, progress).await?;
        return Ok(given);
    }
    let packages = Packages::of_this_machine()?;
    let folder = options.cache_dir.join(packages.folder_name());
    // The folder appears whole and checked, or not at all.
    if !folder.exists() {
        npm::install(options, packages, &folder, progress).await?;
    }
    let installed = packages.in_folder(&folder);
    let toolchain = Toolchain {
        workerd: options.workerd.clone().unwrap_or(installed.workerd),
        esbuild: options.esbuild.clone().unwrap_or(installed.esbuild),
    };
    verify::given(&toolchain, options, progress).await?;
    Ok(toolchain)
}

/// The newest compatibility date that the pinned workerd starts with, `YYYY-MM-DD`: it refuses
/// dates it does not know and dates in the future. Callers lower a newer one with a warning, as
/// wrangler does. `today` is the UTC date.
#[must_use]
pub fn newest_compatibility_date(today: &str) -> String {
    /// From workerd's own message.
    const KNOWN: &str = "2026-11-24";
    today.min(KNOWN).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_files_pin_the_two_versions_by_hash_and_name_no_address() {
        for packages in [&X64, &ARM64] {
            let lock: serde_json::Value = serde_json::from_str(packages.lock).expect("valid JSON");
            for (path, version) in
                [(packages.workerd, WORKERD_VERSION), (packages.esbuild, ESBUILD_VERSION)]
            {
                let package = path.split("/bin/").next().expect("a part");
                let entry = &lock["packages"][package];
                assert_eq!(entry["version"], version, "{package}");
                assert!(
                    entry["integrity"].as_str().is_some_and(|hash| hash.starts_with("sha512-"))
                );
            }
            assert!(!packages.lock.contains("://"));
        }
    }

    #[test]
    fn the_version_npm_counts_is_the_one_workerd_says() {
        let date: Vec<char> = WORKERD_VERSION.chars().skip(2).take(8).collect();
        let text = |range: std::ops::Range<usize>| date[range].iter().collect::<String>();
        assert_eq!(WORKERD_SAYS, format!("workerd {}-{}-{}", text(0..4), text(4..6), text(6..8)));
    }

    #[test]
    fn a_compatibility_date_is_neither_unknown_nor_in_the_future() {
        assert_eq!(newest_compatibility_date("2026-11-20"), "2026-11-20");
        assert_eq!(newest_compatibility_date("2027-03-01"), "2026-11-24");
    }
}
