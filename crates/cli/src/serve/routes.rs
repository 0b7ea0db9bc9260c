//! Which Worker serves a request: by its host and path.

use std::sync::{Arc, RwLock};

use control::plan::PlannedRoute;
use edge::Site;
use http::header::HOST;
use http::request::Parts;

/// The Workers by what they serve; clones are the same table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes(Arc<RwLock<Vec<Entry>>>);

#[derive(Debug)]
struct Entry {
    /// The Worker's tag.
    owner: String,
    route: PlannedRoute,
    site: Site,
}

impl Routes {
    /// From now on a Worker serves these, and nothing else.
    pub(crate) fn set(&self, owner: &str, routes: &[PlannedRoute], site: &Site) {
        let mut entries = self.0.write().expect("no holder of this lock panics");
        entries.retain(|entry| entry.owner != owner);
        let new = routes.iter().map(|route| Entry {
            owner: owner.to_owned(),
            route: route.clone(),
            site: site.clone(),
        });
        entries.extend(new);
        entries.sort_by_key(|entry| std::cmp::Reverse(rank(&entry.route)));
    }

    /// From now on a Worker serves nothing.
    pub(crate) fn remove(&self, owner: &str) {
        self.0.write().expect("no holder of this lock panics").retain(|entry| entry.owner != owner);
    }

    /// The Worker of a request.
    pub(crate) fn find(&self, head: &Parts) -> Option<Site> {
        let authority = head.uri.authority().map(|authority| authority.as_str());
        let header = || head.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = authority.or_else(header)?;
        let entries = self.0.read().expect("no holder of this lock panics");
        let found = entries.iter().find(|entry| serves(&entry.route, host, head.uri.path()));
        found.map(|entry| entry.site.clone())
    }
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
