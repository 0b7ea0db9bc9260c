//! `/volumes`: snapshots live there in Docker; there are none yet, so the list is empty.

use serde_json::json;

use super::reply::Reply;

/// `GET /volumes`, asked once by every workerd process.
pub(super) fn list() -> Reply {
    Reply::ok(json!({"Volumes": [], "Warnings": null}))
}
