//! Building answers.

use std::io;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use image::ContentDigest;
use serde::Serialize;

/// The body of an answer.
pub type Body = BoxBody<Bytes, io::Error>;

pub(crate) const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub(crate) const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// A body that is there as a whole.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// An answer under construction.
#[derive(Debug)]
pub(crate) struct Reply(Response<Body>);

impl Reply {
    pub(crate) fn new(status: StatusCode) -> Self {
        let mut response = Response::new(whole(Bytes::new()));
        *response.status_mut() = status;
        Self(response)
    }

    pub(crate) fn json(value: &impl Serialize) -> Self {
        let bytes = serde_json::to_vec(value).expect("an answer has only strings and numbers");
        Self::new(StatusCode::OK).with(header::CONTENT_TYPE, "application/json").body(whole(bytes))
    }

    pub(crate) fn with(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        // Everything said here is made of names and numbers that were checked.
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.0.headers_mut().append(name, value);
        }
        self
    }

    pub(crate) fn digest(self, digest: &ContentDigest) -> Self {
        self.with(DIGEST, digest.as_str())
    }

    pub(crate) fn body(mut self, body: Body) -> Self {
        *self.0.body_mut() = body;
        self
    }

    pub(crate) fn done(self) -> Response<Body> {
        self.0
    }
}
