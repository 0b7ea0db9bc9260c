//! Paths and query strings: split first, percent-decode after.

use std::borrow::Cow;

/// The path's segments, decoded; empty ones are left out.
pub(crate) fn segments(path: &str) -> Vec<String> {
    path.split('/').filter(|part| !part.is_empty()).map(|part| decode(part, false)).collect()
}

/// A query string.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a>(pub(crate) &'a str);

impl Query<'_> {
    /// The first value of `key`, decoded.
    pub(crate) fn get(self, key: &str) -> Option<String> {
        self.0.split('&').find_map(|pair| value_of(pair, key))
    }

    /// Every value of `key`, decoded.
    pub(crate) fn all(self, key: &str) -> Vec<String> {
        self.0.split('&').filter_map(|pair| value_of(pair, key)).collect()
    }

    /// Whether `key` is set to what the Docker API takes for true.
    pub(crate) fn flag(self, key: &str) -> bool {
        let value = self.get(key).unwrap_or_default().to_ascii_lowercase();
        !matches!(value.trim(), "" | "0" | "no" | "false" | "none")
    }
}

fn value_of(pair: &str, key: &str) -> Option<String> {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (decode(name, true) == key).then(|| decode(value, true))
}

/// Percent-decodes; what is no escape stays as it is, what is no UTF-8 is replaced.
fn decode(text: &str, plus_is_space: bool) -> String {
    let text = if plus_is_space && text.contains('+') {
        Cow::Owned(text.replace('+', " "))
    } else {
        Cow::Borrowed(text)
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'%', [high, low, after @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                bytes.push(nibble(*high) << 4 | nibble(*low));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_that_is_escaped_is_no_separator() {
        assert_eq!(segments("/a%2Fb//c/"), ["a/b", "c"]);
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        assert_eq!(segments("/%/%4/%zz"), ["%", "%4", "%zz"]);
    }

    #[test]
    fn a_query_gives_the_first_value_decoded() {
        let query = Query("a=1&path=%2Fetc+x&path=2&flag");
        assert_eq!(query.get("path").as_deref(), Some("/etc x"));
        assert_eq!(query.get("flag").as_deref(), Some(""));
        assert_eq!(query.get("none"), None);
        assert_eq!(query.all("path"), ["/etc x", "2"]);
        assert!(query.flag("a") && !query.flag("flag") && !query.flag("none"));
    }
}
