//! Blobs: whole or in part, and taking them away from a repository.

use std::sync::Arc;

use http::request::Parts;
use http::{Method, Response, StatusCode, header};
use image::{Blob, ContentDigest, RepositoryName};

use crate::api::Api;
use crate::body::{blocking, part};
use crate::error::{ApiError, Code};
use crate::range::{Wanted, wanted};
use crate::reply::{Body, Reply};

/// A digest as a client wrote it.
pub(crate) fn digest(text: &str) -> Result<ContentDigest, ApiError> {
    text.parse().map_err(|error: image::ContentDigestError| {
        ApiError::bad_request(Code::DigestInvalid, error.to_string())
    })
}

/// `/v2/<name>/blobs/<digest>`
pub(crate) async fn answer(
    api: &Arc<Api>,
    name: &RepositoryName,
    digest: ContentDigest,
    head: &Parts,
) -> Result<Response<Body>, ApiError> {
    match head.method {
        Method::GET | Method::HEAD => get(api, name, digest, head).await,
        Method::DELETE => {
            let (repositories, name) = (api.repositories.clone(), name.clone());
            let removed = digest.clone();
            if !blocking(move || repositories.remove_blob(&name, &removed)).await? {
                return Err(unknown(&digest));
            }
            api.quota.forget();
            Ok(Reply::new(StatusCode::ACCEPTED).done())
        }
        _ => Err(ApiError::method("GET, HEAD, DELETE")),
    }
}

async fn get(
    api: &Arc<Api>,
    name: &RepositoryName,
    digest: ContentDigest,
    head: &Parts,
) -> Result<Response<Body>, ApiError> {
    let Blob { file, size } = find(api, name, &digest).await?;
    let tag = format!("\"{digest}\"");
    let common = |status| {
        Reply::new(status)
            .digest(&digest)
            .with(header::ETAG, &tag)
            .with(header::ACCEPT_RANGES, "bytes")
            // Content never changes under its digest; a proxy may keep it for who may see it.
            .with(header::CACHE_CONTROL, "private, max-age=31536000, immutable")
    };
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_NONE_MATCH).is_some_and(|tags| tags.contains(tag.as_str())) {
        return Ok(common(StatusCode::NOT_MODIFIED).done());
    }
    // A client that holds another version of it, which cannot be, gets all of it.
    let same = text(header::IF_RANGE).is_none_or(|own| own == tag);
    let (status, start, length) = match wanted(text(header::RANGE).filter(|_| same), size) {
        Wanted::All => (StatusCode::OK, 0, size),
        Wanted::Part { start, length } => (StatusCode::PARTIAL_CONTENT, start, length),
        Wanted::Nothing => {
            let message = format!("the blob has {size} bytes");
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            return Err(ApiError::new(status, Code::SizeInvalid, message)
                .with(header::CONTENT_RANGE, format!("bytes */{size}")));
        }
    };
    let mut reply = common(status)
        .with(header::CONTENT_TYPE, "application/octet-stream")
        .with(header::CONTENT_LENGTH, length.to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        let end = start + length - 1;
        reply = reply.with(header::CONTENT_RANGE, format!("bytes {start}-{end}/{size}"));
    }
    if head.method == Method::GET {
        reply = reply.body(part(file, start, length).await?);
    }
    Ok(reply.done())
}

/// The blob, taken from the registry that is mirrored if it is not here yet.
async fn find(
    api: &Arc<Api>,
    name: &RepositoryName,
    digest: &ContentDigest,
) -> Result<Blob, ApiError> {
    let look = || {
        let (repositories, name, digest) = (api.repositories.clone(), name.clone(), digest.clone());
        blocking(move || repositories.blob(&name, &digest))
    };
    if let Some(blob) = look().await? {
        return Ok(blob);
    }
    if api.fetch_blob(name, digest).await?
        && let Some(blob) = look().await?
    {
        return Ok(blob);
    }
    Err(unknown(digest))
}

fn unknown(digest: &ContentDigest) -> ApiError {
    ApiError::not_found(Code::BlobUnknown, format!("this repository has no blob {digest}"))
}
