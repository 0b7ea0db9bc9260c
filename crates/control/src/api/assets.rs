//! `…/assets-upload-session` and `/workers/assets/upload`.

use http::request::Parts;
use http::{Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use model::LARGEST_ASSET;
use multer::{Constraints, Multipart, SizeLimit};

use super::{Asked, bearer, body, query};
use crate::assets::{self, Part};
use crate::envelope::{Body, Failure, success};
use crate::wire::{AssetsSession, AssetsUploaded};
use crate::workers::{Workers, check_name};

/// Most bytes of one upload: a portion, or the largest file, as base64 and with what is around it.
const MOST_BYTES: u64 = LARGEST_ASSET / 3 * 4 + 4 * 1024 * 1024;

pub(super) async fn start(
    workers: &Workers,
    name: &str,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    check_name(name)?;
    let manifest = body::json(asked.body).await?;
    let started = assets::start(&workers.state, name, manifest)?;
    Ok(success(&AssetsSession { jwt: started.token, buckets: started.buckets }))
}

/// Content of a session: a form whose parts are named by their hashes, or one file, whose hash is in
/// the path. Who asks has the session's token, and no other.
pub(super) async fn upload(
    workers: &Workers,
    hash: Option<String>,
    head: &Parts,
    body: Incoming,
) -> Result<Response<Body>, Failure> {
    let token = bearer(&head.headers).unwrap_or_default().to_owned();
    // Nothing is read from somebody unknown.
    assets::check(&workers.state, &token)?;
    let is_base64 = query(head, "base64").is_some_and(|value| value == "true");
    let parts = match hash {
        Some(hash) => vec![Part { hash, content: body::at_most(body, MOST_BYTES).await? }],
        None => form(head, body).await?,
    };
    let state = workers.state.clone();
    let kept =
        tokio::task::spawn_blocking(move || assets::upload(&state, &token, parts, is_base64));
    let whole = kept.await.map_err(|error| Failure::internal(error.to_string()))??;
    let is_whole = whole.is_some();
    let mut response = success(&AssetsUploaded { jwt: whole });
    if is_whole {
        *response.status_mut() = StatusCode::CREATED;
    }
    Ok(response)
}

async fn form(head: &Parts, body: Incoming) -> Result<Vec<Part>, Failure> {
    let wrong = |error: multer::Error| match error {
        multer::Error::StreamSizeExceeded { limit } => Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            10027,
            format!("an upload of assets has at most {limit} bytes"),
        ),
        error => Failure::bad_request(format!("the form cannot be read: {error}")),
    };
    let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let boundary = multer::parse_boundary(content_type.unwrap_or_default()).map_err(wrong)?;
    let limit = Constraints::new().size_limit(SizeLimit::new().whole_stream(MOST_BYTES));
    let mut form = Multipart::with_constraints(body.into_data_stream(), &boundary, limit);
    let mut parts = Vec::new();
    while let Some(field) = form.next_field().await.map_err(wrong)? {
        let hash = field.name().unwrap_or_default().to_owned();
        parts.push(Part { hash, content: field.bytes().await.map_err(wrong)? });
    }
    Ok(parts)
}
