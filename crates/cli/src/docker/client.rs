//! Calls of the Engine API on a unix socket: one connection each.

use std::path::PathBuf;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

pub(super) use crate::api::escaped;
use crate::error::{CliError, Kind};

/// The variable that names the engine.
const DOCKER_HOST: &str = "DOCKER_HOST";

/// Where an engine is asked.
#[derive(Debug, Clone)]
pub(super) struct Client {
    socket: PathBuf,
}

/// Something that was not answered with success.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl Client {
    /// The engine that `--host` or `DOCKER_HOST` names, else that of `berth docker serve`.
    pub(super) fn new(host: Option<&str>) -> Result<Self, CliError> {
        let variable = std::env::var(DOCKER_HOST).ok().filter(|host| !host.is_empty());
        let Some(host) = host.map(str::to_owned).or(variable) else {
            return Ok(Self { socket: super::default_socket() });
        };
        match host.strip_prefix("unix://") {
            Some(path) => Ok(Self { socket: path.into() }),
            None => {
                let text = format!("`{host}` is no engine that can be asked");
                Err(CliError::new(Kind::Usage, text).hint("an engine is named as unix://PATH"))
            }
        }
    }

    /// Its address, for people.
    pub(super) fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Whether somebody serves it.
    pub(super) fn is_there(&self) -> bool {
        std::os::unix::net::UnixStream::connect(&self.socket).is_ok()
    }

    async fn connect(&self) -> Result<UnixStream, CliError> {
        UnixStream::connect(&self.socket).await.map_err(|error| {
            let text = format!("no engine answers at {}: {error}", self.address());
            CliError::new(Kind::Failure, text)
                .hint("start one with `berth docker serve`, or set DOCKER_HOST")
        })
    }

    async fn send(
        &self,
        method: Method,
        target: &str,
        body: Option<&Value>,
        upgrade: bool,
    ) -> Result<Response<Incoming>, CliError> {
        let failed = |error: &dyn std::fmt::Display| {
            CliError::new(Kind::Failure, format!("failed to ask {}: {error}", self.address()))
        };
        let stream = TokioIo::new(self.connect().await?);
        let (mut sender, connection) =
            http1::handshake(stream).await.map_err(|error| failed(&error))?;
        // Its end is the end of the answer's body, or of what it became.
        tokio::spawn(async move { connection.with_upgrades().await });
        let text = body.map(Value::to_string).unwrap_or_default();
        let mut request =
            Request::builder().method(method).uri(target).header(header::HOST, "docker");
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if upgrade {
            request = request.header(header::CONNECTION, "Upgrade").header(header::UPGRADE, "tcp");
        }
        let request = request.body(Full::new(Bytes::from(text))).map_err(|error| failed(&error))?;
        sender.send_request(request).await.map_err(|error| failed(&error))
    }

    /// A call whose answer may be a refusal.
    pub(super) async fn ask(
        &self,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> Result<Result<Value, Refused>, CliError> {
        let response = self.send(method, target, body, false).await?;
        let status = response.status();
        let body = response.into_body().collect().await;
        let body = body.map_err(|error| CliError::failure("read the engine's answer", error))?;
        let body = body.to_bytes();
        let value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(Ok(value));
        }
        Ok(Err(Refused { status, message: message(&value, &body) }))
    }

    /// A call that has to succeed.
    pub(super) async fn call(
        &self,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> Result<Value, CliError> {
        self.ask(method, target, body).await?.map_err(Refused::error)
    }

    /// The body of an answer, as it comes.
    pub(super) async fn stream(&self, method: Method, target: &str) -> Result<Incoming, CliError> {
        let response = self.send(method, target, None, false).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let body = response.into_body().collect().await.map(|body| body.to_bytes());
        let body = body.unwrap_or_default();
        let value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Err(Refused { status, message: message(&value, &body) }.error())
    }

    /// A connection that becomes a program's streams.
    pub(super) async fn hijack(
        &self,
        target: &str,
        body: Option<&Value>,
    ) -> Result<TokioIo<Upgraded>, CliError> {
        let response = self.send(Method::POST, target, body, true).await?;
        let status = response.status();
        if status == StatusCode::SWITCHING_PROTOCOLS {
            let upgraded = hyper::upgrade::on(response).await;
            let upgraded = upgraded.map_err(|error| CliError::failure("attach", error))?;
            return Ok(TokioIo::new(upgraded));
        }
        let body = response.into_body().collect().await.map(|body| body.to_bytes());
        let body = body.unwrap_or_default();
        let value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Err(Refused { status, message: message(&value, &body) }.error())
    }
}

fn message(value: &Value, body: &[u8]) -> String {
    match value["message"].as_str() {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(body).trim().to_owned(),
    }
}

impl Refused {
    /// The refusal as this command's error.
    pub(super) fn error(self) -> CliError {
        let text = match self.message.as_str() {
            "" => self.status.to_string(),
            message => message.to_owned(),
        };
        CliError::new(Kind::Failure, format!("Error response from daemon: {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unix_sockets_are_engines() {
        assert_eq!(Client::new(Some("unix:///x")).unwrap().address(), "unix:///x");
        assert!(Client::new(Some("tcp://1.2.3.4:2375")).is_err());
    }
}
