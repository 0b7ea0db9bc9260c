//! Bodies of requests that are small.

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::envelope::Failure;

/// Largest body that is no upload of a Worker: a thousand secrets fit.
const MOST_BYTES: u64 = 8 * 1024 * 1024;

pub(super) async fn bytes(body: Incoming) -> Result<bytes::Bytes, Failure> {
    at_most(body, MOST_BYTES).await
}

/// A body that may have this many bytes.
pub(super) async fn at_most(body: Incoming, most: u64) -> Result<bytes::Bytes, Failure> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let read = Limited::new(body, most).collect().await;
    let read =
        read.map_err(|error| Failure::bad_request(format!("the body could not be read: {error}")))?;
    Ok(read.to_bytes())
}

pub(super) async fn json<T: DeserializeOwned>(body: Incoming) -> Result<T, Failure> {
    let bytes = bytes(body).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Failure::bad_request(format!("the body is not what it should be: {error}"))
    })
}

/// A body that must be an object; what is in it is looked at where it is used.
pub(super) async fn object(body: Incoming) -> Result<Value, Failure> {
    let value: Value = json(body).await?;
    match value.is_object() {
        true => Ok(value),
        false => Err(Failure::bad_request("the body is not a JSON object")),
    }
}
