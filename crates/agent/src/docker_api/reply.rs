//! Replies in the Docker Engine API's form: a status and JSON, errors as `{"message": …}`.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use model::instance::Rejected;
use serde_json::{Value, json};

use super::request::ParseError;

/// A whole HTTP response.
pub(crate) type HttpReply = Response<BoxBody<Bytes, std::io::Error>>;

/// A body that is there as a whole.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> BoxBody<Bytes, std::io::Error> {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// What is answered, before it becomes HTTP.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: StatusCode,
    /// The body; `None` for none.
    pub(crate) body: Option<Value>,
}

impl Reply {
    /// A status and nothing else.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, body: None }
    }

    /// 200 with a body.
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body: Some(body) }
    }

    /// 201 with the new thing's id.
    pub(crate) fn created(id: &str) -> Self {
        Self { status: StatusCode::CREATED, body: Some(json!({"Id": id, "Warnings": []})) }
    }

    /// An error with its text.
    pub(crate) fn error(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, body: Some(json!({"message": message.into()})) }
    }

    /// 404 in Docker's words.
    pub(crate) fn no_such_container(name: &impl ToString) -> Self {
        let name = name.to_string();
        Self::error(StatusCode::NOT_FOUND, format!("No such container: {name}"))
    }

    /// The reply as HTTP.
    pub(crate) fn into_http(self) -> HttpReply {
        let body = self.body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let mut response = Response::new(whole(body));
        *response.status_mut() = self.status;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        response
    }
}

impl From<ParseError> for Reply {
    fn from(error: ParseError) -> Self {
        let status = match error {
            ParseError::Malformed(_) => StatusCode::BAD_REQUEST,
            ParseError::NoSuchContainer(_) => StatusCode::NOT_FOUND,
            ParseError::NotSupported(_) | ParseError::Unknown { .. } => StatusCode::NOT_IMPLEMENTED,
        };
        Self::error(status, error.to_string())
    }
}

impl From<Rejected> for Reply {
    fn from(rejected: Rejected) -> Self {
        let status = match rejected {
            Rejected::NotThere => StatusCode::NOT_FOUND,
            Rejected::NameInUse | Rejected::NotRunning => StatusCode::CONFLICT,
            Rejected::AlreadyStarted => return Self::empty(StatusCode::NOT_MODIFIED),
            Rejected::Unexpected => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::error(status, rejected.to_string())
    }
}
