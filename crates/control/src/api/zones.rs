//! `/zones…`: clients look for the zone of a route's host. There are none here: whatever name is asked
//! for is one, and has the routes of its hosts.

use http::Response;

use super::Asked;
use crate::envelope::{Body, Failure, page};
use crate::route::ZonesRoute;
use crate::routes;
use crate::seal::{hex, unhex};
use crate::state::State;
use crate::wire::{AccountName, Zone, ZoneRoute};

pub(super) fn answer(
    state: &State,
    account: &str,
    route: &ZonesRoute,
    asked: &Asked,
) -> Result<Response<Body>, Failure> {
    match route {
        ZonesRoute::Zones => {
            let name = asked.query("name").filter(|name| !name.is_empty());
            Ok(page(&name.iter().map(|name| zone(account, name)).collect::<Vec<_>>()))
        }
        ZonesRoute::Routes(id) => Ok(page(&routes_of(state, &name_of(id)?)?)),
    }
}

/// Its id is its name, so that there is nothing to remember.
fn zone(account: &str, name: &str) -> Zone {
    Zone {
        id: hex(name.as_bytes()),
        name: name.to_owned(),
        status: "active",
        account: AccountName::of(account),
    }
}

fn name_of(id: &str) -> Result<String, Failure> {
    let name = unhex(id).and_then(|bytes| String::from_utf8(bytes).ok());
    name.filter(|name| !name.is_empty()).ok_or_else(|| {
        Failure::new(http::StatusCode::NOT_FOUND, 1001, format!("there is no zone {id}"))
    })
}

fn routes_of(state: &State, zone: &str) -> Result<Vec<ZoneRoute>, Failure> {
    let mut all = Vec::new();
    for script in state.scripts()? {
        let patterns = script.routes.iter().chain(&script.domains);
        for pattern in patterns.filter(|pattern| is_below(pattern, zone)) {
            all.push(ZoneRoute {
                id: hex(pattern.as_bytes()),
                pattern: pattern.clone(),
                script: script.name.clone(),
            });
        }
    }
    Ok(all)
}

/// Whether a route's host is a zone's, or below it.
fn is_below(pattern: &str, zone: &str) -> bool {
    routes::parse(pattern).is_ok_and(|route| {
        let host = route.host.trim_start_matches('*').trim_start_matches('.');
        host == zone || host.ends_with(&format!(".{zone}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_has_the_routes_of_its_hosts() {
        for (pattern, below) in [
            ("example.com/*", true),
            ("*.example.com/api", true),
            ("a.b.example.com/", true),
            ("otherexample.com/*", false),
            ("example.org/*", false),
        ] {
            assert_eq!(is_below(pattern, "example.com"), below, "{pattern}");
        }
    }

    #[test]
    fn a_zone_is_found_by_its_id() {
        let id = zone("a", "example.com").id;
        assert_eq!(name_of(&id).unwrap(), "example.com");
        assert!(name_of("xyz").is_err() && name_of("").is_err());
    }
}
