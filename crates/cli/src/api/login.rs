//! The platform that `berth login` has logged in to, in a file that its owner alone can read.

use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use project::config::Secret;
use serde::{Deserialize, Serialize};

use super::target::Target;
use crate::error::{CliError, Kind};

/// What the file holds.
#[derive(Serialize, Deserialize)]
struct Stored {
    url: String,
    token: String,
    account: Option<String>,
    registry: String,
}

/// `$XDG_CONFIG_HOME/berth/login.json`, else `~/.config/berth/login.json`.
pub(crate) fn path() -> Result<PathBuf, CliError> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = set("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(set("HOME")?).join(".config")));
    let folder = folder.ok_or_else(|| {
        CliError::new(Kind::Usage, "there is no home folder").hint("set HOME or XDG_CONFIG_HOME")
    })?;
    Ok(folder.join("berth/login.json"))
}

/// The platform that somebody has logged in to.
pub(crate) fn read(path: &Path) -> Result<Option<Target>, CliError> {
    let bytes = match fs_err::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CliError::failure("read the login", error)),
    };
    // Only the place of a syntax error is told: the file holds a token.
    let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| {
        let text = format!("{} is not valid at line {}", path.display(), error.line());
        CliError::new(Kind::Config, text).hint("`berth login` writes it anew")
    })?;
    let Stored { url, token, account, registry } = stored;
    Ok(Some(Target { url, token: Secret::new(token), account, registry }))
}

/// Keeps a login in the place of the one before. Nobody sees half of it.
pub(crate) fn write(path: &Path, target: &Target) -> Result<(), CliError> {
    let stored = Stored {
        url: target.url.clone(),
        token: target.token.expose().to_owned(),
        account: target.account.clone(),
        registry: target.registry.clone(),
    };
    let write = || {
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let text = serde_json::to_vec_pretty(&stored)?;
        let new = path.with_extension(format!("json.{}", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&new)?.write_all(&text)?;
        fs_err::rename(&new, path)
    };
    write().map_err(|error: io::Error| CliError::failure("keep the login", error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_login_comes_back_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/login.json");
        assert_eq!(read(&path).unwrap(), None);
        let target = Target {
            url: "http://h/client/v4".into(),
            token: Secret::new("hush"),
            account: None,
            registry: "h".into(),
        };
        write(&path, &target).unwrap();
        assert_eq!(read(&path).unwrap(), Some(target));
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs_err::write(&path, "{\"token\": hush").unwrap();
        assert!(!format!("{:?}", read(&path).unwrap_err()).contains("hush"));
    }
}
