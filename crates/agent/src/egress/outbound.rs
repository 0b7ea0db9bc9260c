//! What a Worker has said of its container's outbound connections, by `PUT /egress`. Pure.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name of a host in DNS, in text.
pub(crate) const MOST_HOST_BYTES: usize = 253;

/// The body of `PUT /egress`. What is left out stays as it was.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Settings {
    port: Option<u16>,
    dns: Option<Dns>,
    internet: Option<Internet>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dns {
    #[serde(default)]
    allow_hostnames: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Internet {
    enabled: bool,
}

/// What holds for one instance now; clones are cheap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outbound {
    /// Whether its program may reach the internet.
    pub(crate) internet: bool,
    /// The hosts that its Worker may want to handle.
    pub(crate) hosts: Arc<Hosts>,
    /// Where workerd listens on the host's loopback to be asked.
    pub(crate) port: Option<u16>,
    /// Whether the workerd behind the port has said itself which hosts it handles. One that was
    /// started anew has not until its Worker intercepts again, and knows none of the handlers that
    /// its predecessor had: until then nobody may be let pass for its ignorance.
    pub(crate) confirmed: bool,
    /// Grows with every change.
    pub(crate) generation: u64,
}

impl Outbound {
    /// The settings of an instance that was there before this agent.
    pub(crate) fn restored(internet: bool, hosts: Hosts) -> Self {
        Self { internet, hosts: Arc::new(hosts), ..Self::default() }
    }

    /// Internet, and no handlers.
    pub(crate) fn open() -> Self {
        Self { internet: true, ..Self::default() }
    }

    /// Takes over new settings.
    pub(crate) fn apply(&mut self, settings: Settings) {
        self.generation += 1;
        self.internet = settings.internet.map_or(self.internet, |internet| internet.enabled);
        if settings.port.is_some() {
            self.port = settings.port;
            self.confirmed = false;
        }
        if let Some(dns) = settings.dns {
            self.hosts = Arc::new(Hosts::new(dns.allow_hostnames));
            self.confirmed = true;
        }
    }

    /// Whether there is any outbound connection that could be made.
    pub(crate) fn wants_route(&self) -> bool {
        self.internet || !self.hosts.is_empty()
    }
}

/// Hosts by name, with `*` for any characters. workerd leaves out ports, and says `*` when it has a
/// handler for an address or a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Hosts(Vec<String>);

impl Hosts {
    /// Patterns in any case, with or without the root's dot.
    pub(crate) fn new(patterns: Vec<String>) -> Self {
        let clean = |pattern: String| pattern.trim().trim_end_matches('.').to_ascii_lowercase();
        Self(patterns.into_iter().map(clean).filter(|pattern| !pattern.is_empty()).collect())
    }

    /// Whether the Worker handles nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it may handle anything, also what has no name.
    pub(crate) fn any(&self) -> bool {
        self.0.iter().any(|pattern| pattern == "*")
    }

    /// Whether it may handle this host, in lower case.
    pub(crate) fn contains(&self, host: &str) -> bool {
        host.len() <= MOST_HOST_BYTES && self.0.iter().any(|pattern| matches(pattern, host))
    }
}

/// Whether `text` is `pattern` with something in place of each `*`.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn applied(outbound: &mut Outbound, body: &str) {
        outbound.apply(serde_json::from_str(body).unwrap());
    }

    fn hosts(patterns: &[&str]) -> Hosts {
        Hosts::new(patterns.iter().map(|&pattern| pattern.to_owned()).collect())
    }

    #[test]
    fn settings_of_the_port_alone_leave_the_rest_and_are_not_confirmed() {
        let mut outbound = Outbound::default();
        let whole = r#"{"port":1,"dns":{"allowHostnames":["a.b"]},"internet":{"enabled":true}}"#;
        applied(&mut outbound, whole);
        assert!(outbound.internet && outbound.confirmed && outbound.hosts.contains("a.b"));
        applied(&mut outbound, r#"{"port":33653}"#);
        assert_eq!(outbound.port, Some(33_653));
        assert!(outbound.internet && outbound.hosts.contains("a.b") && !outbound.confirmed);
        applied(&mut outbound, r#"{"port":33653,"dns":{}}"#);
        assert!(outbound.confirmed && outbound.hosts.is_empty() && outbound.internet);
    }

    #[test]
    fn an_instance_without_internet_is_routed_for_its_handlers() {
        let mut outbound = Outbound::default();
        applied(&mut outbound, r#"{"port":1,"dns":{},"internet":{"enabled":false}}"#);
        assert!(!outbound.wants_route());
        applied(&mut outbound, r#"{"port":1,"dns":{"allowHostnames":["a.b"]}}"#);
        assert!(outbound.wants_route() && !outbound.internet);
    }

    #[test]
    fn bg1_hosts_are_globs() {
        for (pattern, host, wanted) in [
            ("api.example.com", "api.example.com", true),
            ("API.Example.com.", "api.example.com", true),
            ("api.example.com", "api.example.com.evil.net", false),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("google.*.com", "google.co.com", true),
            ("goo*gle", "google", true),
            ("a*a", "a", false),
            ("*", "anything", true),
            ("a**b", "ab", true),
        ] {
            assert_eq!(hosts(&[pattern]).contains(host), wanted, "{pattern} {host}");
        }
        assert!(hosts(&["a", "*"]).any() && !hosts(&["a", "*.b"]).any());
        assert!(hosts(&["", " . "]).is_empty());
    }

    proptest! {
        #[test]
        fn no_settings_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = serde_json::from_slice::<Settings>(&bytes);
        }

        #[test]
        fn a_pattern_matches_what_its_stars_stand_for(
            parts in proptest::collection::vec("[a-c.]{0,3}", 1..5),
            fill in "[a-c.]{0,3}",
        ) {
            prop_assert!(matches(&parts.join("*"), &parts.join(&fill)));
        }

        #[test]
        fn any_pattern_and_any_text_are_fine(pattern in "\\PC{0,20}", text in "\\PC{0,20}") {
            let _ = matches(&pattern, &text);
        }
    }
}
