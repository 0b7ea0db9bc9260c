//! Manifests, by tag or digest.

use std::sync::Arc;
use std::time::Instant;

use http::header::HeaderName;
use http::request::Parts;
use http::{Method, Response, StatusCode, header};
use hyper::body::Incoming;
use image::{PutManifest, RepositoryName, Tag, Version};

use crate::api::Api;
use crate::auth::Principal;
use crate::body::{blocking, small};
use crate::error::{ApiError, Code};
use crate::reply::{Body, Reply, whole};
use crate::route::Query;

/// Largest manifest, as the specification has it.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// Tags that one request may give.
const MOST_TAGS: usize = 64;

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const TAG: HeaderName = HeaderName::from_static("oci-tag");

/// `GET`, `HEAD` and `DELETE /v2/<name>/manifests/<version>`
pub(crate) async fn answer(
    api: &Arc<Api>,
    name: &RepositoryName,
    version: &str,
    head: &Parts,
) -> Result<Response<Body>, ApiError> {
    // What can be no tag names no manifest.
    let parsed = version.parse::<Version>().map_err(|_| unknown(name, version))?;
    match head.method {
        Method::GET | Method::HEAD => get(api, name, parsed, head).await,
        Method::DELETE => {
            let (repositories, owned) = (api.repositories.clone(), name.clone());
            if !blocking(move || repositories.remove_manifest(&owned, &parsed)).await? {
                return Err(unknown(name, version));
            }
            api.quota.forget();
            Ok(Reply::new(StatusCode::ACCEPTED).done())
        }
        _ => Err(ApiError::method("GET, HEAD, PUT, DELETE")),
    }
}

async fn get(
    api: &Arc<Api>,
    name: &RepositoryName,
    version: Version,
    head: &Parts,
) -> Result<Response<Body>, ApiError> {
    let asked = version.to_string();
    api.fetch_manifest(name, &version).await?;
    let (repositories, owned) = (api.repositories.clone(), name.clone());
    let found = blocking(move || {
        let Some(manifest) = repositories.manifest(&owned, &version)? else { return Ok(None) };
        let bytes = repositories.manifest_bytes(&manifest)?;
        Ok::<_, image::StoreError>(Some((manifest, bytes)))
    });
    let (manifest, bytes) = found.await?.ok_or_else(|| unknown(name, &asked))?;
    let tag = format!("\"{}\"", manifest.digest);
    let reply = |status| Reply::new(status).digest(&manifest.digest).with(header::ETAG, &tag);
    let known = head.headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|tags| tags.contains(tag.as_str())) {
        return Ok(reply(StatusCode::NOT_MODIFIED).done());
    }
    let reply = reply(StatusCode::OK)
        .with(header::CONTENT_TYPE, &manifest.media_type)
        .with(header::CONTENT_LENGTH, bytes.len().to_string());
    let body = if head.method == Method::GET { bytes } else { Vec::new() };
    Ok(reply.body(whole(body)).done())
}

/// `PUT /v2/<name>/manifests/<version>`
pub(crate) async fn put(
    api: &Arc<Api>,
    principal: &Principal,
    name: &RepositoryName,
    version: &str,
    head: &Parts,
    body: Incoming,
) -> Result<Response<Body>, ApiError> {
    let (digest, mut tags) = match parse(version)? {
        Version::Digest(digest) => (Some(digest), Vec::new()),
        Version::Tag(tag) => (None, vec![tag]),
    };
    let query = Query(head.uri.query().unwrap_or_default());
    let more: Vec<Tag> = query.all("tag").map(|tag| tag_of(&tag)).collect::<Result<_, _>>()?;
    if more.len() > MOST_TAGS {
        let message = format!("one request gives at most {MOST_TAGS} tags");
        return Err(ApiError::bad_request(Code::TagInvalid, message));
    }
    tags.extend(more.iter().cloned());
    let media_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default().to_owned();
    api.room(principal, 0).await?;
    let bytes = small(body, MOST_BYTES).await?;
    let (repositories, owned) = (api.repositories.clone(), name.clone());
    let (immutable_tags, image_limit) = (api.options.immutable_tags, api.options.image_limit);
    let put = blocking(move || {
        let put = PutManifest {
            bytes: &bytes,
            media_type: &media_type,
            digest,
            tags: &tags,
            immutable_tags,
            image_limit,
            complete: true,
        };
        repositories.put_manifest(&owned, &put)
    });
    let manifest = put.await?;
    api.quota.added(principal.account(), manifest.size);
    if let Some(credential) = principal.credential() {
        api.auth.leases.renew(credential, Instant::now());
    }
    let mut reply = Reply::new(StatusCode::CREATED)
        .with(header::LOCATION, format!("/v2/{name}/manifests/{}", manifest.digest))
        .digest(&manifest.digest);
    if let Some(subject) = &manifest.subject {
        reply = reply.with(SUBJECT, subject.as_str());
    }
    for tag in more {
        reply = reply.with(TAG, tag.as_str());
    }
    Ok(reply.done())
}

fn parse(version: &str) -> Result<Version, ApiError> {
    version.parse::<Version>().map_err(|error| {
        let code = if version.contains(':') { Code::DigestInvalid } else { Code::TagInvalid };
        ApiError::bad_request(code, error.to_string())
    })
}

fn tag_of(text: &str) -> Result<Tag, ApiError> {
    text.parse().map_err(|error: image::NameError| {
        ApiError::bad_request(Code::TagInvalid, error.to_string())
    })
}

fn unknown(name: &RepositoryName, version: &str) -> ApiError {
    let message = format!("{name} has no manifest {version}");
    ApiError::not_found(Code::ManifestUnknown, message)
}
