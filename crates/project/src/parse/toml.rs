//! TOML, into the same tree as JSONC. Keys are put in the order of the file.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::jsonc::SyntaxError;
use crate::tree::{Entry, Node, Object, Value};

/// Parses a file; every syntax error in it is reported.
pub(crate) fn parse(text: &str) -> Result<Node, Vec<SyntaxError>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let place = |error: &toml::de::Error| error.span().unwrap_or(0..0);
        return Err(errors.iter().map(|e| (sentence(e.message()), place(e))).collect());
    }
    let span = table.span();
    let object = object(table.into_inner(), text).map_err(|error| vec![error])?;
    Ok(Node { span, value: Value::Object(object) })
}

/// The first letter in upper case, as in the other messages about files.
fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

fn object(table: DeTable<'_>, text: &str) -> Result<Object, SyntaxError> {
    let mut entries = Vec::new();
    for (key, value) in table {
        let key_span = key.span();
        entries.push(Entry {
            key: key.into_inner().into_owned(),
            key_span,
            node: node(value, text)?,
        });
    }
    entries.sort_by_key(|entry| entry.key_span.start);
    Ok(Object { entries })
}

fn node(value: Spanned<DeValue<'_>>, text: &str) -> Result<Node, SyntaxError> {
    let span = value.span();
    let value = match value.into_inner() {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Boolean(value) => Value::Bool(value),
        DeValue::Integer(int) => {
            let number = i64::from_str_radix(int.as_str(), int.radix());
            Value::Number(number.map_err(|_| out_of_range(text, &span))?.into())
        }
        DeValue::Float(float) => {
            let number = float.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            Value::Number(number.ok_or_else(|| out_of_range(text, &span))?)
        }
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(items) => {
            Value::Array(items.into_iter().map(|item| node(item, text)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => Value::Object(object(table, text)?),
    };
    Ok(Node { span, value })
}

fn out_of_range(text: &str, span: &Range<usize>) -> SyntaxError {
    let number = text.get(span.clone()).unwrap_or_default();
    (format!("Number out of range: {number}"), span.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tables_arrays_and_values_become_the_same_tree_as_json() {
        let text = "z = 1\nname = \"x\"\n[[containers]]\nimage = './D'\nmax = 0x10\n[vars]\nA.B = [1.5, true]\nT = 2026-01-02\n";
        let node = parse(text).unwrap();
        assert_eq!(
            node.json(),
            r#"{"z":1,"name":"x","containers":[{"image":"./D","max":16}],"vars":{"A":{"B":[1.5,true]},"T":"2026-01-02"}}"#
        );
    }

    #[test]
    fn spans_point_at_values_and_keys() {
        let text = "a = 1\n[b]\nc = \"d\"\n";
        let node = parse(text).unwrap();
        let b = node.as_object().unwrap().get("b").unwrap();
        let c = b.node.as_object().unwrap().get("c").unwrap();
        assert_eq!(&text[c.key_span.clone()], "c");
        assert_eq!(&text[c.node.span.clone()], "\"d\"");
    }

    #[test]
    fn every_error_is_reported_with_its_place() {
        let errors = parse("a = \nb = \"open\nc = 1\nc = 2\n").unwrap_err();
        assert!(errors.len() >= 2, "{errors:?}");
        assert!(errors[0].1.start <= 5, "{errors:?}");
    }

    #[test]
    fn numbers_without_a_json_form_are_errors() {
        for text in ["a = inf", "a = nan", "a = 99999999999999999999"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        assert!(parse(&format!("a = {}", "[".repeat(100_000))).is_err());
        assert!(parse(&format!("a = {}", "{b=".repeat(100_000))).is_err());
        let _ = parse(&format!("{}b = 1", "a.".repeat(100_000)));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = parse(&text);
        }

        #[test]
        fn nothing_like_toml_makes_it_panic(text in r#"([\[\]{}=,."'\\#\n a-c0-9:TZ_+-]|\\u[0-9a-fD]{0,4}|é){0,60}"#) {
            if let Ok(node) = parse(&text) {
                prop_assert!(text.get(node.span.clone()).is_some());
            }
        }
    }
}
