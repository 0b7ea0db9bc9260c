//! What a watcher wants to see: pure.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use crate::envelope::Failure;

/// What every event must pass, all of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Filters(Vec<Filter>);

/// One condition, as clients send it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, untagged, rename_all_fields = "camelCase")]
enum Filter {
    #[serde(rename_all = "snake_case")]
    Sampling {
        sampling_rate: f64,
    },
    Outcome {
        outcome: Vec<String>,
    },
    Method {
        method: Vec<String>,
    },
    Header {
        header: Header,
    },
    #[serde(rename_all = "snake_case")]
    ClientIp {
        client_ip: Vec<String>,
    },
    Query {
        query: String,
    },
    Version {
        script_version: String,
    },
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    key: String,
    #[serde(default)]
    query: Option<String>,
}

/// The client who asks, as `client_ip` names it.
const SELF: &str = "self";

impl Filters {
    /// Reads what a client asks for, who has this address.
    ///
    /// # Errors
    /// A condition is not known; the answer holds it.
    pub(crate) fn parse(filters: &[Value], client: Option<IpAddr>) -> Result<Self, Failure> {
        let filter = |value: &Value| {
            let parsed: Filter = serde_json::from_value(value.clone())
                .map_err(|_| Failure::bad_request(format!("Berth knows no filter {value}")))?;
            let Filter::ClientIp { mut client_ip } = parsed else { return Ok(parsed) };
            for address in client_ip.iter_mut().filter(|address| *address == SELF) {
                let client = client.ok_or_else(|| {
                    Failure::bad_request("your own address is not known: filter by an address")
                })?;
                *address = client.to_canonical().to_string();
            }
            Ok(Filter::ClientIp { client_ip })
        };
        filters.iter().map(filter).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an event passes; `chance` is a number from 0 to 1.
    pub(crate) fn pass(&self, event: &Value, chance: impl Fn() -> f64) -> bool {
        self.0.iter().all(|filter| filter.passes(event, &chance))
    }
}

impl Filter {
    fn passes(&self, event: &Value, chance: impl Fn() -> f64) -> bool {
        let request = &event["event"]["request"];
        let header = |name: &str| {
            let mut headers = request["headers"].as_object().into_iter().flatten();
            let found = headers.find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.and_then(|(_, value)| value.as_str())
        };
        let is_one = |value: &Value, of: &[String]| {
            value.as_str().is_some_and(|text| of.iter().any(|one| one.eq_ignore_ascii_case(text)))
        };
        match self {
            Self::Sampling { sampling_rate } => chance() < *sampling_rate,
            Self::Outcome { outcome } => is_one(&event["outcome"], outcome),
            Self::Method { method } => is_one(&request["method"], method),
            Self::Header { header: Header { key, query } } => header(key)
                .is_some_and(|value| query.as_ref().is_none_or(|query| value.contains(query))),
            Self::ClientIp { client_ip } => header("cf-connecting-ip")
                .is_some_and(|client| client_ip.iter().any(|address| address == client)),
            Self::Query { query } => says(event, query),
            Self::Version { script_version } => event["scriptVersion"]["id"] == **script_version,
        }
    }
}

/// Whether a text is in what was written to the console.
fn says(event: &Value, query: &str) -> bool {
    let mut logs = event["logs"].as_array().into_iter().flatten();
    logs.any(|log| {
        let mut parts = log["message"].as_array().into_iter().flatten();
        parts.any(|part| match part.as_str() {
            Some(text) => text.contains(query),
            None => part.to_string().contains(query),
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Value {
        json!({"outcome": "exception", "scriptVersion": {"id": "v1"},
            "logs": [{"message": ["hello", {"user": 7}]}],
            "event": {"request": {"method": "GET", "headers":
                {"x-key": "abc", "cf-connecting-ip": "10.0.0.1"}}}})
    }

    #[track_caller]
    fn passes(filter: Value, expected: bool) {
        let client = Some("10.0.0.1".parse().unwrap());
        let filters = Filters::parse(std::slice::from_ref(&filter), client).unwrap();
        assert_eq!(filters.pass(&event(), || 0.5), expected, "{filter}");
    }

    #[test]
    fn each_filter_lets_through_what_it_names() {
        passes(json!({"sampling_rate": 0.6}), true);
        passes(json!({"sampling_rate": 0.4}), false);
        passes(json!({"outcome": ["exception", "exceededCpu"]}), true);
        passes(json!({"outcome": ["ok"]}), false);
        passes(json!({"method": ["get"]}), true);
        passes(json!({"method": ["POST"]}), false);
        passes(json!({"header": {"key": "X-Key"}}), true);
        passes(json!({"header": {"key": "x-key", "query": "bc"}}), true);
        passes(json!({"header": {"key": "x-key", "query": "x"}}), false);
        passes(json!({"header": {"key": "y"}}), false);
        passes(json!({"client_ip": ["self"]}), true);
        passes(json!({"client_ip": ["10.0.0.2"]}), false);
        passes(json!({"query": "ell"}), true);
        passes(json!({"query": "\"user\":7"}), true);
        passes(json!({"query": "bye"}), false);
        passes(json!({"scriptVersion": "v1"}), true);
        passes(json!({"scriptVersion": "v2"}), false);
    }

    #[test]
    fn all_must_let_it_through_and_unknown_ones_are_refused() {
        let both = [json!({"method": ["GET"]}), json!({"query": "bye"})];
        assert!(!Filters::parse(&both, None).unwrap().pass(&event(), || 0.0));
        assert!(Filters::default().pass(&event(), || 0.0));
        for wrong in [json!({"colour": "red"}), json!(1), json!({"client_ip": ["self"]})] {
            assert!(Filters::parse(std::slice::from_ref(&wrong), None).is_err(), "{wrong}");
        }
    }
}
