//! Patterns of URLs that a Worker serves: pure.

use crate::envelope::Failure;
use crate::plan::PlannedRoute;

/// Reads a pattern as Cloudflare writes it: `example.com/*`, `*.example.com/api/*`, with or without
/// a scheme; a `*` stands at the front of the host or at the end of the path.
///
/// # Errors
/// It is none.
pub(crate) fn parse(pattern: &str) -> Result<PlannedRoute, Failure> {
    let wrong = |why: &str| {
        let message = format!("Invalid URL pattern \"{pattern}\": {why}");
        Failure::new(http::StatusCode::BAD_REQUEST, 10022, message)
    };
    let rest = pattern.split_once("://").map_or(pattern, |(_, rest)| rest);
    let (host, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let name = host.strip_prefix("*.").or(host.strip_prefix('*')).unwrap_or(host);
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || !name.chars().all(valid) {
        return Err(wrong("the host is a name, with `*` or `*.` in front at most"));
    }
    if path.trim_end_matches('*').contains(['*', '?', '#']) {
        return Err(wrong("a path has one `*` at most, at its end, and no query"));
    }
    Ok(PlannedRoute { host: host.to_ascii_lowercase(), path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_a_host_and_a_path() {
        let route =
            |host: &str, path: &str| Ok(PlannedRoute { host: host.into(), path: path.into() });
        assert_eq!(parse("example.com/*"), route("example.com", "/*"));
        assert_eq!(parse("https://*.Example.com/api/*"), route("*.example.com", "/api/*"));
        assert_eq!(parse("*example.com"), route("*example.com", "/"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for wrong in ["", "*", "/x", "a.*.com/", "a.com/*/x", "a.com/?q", "a b.com/"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
