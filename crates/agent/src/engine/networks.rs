//! `/networks`: there is one, which is none: containers have loopback alone.

use serde_json::{Value, json};

use super::error::EngineError;
use super::filters::Filters;
use super::reply::{Answer, ok};
use crate::docker_api::path::Query;

/// The networks a container can be told to have.
const NAMES: [&str; 2] = ["bridge", "none"];

/// `GET /networks`
pub(super) fn list(query: Query<'_>) -> Answer {
    let filters = Filters::parse(query.get("filters").as_deref())?;
    let fits = |name: &&&str| {
        filters.fits("name", |wanted| name.contains(wanted))
            && filters.fits("id", |wanted| name.starts_with(wanted))
            && filters.values("label").is_empty()
    };
    ok(Value::Array(NAMES.iter().filter(fits).map(|name| network(name)).collect()))
}

/// `GET /networks/{name}`
pub(super) fn inspect(name: &str) -> Answer {
    match NAMES.contains(&name) {
        true => ok(network(name)),
        false => Err(EngineError::NotFound(format!("network {name} not found"))),
    }
}

fn network(name: &str) -> Value {
    let config = match name {
        "bridge" => json!([{"Subnet": "127.0.0.0/8", "Gateway": "127.0.0.1"}]),
        _ => json!([]),
    };
    json!({
        "Name": name,
        "Id": name,
        "Created": "1970-01-01T00:00:00Z",
        "Scope": "local",
        "Driver": if name == "none" { "null" } else { name },
        "EnableIPv6": false,
        "IPAM": {"Driver": "default", "Options": null, "Config": config},
        "Internal": name == "none",
        "Attachable": false,
        "Ingress": false,
        "Containers": {},
        "Options": {},
        "Labels": {},
    })
}
