//! `login` and `logout`: credentials in Docker's `config.json`, where pulls and pushes find them.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::Credentials;
use serde_json::{Map, Value, json};

use super::Ended;
use super::args::{LoginArgs, LogoutArgs};
use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// Docker Hub's key in the file, by an old habit.
const HUB: &str = "https://index.docker.io/v1/";
/// Longest password that is read.
const MOST_PASSWORD: u64 = 1024 * 1024;

pub(super) fn login(args: &LoginArgs, printer: &Printer) -> Ended {
    let username = args.username.clone().filter(|name| !name.is_empty());
    let username =
        username.ok_or_else(|| usage("a user name is needed", "give it with `--username`"))?;
    if username.contains(':') {
        return Err(CliError::new(Kind::Usage, "a user name has no `:`"));
    }
    let password = match (&args.password, args.password_stdin) {
        (_, true) => read_password()?,
        (Some(password), false) => {
            printer.warning(
                "a password on the command line can be seen by others: use --password-stdin",
            );
            password.clone()
        }
        (None, false) => {
            return Err(usage("a password is needed", "give it with `--password-stdin`"));
        }
    };
    let server = args.server.as_deref().unwrap_or_default();
    let credentials = Credentials { username: username.clone(), password: password.clone() };
    agent::engine::log_in(server, &credentials).map_err(|error| super::failed(&error))?;
    let key = key(args.server.as_deref());
    let auth = STANDARD.encode(format!("{username}:{password}"));
    change(&path()?, |auths| {
        auths.insert(key, json!({"auth": auth}));
        true
    })?;
    printer.data("Login Succeeded");
    Ok(0)
}

pub(super) fn logout(args: &LogoutArgs, printer: &Printer) -> Ended {
    let key = key(args.server.as_deref());
    let shown = key.clone();
    let mut known = false;
    change(&path()?, |auths| {
        known = auths.remove(&key).is_some();
        known
    })?;
    match known {
        true => printer.data(format_args!("Removing login credentials for {shown}")),
        false => printer.data(format_args!("Not logged in to {shown}")),
    }
    Ok(0)
}

fn usage(text: &str, hint: &str) -> CliError {
    CliError::new(Kind::Usage, text).hint(hint)
}

fn read_password() -> Result<String, CliError> {
    let mut password = String::new();
    let read = std::io::stdin().take(MOST_PASSWORD).read_to_string(&mut password);
    read.map_err(|error| CliError::failure("read the password", error))?;
    let password = password.trim_end_matches(['\n', '\r']).to_owned();
    match password.is_empty() {
        true => Err(usage("the password is empty", "write it to standard input")),
        false => Ok(password),
    }
}

/// A registry's key in the file.
fn key(server: Option<&str>) -> String {
    match agent::engine::registry_host(server.unwrap_or_default()) {
        host if host == image::DOCKER_HUB => HUB.to_owned(),
        host => host,
    }
}

/// `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
fn path() -> Result<PathBuf, CliError> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = set("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(set("HOME")?).join(".docker")));
    let folder =
        folder.ok_or_else(|| usage("there is no home folder", "set HOME or DOCKER_CONFIG"))?;
    Ok(folder.join("config.json"))
}

/// Changes `auths` and leaves all else in the file as it is. Nobody but its owner can read it, and
/// nobody sees half of it.
fn change(
    path: &Path,
    change: impl FnOnce(&mut Map<String, Value>) -> bool,
) -> Result<(), CliError> {
    let mut config = match fs_err::read(path) {
        // Only the place of a syntax error is told: the file holds secrets.
        Ok(bytes) => serde_json::from_slice::<Value>(&bytes).map_err(|error| {
            let text = format!("{} is not valid at line {}", path.display(), error.line());
            CliError::new(Kind::Failure, text)
        })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => json!({}),
        Err(error) => return Err(CliError::failure("read Docker's configuration", error)),
    };
    let broken = || CliError::new(Kind::Failure, format!("{} is no JSON object", path.display()));
    let auths = config.as_object_mut().ok_or_else(broken)?.entry("auths").or_insert(json!({}));
    if !change(auths.as_object_mut().ok_or_else(broken)?) {
        return Ok(());
    }
    let write = || {
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let text = serde_json::to_vec_pretty(&config).map_err(std::io::Error::from)?;
        let new = path.with_extension(format!("json.{}", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&new)?.write_all(&text)?;
        fs_err::rename(&new, path)
    };
    write()
        .map_err(|error: std::io::Error| CliError::failure("write Docker's configuration", error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn credentials_are_added_and_all_else_stays_and_is_private() {
        let folder = std::env::temp_dir().join(format!("berth-config-{}", std::process::id()));
        let path = folder.join("deep/config.json");
        fs_err::create_dir_all(folder.join("deep")).unwrap();
        fs_err::write(&path, r#"{"credsStore":"x","auths":{"a.io":{"auth":"eA=="}}}"#).unwrap();
        let add = |auths: &mut Map<String, Value>| auths.insert("b.io".into(), json!({})).is_none();
        change(&path, add).unwrap();
        let text = fs_err::read_to_string(&path).unwrap();
        assert!(
            text.contains("credsStore") && text.contains("a.io") && text.contains("b.io"),
            "{text}"
        );
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs_err::write(&path, "{\"auths\": hunter2").unwrap();
        let error = change(&path, |_| true).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        fs_err::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn docker_hub_has_its_old_key() {
        assert_eq!(key(None), HUB);
        assert_eq!(key(Some("docker.io")), HUB);
        assert_eq!(key(Some("https://localhost:5000/")), "localhost:5000");
    }
}
