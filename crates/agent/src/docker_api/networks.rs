//! `/networks`: the one network workerd asks for.

use serde_json::json;

use super::reply::Reply;

/// `GET /networks/bridge`. workerd binds its egress listener to the gateway's address, so loopback
/// keeps that listener off every real interface.
pub(super) fn bridge() -> Reply {
    Reply::ok(json!({
        "Name": "bridge",
        "Id": "bridge",
        "Driver": "bridge",
        "IPAM": {
            "Driver": "default",
            "Config": [{"Subnet": "127.0.0.0/8", "Gateway": "127.0.0.1"}],
        },
    }))
}
