//! The envelope of every answer: `{"success", "errors", "messages", "result"}`.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;
use serde_json::{Value, json};

/// The body of an answer.
pub type Body = Full<Bytes>;

/// An answer that is a success.
pub(crate) fn success(result: &impl Serialize) -> Response<Body> {
    let body = json!({"success": true, "errors": [], "messages": [], "result": result});
    response(StatusCode::OK, &body)
}

/// An answer that is none.
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
