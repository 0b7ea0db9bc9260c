//! `?filters={…}`: what a list is narrowed to. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::EngineError;

/// Filters by key; of one key's values one has to fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// From the query's value: `{"label":["a=b"]}`, or as of old `{"label":{"a=b":true}}`.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, EngineError> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Self::default()) };
        let wrong = || EngineError::BadParameter(format!("invalid filters: {}", cut(text)));
        let Value::Object(map) = serde_json::from_str(text).map_err(|_| wrong())? else {
            return Err(wrong());
        };
        let mut filters = BTreeMap::new();
        for (key, values) in map {
            let values = match values {
                Value::Array(list) => {
                    let text = |value: &Value| value.as_str().map(str::to_owned);
                    list.iter().map(text).collect::<Option<Vec<_>>>().ok_or_else(wrong)?
                }
                Value::Object(map) => map
                    .into_iter()
                    .filter(|(_, on)| *on == Value::Bool(true))
                    .map(|(k, _)| k)
                    .collect(),
                _ => return Err(wrong()),
            };
            filters.insert(key, values);
        }
        Ok(Self(filters))
    }

    /// Refuses keys that nothing is known of: a list that is too long misleads.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), EngineError> {
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(EngineError::BadParameter(format!("invalid filter '{}'", cut(key)))),
            None => Ok(()),
        }
    }

    /// The values of a key; none when it is not filtered by.
    pub(super) fn values(&self, key: &str) -> &[String] {
        self.0.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether one of the key's values fits, or there is none.
    pub(super) fn fits(&self, key: &str, fits: impl Fn(&str) -> bool) -> bool {
        let values = self.values(key);
        values.is_empty() || values.iter().any(|value| fits(value))
    }

    /// Whether every `label` filter is met: `key` or `key=value`.
    pub(super) fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.values("label").iter().all(|wanted| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|own| own == value),
            None => labels.contains_key(wanted),
        })
    }

    /// Whether a `dangling` filter is set, and to what.
    pub(super) fn dangling(&self) -> Option<bool> {
        self.values("dangling").first().map(|value| matches!(value.as_str(), "true" | "1"))
    }
}

fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filters(text: &str) -> Filters {
        Filters::parse(Some(text)).unwrap()
    }

    #[test]
    fn both_forms_are_understood() {
        assert_eq!(filters(r#"{"name":["a","b"]}"#).values("name"), ["a", "b"]);
        assert_eq!(filters(r#"{"name":{"a":true,"b":false}}"#).values("name"), ["a"]);
        assert_eq!(Filters::parse(None).unwrap(), Filters::default());
    }

    #[test]
    fn all_labels_have_to_be_there() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        assert!(filters(r#"{"label":["a","a=1"]}"#).labels(&labels));
        assert!(!filters(r#"{"label":["a=2"]}"#).labels(&labels));
        assert!(!filters(r#"{"label":["a","b"]}"#).labels(&labels));
        assert!(filters("{}").labels(&labels));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(filters(r#"{"label":[]}"#).only(&["label"]).is_ok());
        assert!(filters(r#"{"colour":["red"]}"#).only(&["label"]).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}") {
            let _ = Filters::parse(Some(&text));
        }
    }
}
