//! Uploads of blobs: in one request, in one after its beginning, or in chunks, resumed at any byte.

use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{Method, Response, StatusCode, header};
use hyper::body::Incoming;
use image::{ContentDigest, RepositoryName, UploadSession};

use crate::api::Api;
use crate::auth::Principal;
use crate::blobs;
use crate::body::{blocking, linger, receive};
use crate::error::{ApiError, Code};
use crate::live::Working;
use crate::range::{Chunk, chunk};
use crate::reply::{Body, Reply, UPLOAD_ID};
use crate::route::Query;

/// What came with a request.
pub(crate) struct Request<'a> {
    pub(crate) head: &'a Parts,
    pub(crate) query: Query<'a>,
    pub(crate) body: Incoming,
}

/// `POST /v2/<name>/blobs/uploads/`: begins an upload, or takes a blob whole, or from another
/// repository.
pub(crate) async fn begin(
    api: &Arc<Api>,
    principal: &Principal,
    name: &RepositoryName,
    mut request: Request<'_>,
) -> Result<Response<Body>, ApiError> {
    let begun = begin_or_take(api, principal, name, &mut request).await;
    if begun.is_err() {
        linger(&mut request.body).await;
    }
    begun
}

async fn begin_or_take(
    api: &Arc<Api>,
    principal: &Principal,
    name: &RepositoryName,
    request: &mut Request<'_>,
) -> Result<Response<Body>, ApiError> {
    if let Some(digest) = request.query.get("mount") {
        let digest = blobs::digest(&digest)?;
        if mount(api, principal, name, &digest, request.query.get("from")).await? {
            return Ok(created(name, &digest));
        }
    }
    let digest = request.query.get("digest").map(|digest| blobs::digest(&digest)).transpose()?;
    // Said before anything comes: whoever has no room left need not send it.
    api.room(principal, 0).await?;
    let (repositories, owned) = (api.repositories.clone(), name.clone());
    let credential = principal.credential().map(str::to_owned);
    let session = blocking(move || repositories.begin_upload(&owned, credential)).await?;
    let id = session.id().to_owned();
    api.live.add(session);
    let Some(digest) = digest else { return Ok(state(StatusCode::ACCEPTED, name, &id, 0)) };
    let mut work = api.live.work_on(&api.repositories, name, &id).await?;
    let taken = add(api, principal, &mut work, &id, request).await;
    if taken.is_err() {
        // Nobody was told of it.
        cancel(api, &mut work, &id).await?;
    }
    taken?;
    finish(api, principal, name, work, &id, &digest).await
}

/// `/v2/<name>/blobs/uploads/<id>`
pub(crate) async fn answer(
    api: &Arc<Api>,
    principal: &Principal,
    name: &RepositoryName,
    id: &str,
    mut request: Request<'_>,
) -> Result<Response<Body>, ApiError> {
    let answered = answer_one(api, principal, name, id, &mut request).await;
    if answered.is_err() {
        linger(&mut request.body).await;
    }
    answered
}

async fn answer_one(
    api: &Arc<Api>,
    principal: &Principal,
    name: &RepositoryName,
    id: &str,
    request: &mut Request<'_>,
) -> Result<Response<Body>, ApiError> {
    let method = request.head.method.clone();
    if ![Method::GET, Method::HEAD, Method::PATCH, Method::PUT, Method::DELETE].contains(&method) {
        return Err(ApiError::method("GET, PATCH, PUT, DELETE"));
    }
    let mut work = api.live.work_on(&api.repositories, name, id).await?;
    match method {
        Method::PATCH => {
            add(api, principal, &mut work, id, request)
                .await
                .map_err(|error| resumable(error, name, id, work.size()))?;
            Ok(state(StatusCode::ACCEPTED, name, id, work.size()))
        }
        Method::PUT => {
            let digest = request.query.get("digest").ok_or_else(|| {
                ApiError::bad_request(Code::DigestInvalid, "the last request names the `digest`")
            })?;
            let digest = blobs::digest(&digest)?;
            add(api, principal, &mut work, id, request)
                .await
                .map_err(|error| resumable(error, name, id, work.size()))?;
            finish(api, principal, name, work, id, &digest).await
        }
        Method::DELETE => {
            cancel(api, &mut work, id).await?;
            Ok(Reply::new(StatusCode::NO_CONTENT).done())
        }
        _ => Ok(state(StatusCode::NO_CONTENT, name, id, work.size())),
    }
}

/// Adds the body at the place it says it belongs to, which is the end.
async fn add(
    api: &Arc<Api>,
    principal: &Principal,
    work: &mut Working,
    id: &str,
    request: &mut Request<'_>,
) -> Result<(), ApiError> {
    use hyper::body::Body as _;
    let size = work.size();
    let announced = request.body.size_hint().exact();
    let placed = request.head.headers.get(header::CONTENT_RANGE);
    let placed = placed.map(|value| at(value.to_str().ok(), size, announced)).transpose()?;
    let room = api.room(principal, size).await?;
    if announced.is_some_and(|announced| announced > room.bytes) {
        return Err(room.exceeded());
    }
    let room = placed.map_or(room, |chunk| room.at_most(chunk.length));
    let session = work.take().ok_or_else(|| ApiError::no_upload(id))?;
    let credential = principal.credential().map(str::to_owned);
    let renew = || {
        if let Some(credential) = &credential {
            api.auth.leases.renew(credential, Instant::now());
        }
    };
    let (session, result) = receive(session, &mut request.body, room, renew).await;
    work.give_back(session);
    result?;
    match placed {
        Some(chunk) if work.size() != size + chunk.length => {
            let message = "the chunk is not as long as its Content-Range says";
            Err(ApiError::bad_request(Code::SizeInvalid, message))
        }
        _ => Ok(()),
    }
}

/// Whether a chunk goes on where the upload ends.
fn at(header: Option<&str>, size: u64, announced: Option<u64>) -> Result<Chunk, ApiError> {
    let Some(chunk) = header.and_then(chunk) else {
        let message = "Content-Range is <first byte>-<last byte>";
        return Err(ApiError::bad_request(Code::BlobUploadInvalid, message));
    };
    if chunk.first != size {
        let message = format!("the next byte is {size}, not {}", chunk.first);
        let status = StatusCode::RANGE_NOT_SATISFIABLE;
        return Err(ApiError::new(status, Code::BlobUploadInvalid, message));
    }
    if announced.is_some_and(|announced| announced != chunk.length) {
        let message = "the chunk is not as long as its Content-Range says";
        return Err(ApiError::bad_request(Code::SizeInvalid, message));
    }
    Ok(chunk)
}

async fn finish(
    api: &Arc<Api>,
    principal: &Principal,
    name: &RepositoryName,
    mut work: Working,
    id: &str,
    digest: &ContentDigest,
) -> Result<Response<Body>, ApiError> {
    let session = work.take().ok_or_else(|| ApiError::no_upload(id))?;
    api.live.forget(id);
    let wanted = digest.clone();
    let size = blocking(move || session.finish(&wanted)).await?;
    api.quota.added(principal.account(), size);
    Ok(created(name, digest))
}

async fn cancel(api: &Api, work: &mut Working, id: &str) -> Result<(), ApiError> {
    api.live.forget(id);
    match work.take() {
        Some(session) => blocking(move || UploadSession::cancel(session)).await,
        None => Ok(()),
    }
}

/// Takes a blob from another repository: from the one that is named, or from any that they may read.
async fn mount(
    api: &Arc<Api>,
    principal: &Principal,
    name: &RepositoryName,
    digest: &ContentDigest,
    from: Option<String>,
) -> Result<bool, ApiError> {
    let (api, principal) = (Arc::clone(api), principal.clone());
    let (name, digest) = (name.clone(), digest.clone());
    blocking(move || {
        let readable =
            |source: &RepositoryName| principal.owns(source) || api.mirrors.is_mirrored(source);
        let sources = match from {
            Some(from) => from.parse().into_iter().collect(),
            None => api.repositories.all_names()?,
        };
        let sources: Vec<RepositoryName> = sources.into_iter().filter(readable).collect();
        api.repositories.mount(&name, &digest, &sources)
    })
    .await
}

/// Where an upload stands.
fn state(status: StatusCode, name: &RepositoryName, id: &str, size: u64) -> Response<Body> {
    Reply::new(status)
        .with(header::LOCATION, location(name, id))
        .with(header::RANGE, range(size))
        .with(UPLOAD_ID, id)
        .done()
}

/// The same for a request that failed, so that the client can go on.
fn resumable(error: ApiError, name: &RepositoryName, id: &str, size: u64) -> ApiError {
    error
        .with(header::LOCATION, location(name, id))
        .with(header::RANGE, range(size))
        .with(UPLOAD_ID, id)
}

fn location(name: &RepositoryName, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

/// The bytes that are here; an upload without any says the same as one with a single byte, as
/// everywhere in the field.
fn range(size: u64) -> String {
    format!("0-{}", size.saturating_sub(1))
}

fn created(name: &RepositoryName, digest: &ContentDigest) -> Response<Body> {
    Reply::new(StatusCode::CREATED)
        .with(header::LOCATION, format!("/v2/{name}/blobs/{digest}"))
        .digest(digest)
        .done()
}
