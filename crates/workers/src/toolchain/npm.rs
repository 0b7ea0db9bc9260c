//! Installs the pinned packages with npm: into a folder beside the final one, then renamed.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::{ESBUILD_VERSION, Options, Packages, ToolchainError, WORKERD_VERSION, verify};

/// Installs into `folder`, unless another process does so first.
pub(super) async fn install(
    options: &Options,
    packages: &Packages,
    folder: &Path,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), ToolchainError> {
    let cache = &options.cache_dir;
    fs_err::create_dir_all(cache).map_err(|e| ToolchainError::cache("make", cache, e))?;
    let _lock = lock(cache.join("toolchain.lock")).await?;
    if folder.exists() {
        return Ok(());
    }
    progress(&format!(
        "installing workerd {WORKERD_VERSION} and esbuild {ESBUILD_VERSION} with npm"
    ));
    // One name is enough under the lock, and finds what an install that was killed left behind.
    let temporary = Temporary::make(folder.with_extension("tmp"))?;
    for (name, text) in [("package.json", packages.manifest), ("package-lock.json", packages.lock)]
    {
        let path = temporary.0.join(name);
        fs_err::write(&path, text).map_err(|e| ToolchainError::cache("write", &path, e))?;
    }
    npm_ci(&options.npm, &temporary.0).await?;
    verify::installed(&packages.in_folder(&temporary.0)).await?;
    fs_err::rename(&temporary.0, folder).map_err(|e| ToolchainError::cache("make", folder, e))
}

/// Waits for the lock; it ends with the file, so also when this process is killed.
async fn lock(path: PathBuf) -> Result<std::fs::File, ToolchainError> {
    let locked = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
            file.lock()?;
            Ok(file)
        })
    };
    let result = locked.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    result.map_err(|error| ToolchainError::cache("lock", &path, error))
}

/// A folder that is removed unless it has been renamed.
struct Temporary(PathBuf);

impl Temporary {
    fn make(path: PathBuf) -> Result<Self, ToolchainError> {
        if path.exists() {
            fs_err::remove_dir_all(&path).map_err(|e| ToolchainError::cache("empty", &path, e))?;
        }
        fs_err::create_dir(&path).map_err(|e| ToolchainError::cache("make", &path, e))?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Gone after a rename; otherwise the next install removes what this could not.
        let _ = fs_err::remove_dir_all(&self.0);
    }
}

async fn npm_ci(npm: &Path, folder: &Path) -> Result<(), ToolchainError> {
    let output = tokio::process::Command::new(npm)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"])
        .args(["--no-progress", "--loglevel=error"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| ToolchainError::NoNpm { npm: npm.to_owned(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(127) {
        // npm is a script; this is `env` that finds no node.
        let source = io::Error::new(io::ErrorKind::NotFound, said.trim().to_owned());
        return Err(ToolchainError::NoNpm { npm: npm.to_owned(), source });
    }
    Err(explain(&said, output.status.to_string()))
}

/// npm's codes, told apart as far as a person would do different things.
fn explain(said: &str, status: String) -> ToolchainError {
    const NETWORK: [&str; 7] = [
        "ENOTFOUND",
        "EAI_AGAIN",
        "ECONNREFUSED",
        "ECONNRESET",
        "ETIMEDOUT",
        "ENETUNREACH",
        "EHOSTUNREACH",
    ];
    let lines = said.lines().map(|line| line.trim_start_matches("npm error").trim());
    let message = lines
        .filter(|line| !line.is_empty() && !line.starts_with("A complete log of this run"))
        .take(3)
        .collect::<Vec<_>>()
        .join("; ");
    let has = |code: &str| said.contains(code);
    if NETWORK.iter().any(|code| has(code)) {
        ToolchainError::Unreachable { message }
    } else if has("EINTEGRITY") {
        ToolchainError::WrongHash { message }
    } else {
        ToolchainError::Npm { status, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_registry_and_a_changed_package_are_told_apart() {
        let said = "npm error code ECONNREFUSED\nnpm error syscall connect\nnpm error A complete log of this run can be found in: x\n";
        let ToolchainError::Unreachable { message } = explain(said, String::new()) else {
            panic!("not told as unreachable")
        };
        assert_eq!(message, "code ECONNREFUSED; syscall connect");
        let said = "npm error code EINTEGRITY\n";
        assert!(matches!(explain(said, String::new()), ToolchainError::WrongHash { .. }));
        let said = "npm error code ENOSPC\n";
        assert!(matches!(explain(said, "x".into()), ToolchainError::Npm { .. }));
    }
}
