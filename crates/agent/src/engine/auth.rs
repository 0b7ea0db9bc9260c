//! Who a caller is to a registry: `POST /auth`, and what the headers of pulls, pushes and builds say.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use image::{Credentials, LoginError, Silent};
use serde::Deserialize;
use serde_json::json;

use super::Inner;
use super::api::Call;
use super::error::EngineError;
use super::reply::{Answer, ok};

/// `POST /auth`: whether a registry takes these credentials.
pub(super) async fn auth(engine: &Arc<Inner>, call: Call) -> Answer {
    let body = call.json().await?;
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    let credentials = Credentials { username: text("username"), password: text("password") };
    let server = text("serveraddress");
    engine.images.blocking(move |_| log_in(&server, &credentials)).await?;
    ok(json!({"Status": "Login Succeeded", "IdentityToken": ""}))
}

/// Asks the registry itself.
///
/// # Errors
/// It does not take them, or cannot be asked; in Docker's words.
pub fn log_in(server: &str, credentials: &Credentials) -> Result<(), EngineError> {
    if credentials.username.is_empty() {
        return Err(EngineError::BadParameter("no user name".to_owned()));
    }
    image::log_in(&registry_host(server), credentials, &Silent).map_err(|error| match error {
        LoginError::Refused { attempt, .. } => EngineError::Unauthorized(format!(
            "login attempt to {} failed with status: {}",
            attempt.url, attempt.outcome
        )),
        LoginError::Unavailable { attempt, .. } => {
            EngineError::Failed(format!("Get \"{}\": {}", attempt.url, attempt.outcome))
        }
        error => EngineError::BadParameter(format!("failed to {error}")),
    })
}

/// A registry's host, as credentials name it: by URL, by an old name of Docker Hub's, or not at all.
#[must_use]
pub fn registry_host(server: &str) -> String {
    let host = server.trim_start_matches("https://").trim_start_matches("http://");
    match host.split('/').next().unwrap_or(host) {
        "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" => {
            image::DOCKER_HUB.to_owned()
        }
        host => host.to_owned(),
    }
}

/// What `X-Registry-Auth` holds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AuthConfig {
    username: String,
    password: String,
    auth: String,
}

impl AuthConfig {
    fn credentials(self) -> Option<Credentials> {
        if !self.username.is_empty() {
            return Some(Credentials { username: self.username, password: self.password });
        }
        let text = String::from_utf8(decode(&self.auth)?).ok()?;
        let (username, password) = text.split_once(':')?;
        Some(Credentials { username: username.to_owned(), password: password.to_owned() })
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let engines = [&URL_SAFE, &URL_SAFE_NO_PAD, &STANDARD, &STANDARD_NO_PAD];
    engines.iter().find_map(|engine| engine.decode(text).ok())
}

/// Base64 of a JSON object with name and password. Its content is in no error's text.
pub(super) fn credentials(header: Option<&str>) -> Result<Option<Credentials>, EngineError> {
    let Some(header) = header.filter(|header| !header.is_empty()) else { return Ok(None) };
    let wrong = || EngineError::BadParameter("X-Registry-Auth is no base64 of JSON".to_owned());
    let json = decode(header).ok_or_else(wrong)?;
    if json.iter().all(u8::is_ascii_whitespace) || json == b"null" {
        return Ok(None);
    }
    let config: AuthConfig = serde_json::from_slice(&json).map_err(|_| wrong())?;
    Ok(config.credentials())
}

/// `X-Registry-Config`: the same for each registry's host.
pub(super) fn registry_config(
    header: Option<&str>,
) -> Result<BTreeMap<String, Credentials>, EngineError> {
    let Some(header) = header.filter(|header| !header.is_empty()) else {
        return Ok(BTreeMap::new());
    };
    let wrong = || EngineError::BadParameter("X-Registry-Config is no base64 of JSON".to_owned());
    let json = decode(header).ok_or_else(wrong)?;
    let configs: Option<BTreeMap<String, AuthConfig>> =
        serde_json::from_slice(&json).map_err(|_| wrong())?;
    let configs = configs.unwrap_or_default().into_iter();
    Ok(configs
        .filter_map(|(key, config)| Some((registry_host(&key), config.credentials()?)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base64(text: &str) -> String {
        URL_SAFE.encode(text)
    }

    #[test]
    fn credentials_are_read_in_each_form() {
        let header = base64(r#"{"username":"u","password":"p","serveraddress":"x"}"#);
        let found = credentials(Some(&header)).unwrap().unwrap();
        assert_eq!((found.username.as_str(), found.password.as_str()), ("u", "p"));
        let auth = STANDARD.encode("u:p:q");
        let header = base64(&format!(r#"{{"auth":"{auth}"}}"#));
        assert_eq!(credentials(Some(&header)).unwrap().unwrap().password, "p:q");
        assert!(credentials(Some(&base64("{}"))).unwrap().is_none());
        let error = credentials(Some(&base64("hunter2"))).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn a_builds_credentials_are_by_host() {
        let header = base64(r#"{"https://index.docker.io/v1/":{"username":"u","password":"p"}}"#);
        let found = registry_config(Some(&header)).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["docker.io"]);
    }
}
