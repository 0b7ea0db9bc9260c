//! Which Worker serves a request: by its host and path.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, RwLock};

use control::plan::PlannedRoute;
use edge::Site;
use http::HeaderMap;
use http::header::HOST;
use http::request::Parts;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use uuid::Uuid;

/// The Workers by what they serve; clones are the same table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes {
    entries: Arc<RwLock<Vec<Entry>>>,
    /// The hosts that are served, without patterns of them.
    hosts: watch::Sender<BTreeSet<String>>,
}

#[derive(Debug)]
struct Entry {
    /// The Worker's tag.
    owner: String,
    route: PlannedRoute,
    site: Site,
    split: Option<Split>,
}

/// How the requests of a Worker are divided between two versions.
#[derive(Debug, Clone)]
pub(crate) struct Split {
    /// The Worker's name.
    pub(crate) script: String,
    /// The older version, and the newer one.
    pub(crate) versions: [Uuid; 2],
    /// How many of ten thousand requests the newer one gets.
    pub(crate) share: u32,
    /// Where it serves.
    pub(crate) beside: Site,
}

/// Requests with the same value of this get the same version, as long as their share lets them.
const KEY: &str = "cloudflare-workers-version-key";
/// Names a version for each Worker, as a dictionary of strings: `name="<version>"`.
const OVERRIDES: &str = "cloudflare-workers-version-overrides";
/// Requests that are divided.
const ALL: u32 = 10_000;

impl Routes {
    /// From now on a Worker serves these, and nothing else.
    pub(crate) fn set(
        &self,
        owner: &str,
        routes: &[PlannedRoute],
        site: &Site,
        split: Option<&Split>,
    ) {
        let mut entries = self.entries.write().expect("no holder of this lock panics");
        entries.retain(|entry| entry.owner != owner);
        let new = routes.iter().map(|route| Entry {
            owner: owner.to_owned(),
            route: route.clone(),
            site: site.clone(),
            split: split.cloned(),
        });
        entries.extend(new);
        entries.sort_by_key(|entry| std::cmp::Reverse(rank(&entry.route)));
        self.tell_hosts(&entries);
    }

    /// From now on a Worker serves nothing.
    pub(crate) fn remove(&self, owner: &str) {
        let mut entries = self.entries.write().expect("no holder of this lock panics");
        entries.retain(|entry| entry.owner != owner);
        self.tell_hosts(&entries);
    }

    /// The hosts that certificates can be had for, now and from now on.
    pub(crate) fn hosts(&self) -> watch::Receiver<BTreeSet<String>> {
        self.hosts.subscribe()
    }

    fn tell_hosts(&self, entries: &[Entry]) {
        let hosts = entries.iter().map(|entry| &entry.route.host);
        let hosts: BTreeSet<_> = hosts.filter(|host| is_public(host)).cloned().collect();
        self.hosts.send_if_modified(|before| {
            let changed = *before != hosts;
            *before = hosts;
            changed
        });
    }

    /// The Worker of a request.
    pub(crate) fn find(&self, head: &Parts) -> Option<Site> {
        let authority = head.uri.authority().map(|authority| authority.as_str());
        let header = || head.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = authority.or_else(header)?;
        let entries = self.entries.read().expect("no holder of this lock panics");
        let found = entries.iter().find(|entry| serves(&entry.route, host, head.uri.path()));
        let entry = found?;
        let split = entry.split.as_ref();
        let beside = split.filter(|split| {
            is_beside(&split.script, split.versions, split.share, &head.headers, random())
        });
        Some(beside.map_or(&entry.site, |split| &split.beside).clone())
    }
}

/// Whether the newer of two versions serves a request; `random` is below [`ALL`].
fn is_beside(
    script: &str,
    versions: [Uuid; 2],
    share: u32,
    headers: &HeaderMap,
    random: u32,
) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let wanted = text(OVERRIDES).and_then(|text| overridden(text, script));
    if let Some(version) = wanted.filter(|version| versions.contains(version)) {
        return version == versions[1];
    }
    let place = match text(KEY).filter(|key| !key.is_empty()) {
        Some(key) => hashed(script, key) % ALL,
        None => random,
    };
    // What the newer one has once got it keeps while its share grows.
    place >= ALL.saturating_sub(share)
}

/// The version that a dictionary names for a Worker.
fn overridden(text: &str, script: &str) -> Option<Uuid> {
    let mut members = text.split(',').filter_map(|member| member.split_once('='));
    let (_, version) = members.find(|(name, _)| name.trim() == script)?;
    version.trim().trim_matches('"').parse().ok()
}

/// A number that is the same for a key, also in another process.
fn hashed(script: &str, key: &str) -> u32 {
    let digest = Sha256::new().chain_update(script).chain_update([0]).chain_update(key).finalize();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// Any number below [`ALL`].
fn random() -> u32 {
    Uuid::new_v4().as_fields().0 % ALL
}

/// The more a route says, the earlier it is asked: hosts before patterns of them, long paths before
/// short ones.
fn rank(route: &PlannedRoute) -> (bool, usize, usize, bool) {
    let exact = !route.host.starts_with('*');
    (exact, route.host.len(), route.path.trim_end_matches('*').len(), !route.path.ends_with('*'))
}

fn serves(route: &PlannedRoute, host: &str, path: &str) -> bool {
    is_host(&route.host, &without_port(host).to_ascii_lowercase()) && is_path(&route.path, path)
}

/// Whether an authority of the web may certify a host: no pattern, no address, no name of this machine.
fn is_public(host: &str) -> bool {
    let local = host == "localhost" || host.ends_with(".localhost");
    !host.contains('*') && host.contains('.') && !local && host.parse::<IpAddr>().is_err()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_host(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        None => pattern == host,
        // `*.example.com`: what is below; `*example.com`: that one too.
        Some(below) if below.starts_with('.') => host.len() > below.len() && host.ends_with(below),
        Some(name) => {
            host.strip_suffix(name).is_some_and(|front| front.is_empty() || front.ends_with('.'))
        }
    }
}

fn is_path(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(front) => path.starts_with(front),
        None => path == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(host: &str, path: &str) -> PlannedRoute {
        PlannedRoute { host: host.into(), path: path.into() }
    }

    #[test]
    fn requests_are_divided_by_their_key_or_by_chance_and_overrides_go_first() {
        let versions = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let headers = |name: &'static str, value: &str| {
            let value = value.parse().unwrap();
            HeaderMap::from_iter([(http::HeaderName::from_static(name), value)])
        };
        let none = HeaderMap::new();
        let is =
            |share, headers: &HeaderMap, random| is_beside("app", versions, share, headers, random);
        assert!(!is(2_500, &none, 7_499) && is(2_500, &none, 7_500));
        assert!(!is(0, &none, 9_999) && is(10_000, &none, 0));
        let keys: Vec<HeaderMap> = (0..1_000).map(|key| headers(KEY, &key.to_string())).collect();
        let new = |share| keys.iter().map(|key| is(share, key, 0)).collect::<Vec<_>>();
        let (few, many) = (new(2_000), new(6_000));
        let count = few.iter().filter(|new| **new).count();
        assert!((120..280).contains(&count), "{count} of 1000 at 20%");
        assert_eq!(few, new(2_000), "a key stays where it is");
        assert!(few.iter().zip(&many).all(|(few, many)| *many || !few), "and moves forward alone");
        let named = |version: Uuid| headers(OVERRIDES, &format!("other=\"x\", app=\"{version}\""));
        assert!(is(0, &named(versions[1]), 0) && !is(10_000, &named(versions[0]), 9_999));
        assert!(
            !is(5_000, &named(Uuid::from_u128(3)), 0),
            "one that does not serve is passed over"
        );
    }

    #[test]
    fn a_host_is_served_whatever_its_port_and_case() {
        let own = route("app.localhost", "/*");
        for host in ["app.localhost", "app.localhost:8787", "APP.localhost"] {
            assert!(serves(&own, host, "/x"), "{host}");
        }
        for host in ["localhost", "x.app.localhost", "app.localhost.evil", ""] {
            assert!(!serves(&own, host, "/x"), "{host}");
        }
    }

    #[test]
    fn a_star_stands_for_what_is_below_or_follows() {
        assert!(serves(&route("*.a.com", "/*"), "x.y.a.com", "/"));
        assert!(!serves(&route("*.a.com", "/*"), "a.com", "/"));
        assert!(!serves(&route("*.a.com", "/*"), "xa.com", "/"));
        assert!(serves(&route("*a.com", "/api/*"), "a.com", "/api/1"));
        assert!(!serves(&route("*a.com", "/api/*"), "ba.com", "/api/1"));
        assert!(!serves(&route("a.com", "/api/*"), "a.com", "/"));
        assert!(!serves(&route("a.com", "/api"), "a.com", "/api/1"));
    }

    #[test]
    fn certificates_are_asked_for_hosts_that_the_web_may_know() {
        for host in ["a.example.com", "example.com"] {
            assert!(is_public(host), "{host}");
        }
        for host in ["*.example.com", "a.localhost", "localhost", "intranet", "192.0.2.1"] {
            assert!(!is_public(host), "{host}");
        }
    }

    #[test]
    fn the_route_that_says_more_wins() {
        let order = [
            route("a.com", "/api/v1"),
            route("a.com", "/api/*"),
            route("a.com", "/*"),
            route("*.b.a.com", "/*"),
            route("*.a.com", "/*"),
        ];
        let mut sorted: Vec<_> = order.iter().rev().cloned().collect();
        sorted.sort_by_key(|route| std::cmp::Reverse(rank(route)));
        assert_eq!(sorted, order);
    }
}
