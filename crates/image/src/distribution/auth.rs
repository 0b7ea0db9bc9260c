//! How a registry asks who we are: `WWW-Authenticate`, and tokens for what it asks.

use serde::Deserialize;

/// What a registry wants with a `401`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token from `realm`.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
    /// Name and password with each request.
    Basic,
}

/// The strongest challenge we know in the values of `WWW-Authenticate`.
pub(super) fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for value in values {
        for (scheme, parameters) in challenges(value) {
            let get = |name: &str| {
                let mut found = parameters.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
                found.next().map(|(_, value)| value.clone())
            };
            if scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = get("realm")
            {
                return Some(Challenge::Bearer {
                    realm,
                    service: get("service"),
                    scope: get("scope"),
                });
            }
            if scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            }
        }
    }
    basic
}

type Parameters = Vec<(String, String)>;

/// Splits `Scheme key="value", key=value, Other key=…` into schemes with their parameters.
fn challenges(value: &str) -> Vec<(String, Parameters)> {
    let mut found: Vec<(String, Parameters)> = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return found;
        }
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        match after.strip_prefix('=') {
            Some(after) => {
                let (value, after) = parameter_value(after);
                if let Some((_, parameters)) = found.last_mut() {
                    parameters.push((word.to_owned(), value));
                }
                rest = after;
            }
            None => {
                found.push((word.to_owned(), Vec::new()));
                rest = after;
            }
        }
    }
}

/// A token or a quoted string with backslash escapes, and what follows.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut escaped = false;
    for (position, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, &quoted[position + 1..]),
            _ => value.push(c),
        }
    }
    (value, "")
}

/// A token server's answer; it may use either name.
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

impl TokenAnswer {
    pub(super) fn into_token(self) -> Option<String> {
        self.token.or(self.access_token).filter(|token| !token.is_empty())
    }
}

/// The URL that gives a token for all the scopes.
pub(super) fn token_url(realm: &str, service: Option<&str>, scopes: &[String]) -> String {
    let mut url = realm.to_owned();
    let mut separator = if realm.contains('?') { '&' } else { '?' };
    let service = service.map(|service| ("service", service));
    let scopes = scopes.iter().map(|scope| ("scope", scope.as_str()));
    for (key, value) in service.into_iter().chain(scopes) {
        url.push(separator);
        url.push_str(key);
        url.push('=');
        encode(value, &mut url);
        separator = '&';
    }
    url
}

/// What to ask a token for: what the registry says it wants, and at least `own`
/// (`repository:name:actions`, or nothing), so that one token serves for everything that follows.
pub(super) fn scopes(own: &str, challenge: Option<&str>) -> Vec<String> {
    let resource = own.rsplit_once(':').map_or(own, |(resource, _)| resource);
    let wanted = challenge.unwrap_or_default().split_ascii_whitespace();
    let others = wanted.filter(|scope| {
        scope.rsplit_once(':').is_none_or(|(theirs, _)| !theirs.eq_ignore_ascii_case(resource))
    });
    Some(own).filter(|own| !own.is_empty()).into_iter().chain(others).map(str::to_owned).collect()
}

/// Percent-encodes a query value.
pub(super) fn encode(value: &str, out: &mut String) {
    use std::fmt::Write as _;
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bearer_challenge_gives_realm_service_and_scope() {
        let value = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        assert_eq!(
            parse([value]),
            Some(Challenge::Bearer {
                realm: "https://auth.docker.io/token".into(),
                service: Some("registry.docker.io".into()),
                scope: Some("repository:a/b:pull,push".into()),
            })
        );
    }

    #[test]
    fn bearer_is_preferred_to_basic_wherever_it_stands() {
        let both = r#"Basic realm="x", Bearer realm="https://t""#;
        assert!(matches!(parse([both]), Some(Challenge::Bearer { .. })));
        let two = ["Basic realm=x", r#"bearer realm="https://t""#];
        assert!(matches!(parse(two), Some(Challenge::Bearer { .. })));
        assert_eq!(parse(["Basic"]), Some(Challenge::Basic));
        assert_eq!(parse(["Negotiate", "Bearer service=x"]), None);
    }

    #[test]
    fn the_token_url_is_encoded_and_keeps_the_realms_own_query() {
        assert_eq!(
            token_url("https://t/x?a=1", Some("s p"), &["repository:a/b:pull".to_owned()]),
            "https://t/x?a=1&service=s%20p&scope=repository:a/b:pull"
        );
    }

    #[test]
    fn a_token_is_for_all_that_follows_and_for_what_is_asked_beside() {
        let own = "repository:a/b:pull,push";
        assert_eq!(scopes(own, None), [own]);
        assert_eq!(scopes(own, Some("repository:a/b:pull")), [own]);
        let both = "repository:a/b:pull,push repository:c/d:pull";
        assert_eq!(scopes(own, Some(both)), [own, "repository:c/d:pull"]);
    }

    proptest! {
        #[test]
        fn any_header_is_parsed_without_panic(value in "\\PC{0,60}", tail in "[a-z=\",\\\\ ]{0,40}") {
            let _ = parse([value.as_str(), tail.as_str()]);
        }
    }
}
