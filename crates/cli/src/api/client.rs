//! One request, one answer.

use std::fmt;
use std::io::Read;
use std::time::Duration;

use project::config::Secret;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use ureq::http::{self, Method, header};
use ureq::{Agent, SendBody};

use super::error::ApiError;
use super::form::Form;
use super::socket::{self, Socket, SocketError};
use super::target::Target;
use crate::error::{CliError, Kind};

/// Largest answer: a list of a thousand versions is smaller.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
/// An answer may take as long as the platform pulls an image.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// A platform's API, asked with one token.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: Agent,
    url: String,
    token: Secret,
    account: String,
}

/// What is asked.
#[derive(Debug)]
pub(crate) struct Request {
    method: Method,
    path: String,
    body: Option<(String, Content)>,
    /// A token in the place of the client's.
    token: Option<Secret>,
    /// How long the answer may take.
    patience: Duration,
}

/// What a request carries.
enum Content {
    Bytes(Vec<u8>),
    /// As much as comes, while it comes.
    Stream(Box<dyn Read + Send>),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").finish_non_exhaustive()
    }
}

impl Request {
    fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), body: None, token: None, patience: PATIENCE }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    pub(crate) fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path)
    }

    pub(crate) fn patch(path: impl Into<String>) -> Self {
        Self::new(Method::PATCH, path)
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    pub(crate) fn json(mut self, body: &Value) -> Self {
        let bytes = body.to_string().into_bytes();
        self.body = Some(("application/json".to_owned(), Content::Bytes(bytes)));
        self
    }

    pub(crate) fn form(mut self, form: Form) -> Self {
        let (kind, bytes) = form.finish();
        self.body = Some((kind, Content::Bytes(bytes)));
        self
    }

    /// What is read of it, to its end; it is read by a thread that may wait.
    pub(crate) fn stream(mut self, reader: impl Read + Send + 'static) -> Self {
        let kind = "application/octet-stream".to_owned();
        self.body = Some((kind, Content::Stream(Box::new(reader))));
        self
    }

    /// Its answer takes at least that long.
    pub(crate) fn takes(mut self, time: Duration) -> Self {
        self.patience = PATIENCE.saturating_add(time);
        self
    }

    pub(crate) fn token(mut self, token: &str) -> Self {
        self.token = Some(Secret::new(token));
        self
    }
}

impl Client {
    /// A client of the target's account.
    ///
    /// # Errors
    /// The target's URL is none, or the API does not say whose the token is.
    pub(crate) async fn open(target: &Target) -> Result<Self, CliError> {
        let agent = image::agent_for(&target.url).ok_or_else(|| {
            CliError::new(Kind::Config, format!("{} is no URL of an API", target.url))
        })?;
        let mut client = Self {
            agent,
            url: target.url.clone(),
            token: target.token.clone(),
            account: target.account.clone().unwrap_or_default(),
        };
        if client.account.is_empty() {
            let accounts: Vec<Value> = client
                .ask(Request::get("/accounts"))
                .await
                .map_err(super::failed("ask whose the token is"))?;
            let first = accounts.first().and_then(|account| account["id"].as_str());
            client.account = first.unwrap_or_default().to_owned();
        }
        Ok(client)
    }

    /// The account.
    pub(crate) fn account(&self) -> &str {
        &self.account
    }

    /// The path of something in the account.
    pub(crate) fn path(&self, below: &str) -> String {
        format!("/accounts/{}{below}", self.account)
    }

    /// Asks, and takes the answer's `result`.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, ApiError> {
        self.ask_part(request).await.map(|(result, _)| result)
    }

    /// The same, and what asks for the next part if the result is a part of a list.
    pub(crate) async fn ask_part<T: DeserializeOwned>(
        &self,
        request: Request,
    ) -> Result<(T, Option<String>), ApiError> {
        let (client, path) = (self.clone(), request.path.clone());
        let unexpected = |reason: String| ApiError::Unexpected { path: path.clone(), reason };
        let asked = tokio::task::spawn_blocking(move || client.send(request)).await;
        let mut envelope = asked.map_err(|error| unexpected(error.to_string()))??;
        let next = envelope["result_info"]["next_page_token"].as_str().map(str::to_owned);
        let result = serde_json::from_value(envelope["result"].take());
        Ok((result.map_err(|error| unexpected(error.to_string()))?, next))
    }

    /// The same, of what may be missing.
    pub(crate) async fn find<T: DeserializeOwned>(
        &self,
        request: Request,
    ) -> Result<Option<T>, ApiError> {
        match self.ask(request).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a WebSocket of the platform's that speaks this protocol.
    pub(crate) async fn socket(
        &self,
        path: &str,
        protocol: &'static str,
    ) -> Result<Socket, ApiError> {
        // `https` becomes `wss`.
        let url = format!("{}{path}", self.url.replacen("http", "ws", 1));
        let opened = socket::open(&url, Some(protocol), Some(&self.token)).await;
        opened.map_err(|error| match error {
            SocketError::Refused { status, code, message } => {
                let (method, path) = ("GET".to_owned(), path.to_owned());
                ApiError::Refused { status, code, message, method, path }
            }
            error => ApiError::Socket(error),
        })
    }

    fn send(&self, mut request: Request) -> Result<Value, ApiError> {
        let url = format!("{}{}", self.url, request.path);
        let token = request.token.as_ref().unwrap_or(&self.token);
        let mut builder = http::Request::builder()
            .method(request.method.clone())
            .uri(&url)
            .header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        let body = match request.body.take() {
            None => SendBody::none(),
            Some((kind, Content::Bytes(bytes))) => {
                builder = builder
                    .header(header::CONTENT_TYPE, kind)
                    .header(header::CONTENT_LENGTH, bytes.len());
                SendBody::from_owned_reader(std::io::Cursor::new(bytes))
            }
            Some((kind, Content::Stream(reader))) => {
                builder = builder.header(header::CONTENT_TYPE, kind);
                SendBody::from_owned_reader(reader)
            }
        };
        let unreachable = |reason: String| ApiError::Unreachable { url: self.url.clone(), reason };
        let built = builder.body(body).map_err(|error| unreachable(error.to_string()))?;
        let built = self
            .agent
            .configure_request(built)
            .timeout_recv_response(Some(request.patience))
            .build();
        let mut answer = self.agent.run(built).map_err(|error| unreachable(error.to_string()))?;
        let status = answer.status().as_u16();
        let bytes = answer.body_mut().with_config().limit(MOST_BYTES).read_to_vec();
        let bytes = bytes.map_err(|error| unreachable(error.to_string()))?;
        let foreign = ApiError::Foreign { url: self.url.clone(), status };
        let envelope: Value = serde_json::from_slice(&bytes).map_err(|_| foreign)?;
        checked(envelope, status, &request)
    }
}

/// A part of a path or a query, escaped.
pub(crate) fn escaped(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// An envelope that is a success.
fn checked(envelope: Value, status: u16, request: &Request) -> Result<Value, ApiError> {
    if envelope["success"] == json!(true) {
        return Ok(envelope);
    }
    let error = &envelope["errors"][0];
    Err(ApiError::Refused {
        status,
        code: error["code"].as_u64().unwrap_or_default(),
        message: error["message"].as_str().unwrap_or("no reason is given").to_owned(),
        method: request.method.to_string(),
        path: request.path.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        assert_eq!(escaped("a/b c+d"), "a%2Fb%20c%2Bd");
    }

    #[test]
    fn an_envelope_is_a_success_or_the_first_error() {
        let request = Request::get("/user");
        let good = json!({"success": true, "result": {"a": 1}, "errors": []});
        assert_eq!(checked(good, 200, &request).unwrap()["result"], json!({"a": 1}));
        let bad = json!({"success": false, "errors": [{"code": 10007, "message": "none"}]});
        let error = checked(bad, 404, &request).unwrap_err();
        assert!(error.is_missing());
        assert_eq!(error.to_string(), "none [code: 10007]\nGET /user");
        assert!(checked(json!([]), 500, &request).is_err());
    }
}
