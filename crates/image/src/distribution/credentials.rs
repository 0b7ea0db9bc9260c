//! Credentials for a registry: those the caller gave, else those of Docker's `config.json`.

use std::collections::BTreeMap;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;

use super::client::Access;
use crate::options::Credentials;
use crate::reference::DOCKER_HUB;

/// Docker's file, as far as we use it.
#[derive(Debug, Default, Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Debug, Default, Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// Finds the credentials for a registry host. A file that is not there is no error.
pub(super) fn find(host: &str, access: &Access<'_>) -> Result<Option<Credentials>, String> {
    if let Some(credentials) = access.credentials.get(host) {
        return Ok(Some(credentials.clone()));
    }
    let Some(path) = access.docker_config else { return Ok(None) };
    let text = match fs_err::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    // Only the place of a syntax error is told: the file holds secrets.
    let config: DockerConfig = serde_json::from_str(&text)
        .map_err(|error| format!("{} is not valid at line {}", path.display(), error.line()))?;
    let entry = config.auths.iter().find(|(key, _)| names(key, host));
    Ok(entry.and_then(|(_, entry)| entry.credentials()))
}

/// Whether a key of `auths` means this host: keys may be URLs, and Docker Hub has an old name.
fn names(key: &str, host: &str) -> bool {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.split('/').next().unwrap_or(key);
    let hub = |name: &str| matches!(name, DOCKER_HUB | "index.docker.io" | "registry-1.docker.io");
    key == host || (hub(key) && hub(host))
}

impl Entry {
    fn credentials(&self) -> Option<Credentials> {
        if let Some(auth) = self.auth.as_deref().filter(|auth| !auth.is_empty()) {
            let auth = auth.trim();
            let bytes = STANDARD.decode(auth).or_else(|_| STANDARD_NO_PAD.decode(auth)).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            let (username, password) = text.split_once(':')?;
            return Some(Credentials {
                username: username.to_owned(),
                password: password.trim_end_matches('\0').to_owned(),
            });
        }
        let username = self.username.clone()?;
        Some(Credentials { username, password: self.password.clone()? })
    }
}

/// The value of `Authorization` for name and password.
pub(super) fn basic(credentials: &Credentials) -> String {
    let text = format!("{}:{}", credentials.username, credentials.password);
    format!("Basic {}", STANDARD.encode(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::PullOptions;

    fn options(json: &str) -> (tempfile::TempDir, PullOptions) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        fs_err::write(&path, json).unwrap();
        (dir, PullOptions { docker_config: Some(path), ..PullOptions::default() })
    }

    #[test]
    fn docker_hubs_old_key_and_urls_are_understood() {
        let auth = STANDARD.encode("me:secret:with:colons");
        let json = format!(
            r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{auth}"}},
                "ghcr.io":{{"username":"u","password":"p"}},"empty.io":{{}}}},"credsStore":"x"}}"#
        );
        let (_dir, options) = options(&json);
        let hub = find(DOCKER_HUB, &options.access()).unwrap().unwrap();
        assert_eq!((hub.username.as_str(), hub.password.as_str()), ("me", "secret:with:colons"));
        assert_eq!(find("ghcr.io", &options.access()).unwrap().unwrap().username, "u");
        assert_eq!(find("empty.io", &options.access()).unwrap(), None);
        assert_eq!(find("other.io", &options.access()).unwrap(), None);
    }

    #[test]
    fn given_credentials_win_over_the_file() {
        let (_dir, mut options) = options(r#"{"auths":{"a.io":{"username":"f","password":"f"}}}"#);
        let mine = Credentials { username: "mine".into(), password: "p".into() };
        options.credentials.insert("a.io".into(), mine.clone());
        assert_eq!(find("a.io", &options.access()).unwrap(), Some(mine));
    }

    #[test]
    fn a_broken_file_is_named_without_its_content() {
        let (_dir, options) = options("{\"auths\": hunter2");
        let error = find("a.io", &options.access()).unwrap_err();
        assert!(error.contains("config.json") && !error.contains("hunter2"), "{error}");
    }
}
