//! `.env` and `.dev.vars` files by the rules of the npm packages `dotenv` and `dotenv-expand`.
//!
//! A line that is no assignment is skipped, as `dotenv` does: such files hold secrets, so none of
//! their lines is ever shown in a message.

use std::collections::BTreeMap;

/// Keys and values in the order of the file; a later one of the same key wins.
pub(crate) type Pairs = Vec<(String, String)>;

/// The keys and values of a `.env` file's text, in its order; a later one of the same key wins.
/// References in values are not expanded.
#[must_use]
pub fn parse(text: &str) -> Pairs {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut pairs = Pairs::new();
    let mut rest = text.as_str();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return pairs;
        }
        match assignment(rest) {
            Some((key, value, after)) => {
                pairs.push((key.to_owned(), value));
                rest = after;
            }
            None => rest = rest.split_once('\n').map_or("", |(_, after)| after),
        }
    }
}

/// `[export ]KEY=value` at the start of `text`, and what follows it.
fn assignment(text: &str) -> Option<(&str, String, &str)> {
    let exported = text
        .strip_prefix("export")
        .filter(|rest| rest.starts_with([' ', '\t']))
        .and_then(|rest| named(rest.trim_start_matches([' ', '\t'])));
    let (key, rest) = exported.or_else(|| named(text))?;
    let (value, after) = quoted_value(rest).unwrap_or_else(|| bare_value(rest));
    Some((key, unquote(value), after))
}

/// The key and what follows its `=` or `: `.
fn named(text: &str) -> Option<(&str, &str)> {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let end = text.find(|c| !word(c))?;
    let (key, rest) = text.split_at(end);
    if key.is_empty() {
        return None;
    }
    if let Some(rest) = rest.trim_start_matches([' ', '\t']).strip_prefix('=') {
        return Some((key, rest));
    }
    let rest = rest.strip_prefix(':')?;
    rest.starts_with([' ', '\t', '\n']).then_some((key, rest))
}

/// A value in quotes, which may span lines, if nothing but a comment follows it.
fn quoted_value(text: &str) -> Option<(&str, &str)> {
    let value = text.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '\'' | '"' | '`'))?;
    let mut escaped = Vec::new();
    let mut end = None;
    for (at, _) in value.match_indices(quote).skip(1) {
        if value[..at].ends_with('\\') {
            escaped.push(at);
        } else {
            end = Some(at);
            break;
        }
    }
    // An escaped quote ends the value only where no other one does.
    let candidates = end.into_iter().chain(escaped.into_iter().rev());
    candidates.into_iter().find_map(|at| {
        let (inside, after) = value.split_at(at + 1);
        let (line, following) = after.split_once('\n').unwrap_or((after, ""));
        let line = line.trim_start();
        (line.is_empty() || line.starts_with('#')).then_some((inside, following))
    })
}

/// A value without quotes: up to a `#` or the end of the line.
fn bare_value(text: &str) -> (&str, &str) {
    let (line, following) = text.split_once('\n').unwrap_or((text, ""));
    let value = line.split_once('#').map_or(line, |(value, _)| value);
    (value.trim(), following)
}

fn unquote(value: &str) -> String {
    let double = value.starts_with('"');
    let inner = ['\'', '"', '`']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value);
    if double { inner.replace("\\n", "\n").replace("\\r", "\r") } else { inner.to_owned() }
}

/// Longest text that an expansion may grow to; real ones are far below.
const EXPANSION_LIMIT: usize = 1 << 20;

/// Replaces `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+alternative}` in values.
///
/// A value can use those before it and those of `environment`, which win over the file's.
pub(crate) fn expand(
    pairs: &[(String, String)],
    environment: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    // `dotenv` keeps one value for each key, at the place of its first line.
    let mut order: Vec<&str> = Vec::new();
    let mut last = BTreeMap::new();
    for (key, value) in pairs {
        if last.insert(key.as_str(), value.as_str()).is_none() {
            order.push(key);
        }
    }
    let mut known = BTreeMap::new();
    for key in order {
        let value = match environment.get(key).filter(|value| !value.is_empty()) {
            Some(value) => value.clone(),
            None => expand_value(last[key], |name| environment.get(name).or(known.get(name))),
        };
        known.insert(key.to_owned(), value.replace("\\$", "$"));
    }
    known
}

fn expand_value<'a>(value: &str, lookup: impl Fn(&str) -> Option<&'a String>) -> String {
    let mut result = value.to_owned();
    let mut seen = std::collections::BTreeSet::new();
    // Values may hold references themselves; a result seen before would go round forever.
    for _ in 0..1_000 {
        let Some((from, to, expression)) = reference(&result) else { break };
        let replacement = {
            let (name, operator, rest) = split_expression(expression);
            let value = lookup(name).filter(|value| !value.is_empty());
            match operator {
                ":+" | "+" => {
                    if value.is_some() {
                        rest.to_owned()
                    } else {
                        String::new()
                    }
                }
                _ => match value {
                    Some(value) if !seen.contains(value.as_str()) => value.clone(),
                    _ => rest.to_owned(),
                },
            }
        };
        seen.insert(result.clone());
        result.replace_range(from..to, &replacement);
        if result.len() > EXPANSION_LIMIT {
            break;
        }
    }
    result
}

/// The first reference that is not escaped: where it begins and ends, and what is in it.
fn reference(text: &str) -> Option<(usize, usize, &str)> {
    for (at, _) in text.match_indices('$') {
        if text[..at].ends_with('\\') {
            continue;
        }
        let rest = &text[at + 1..];
        if let Some(inner) = rest.strip_prefix('{') {
            let end = inner.find(['{', '}']).filter(|end| *end > 0);
            if let Some(end) = end.filter(|end| inner[*end..].starts_with('}')) {
                return Some((at, at + 2 + end + 1, &inner[..end]));
            }
        }
        let starts = rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if starts {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
            return Some((at, at + 1 + end, &rest[..end]));
        }
    }
    None
}

/// `NAME`, the operator and what follows it.
fn split_expression(expression: &str) -> (&str, &str, &str) {
    let Some(at) = expression.find(['-', '+']) else { return (expression, "", "") };
    let from = if expression[..at].ends_with(':') { at - 1 } else { at };
    (&expression[..from], &expression[from..=at], &expression[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> Pairs {
        parse(text)
    }

    #[test]
    fn values_are_read_as_dotenv_reads_them() {
        let cases = [
            ("A=1", "1"),
            ("A = spaced  ", "spaced"),
            ("export A=1", "1"),
            ("A: yaml", "yaml"),
            ("A=", ""),
            ("A=x # comment", "x"),
            ("A=x#comment", "x"),
            ("A='x # y' # comment", "x # y"),
            ("A=\"x # y\"", "x # y"),
            ("A=`x 'y' \"z\"`", "x 'y' \"z\""),
            ("A='a\\nb'", "a\\nb"),
            ("A=\"a\\nb\"", "a\nb"),
            ("A=\"line\nline\"", "line\nline"),
            ("A=\"it \\\"is\\\" x\"", "it \\\"is\\\" x"),
            ("A=\"x\" y", "\"x\" y"),
            ("A=\"open", "\"open"),
            ("A=a=b", "a=b"),
            ("A=\r\n", ""),
        ];
        for (text, value) in cases {
            assert_eq!(one(text), [("A".to_owned(), value.to_owned())], "{text}");
        }
    }

    #[test]
    fn lines_that_assign_nothing_are_skipped() {
        let text = "# c\n\nnot an assignment\nA=1\n=x\nB='2'\n";
        let keys: Vec<_> = parse(text).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["A", "B"]);
    }

    #[test]
    fn references_are_expanded_from_what_came_before() {
        let text = "A=1\nB=${A}2\nC=$B-$NONE\nD=${NONE:-x}\nE=${A:+y}\nF=${NONE:+y}\nG=\\$A\nH=$H";
        let values = expand(&parse(text), &BTreeMap::new());
        let get = |key: &str| values[key].as_str();
        let all: Vec<_> = ["A", "B", "C", "D", "E", "F", "G", "H"].map(get).into();
        assert_eq!(all, ["1", "12", "12-", "x", "y", "", "$A", ""]);
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let environment = BTreeMap::from([("A".to_owned(), "outer".to_owned())]);
        let values = expand(&parse("A=1\nB=$A"), &environment);
        assert_eq!((values["A"].as_str(), values["B"].as_str()), ("outer", "outer"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = expand(&parse(&text), &BTreeMap::new());
        }

        #[test]
        fn nothing_like_dotenv_makes_it_panic(text in r#"([A-C=:$\\{}'"`#\n\r -]|export |\$\{A|é){0,60}"#) {
            let _ = expand(&parse(&text), &BTreeMap::new());
        }
    }
}
