//! `/images`: the sidecar's image is no image here, so pulling it is done at once.

use serde_json::json;

use super::reply::Reply;

/// `POST /images/create?fromImage=…`, which workerd may send for the sidecar it believes in.
pub(super) fn pull() -> Reply {
    Reply::ok(json!({"status": "the sidecar is part of Berth"}))
}
