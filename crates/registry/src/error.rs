//! Errors as the specification spells them: a status, a code and a message.

use http::header::{HeaderName, HeaderValue};
use http::{Response, StatusCode, header};
use image::{ManifestError, RepositoryError, StoreError};
use serde_json::json;

use crate::reply::{Body, whole};

/// The codes of the specification, and one of ours for a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    Denied,
    DigestInvalid,
    DiskFull,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    TagInvalid,
    Unauthorized,
    Unknown,
    Unsupported,
}

impl Code {
    fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::Denied => "DENIED",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::DiskFull => "DISK_FULL",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::TagInvalid => "TAG_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Unknown => "UNKNOWN",
            Self::Unsupported => "UNSUPPORTED",
        }
    }
}

/// What a request is answered that is not done.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: Code,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new() }
    }

    pub(crate) fn bad_request(code: Code, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn not_found(code: Code, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, Code::Denied, message)
    }

    /// The method is not one of those that this path has.
    pub(crate) fn method(allowed: &'static str) -> Self {
        let message = format!("this path has {allowed} alone");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, message)
            .with(header::ALLOW, allowed)
    }

    pub(crate) fn no_upload(id: &str) -> Self {
        let message = format!("there is no upload {id} (any more): begin a new one");
        Self::not_found(Code::BlobUploadUnknown, message)
    }

    /// What a client need not know: it goes to the log.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        let message = "the registry could not do that; its log says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown, message)
    }

    pub(crate) fn with(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        // What a header cannot carry is left out.
        self.headers.extend(HeaderValue::from_str(value.as_ref()).ok().map(|value| (name, value)));
        self
    }

    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let error = json!({"code": self.code.as_str(), "message": self.message, "detail": null});
        let mut response = Response::new(whole(json!({"errors": [error]}).to_string()));
        *response.status_mut() = self.status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::DiskFull(source) => {
                tracing::error!(error = %source, "the disk is full");
                let message = "the registry's disk is full: nothing was kept of this request; \
                               remove images there or give it more space";
                Self::new(StatusCode::INSUFFICIENT_STORAGE, Code::DiskFull, message)
            }
            error => Self::internal(&error),
        }
    }
}

impl From<RepositoryError> for ApiError {
    fn from(error: RepositoryError) -> Self {
        let text = error.to_string();
        match error {
            RepositoryError::Store(error) => error.into(),
            RepositoryError::Manifest(error) => error.into(),
            RepositoryError::Digest { .. } => Self::bad_request(Code::DigestInvalid, text),
            RepositoryError::ImmutableTag { .. } => Self::denied(text),
            RepositoryError::NoUpload { id } => Self::no_upload(&id),
            RepositoryError::Upstream(error) => {
                tracing::warn!(%error, "the registry behind this one");
                Self::new(StatusCode::BAD_GATEWAY, Code::Unknown, text)
            }
            error => Self::internal(&error),
        }
    }
}

impl From<ManifestError> for ApiError {
    fn from(error: ManifestError) -> Self {
        let (status, code) = match &error {
            ManifestError::TooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, Code::ManifestInvalid)
            }
            ManifestError::Missing { .. } => (StatusCode::NOT_FOUND, Code::ManifestBlobUnknown),
            ManifestError::Image { .. } => (StatusCode::PAYLOAD_TOO_LARGE, Code::SizeInvalid),
            _ => (StatusCode::BAD_REQUEST, Code::ManifestInvalid),
        };
        Self::new(status, code, error.to_string())
    }
}
