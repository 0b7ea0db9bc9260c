//! The envelope of every answer: `{"success", "errors", "messages", "result"}`.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;
use serde_json::{Value, json};

use crate::pages::PageWish;

/// The body of an answer.
pub type Body = Full<Bytes>;

/// An answer that is a success.
pub(crate) fn success(result: &impl Serialize) -> Response<Body> {
    let body = json!({"success": true, "errors": [], "messages": [], "result": result});
    response(StatusCode::OK, &body)
}

/// A list that is whole.
pub(crate) fn page<T: Serialize>(result: &[T]) -> Response<Body> {
    let count = result.len();
    let info = json!({"page": 1, "per_page": count.max(1), "count": count, "total_count": count,
        "total_pages": 1});
    let body = json!({"success": true, "errors": [], "messages": [], "result": result,
        "result_info": info});
    response(StatusCode::OK, &body)
}

/// A part of a list; the next part begins at the cursor.
pub(crate) fn cursor_page<T: Serialize>(result: &[T], cursor: Option<&str>) -> Response<Body> {
    let body = json!({"success": true, "errors": [], "messages": [], "result": result,
        "result_info": {"count": result.len(), "cursor": cursor}});
    response(StatusCode::OK, &body)
}

/// A part of a list, with what asks for the next one, in the words of Cloudflare's dashboard.
pub(crate) fn token_page(
    result: &impl Serialize,
    wish: &PageWish,
    next: Option<&str>,
) -> Response<Body> {
    let info = json!({"per_page": wish.per_page, "page_token": wish.token,
        "next_page_token": next});
    let body = json!({"success": true, "errors": [], "messages": [], "result": result,
        "result_info": info});
    response(StatusCode::OK, &body)
}

/// An answer that is none. Codes are Cloudflare's (`spec/wrangler.md` §1).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    status: StatusCode,
    code: u32,
    message: String,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// What a caller sent makes no sense.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, 1000, message)
    }

    /// A Worker that cannot run.
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, 10021, message)
    }

    pub(crate) fn no_script() -> Self {
        Self::new(StatusCode::NOT_FOUND, 10007, "This Worker does not exist on your account.")
    }

    pub(crate) fn no_service() -> Self {
        Self::new(StatusCode::NOT_FOUND, 10090, "This service does not exist on your account.")
    }

    pub(crate) fn no_version() -> Self {
        Self::new(StatusCode::NOT_FOUND, 100_146, "There is no such version of this Worker.")
    }

    pub(crate) fn no_application(id: &str) -> Self {
        let message = format!("APPLICATION_NOT_FOUND: there is no container application {id}");
        Self::new(StatusCode::NOT_FOUND, 1000, message)
    }

    pub(crate) fn no_instance(id: &str) -> Self {
        let message = format!("INSTANCE_NOT_FOUND: there is no instance {id}, or no more");
        Self::new(StatusCode::NOT_FOUND, 1000, message)
    }

    pub(crate) fn no_file(path: &str) -> Self {
        let message = format!("FILE_NOT_FOUND: the instance has nothing at {path}");
        Self::new(StatusCode::NOT_FOUND, 1000, message)
    }

    pub(crate) fn no_rollout(id: &str) -> Self {
        let message = format!("ROLLOUT_NOT_FOUND: this application has no rollout {id}");
        Self::new(StatusCode::NOT_FOUND, 1000, message)
    }

    pub(crate) fn no_secret_store() -> Self {
        Self::new(StatusCode::NOT_FOUND, 1001, "There is no such store of secrets.")
    }

    pub(crate) fn no_stored_secret() -> Self {
        Self::new(StatusCode::NOT_FOUND, 1001, "There is no such secret in this store.")
    }

    /// Somebody else was first: the whole request may be made again.
    pub(crate) fn conflict() -> Self {
        let message = "somebody else has changed this meanwhile; try again";
        Self::new(StatusCode::CONFLICT, 10040, message)
    }

    /// A fault of ours.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        let message = message.into();
        tracing::error!(message, "request");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, 10013, message)
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong, in words.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let error = json!({"code": self.code, "message": self.message});
        let body = json!({"success": false, "errors": [error], "messages": [], "result": null});
        response(self.status, &body)
    }
}

fn response(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
