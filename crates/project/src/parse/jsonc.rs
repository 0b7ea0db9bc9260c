//! JSON with comments and trailing commas, as wrangler accepts it (not JSON5).

use std::ops::Range;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use crate::tree::{Entry, Node, Object, Value};

/// What is wrong with a text, and where.
pub(crate) type SyntaxError = (String, Range<usize>);

const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Parses a file. A file of nothing but comments is an error: there is no value in it.
pub(crate) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &OPTIONS)
        .map_err(|error| (error.kind().to_string(), range(error.range())))?;
    match parsed.value {
        Some(value) => node(value),
        None => Err(("Expected a JSON object, but the file is empty".to_owned(), 0..0)),
    }
}

fn range(range: jsonc_parser::common::Range) -> Range<usize> {
    range.start..range.end
}

fn node(value: ast::Value<'_>) -> Result<Node, SyntaxError> {
    let span = range(value.range());
    let value = match value {
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::BooleanLit(lit) => Value::Bool(lit.value),
        ast::Value::StringLit(lit) => Value::String(lit.value.into_owned()),
        ast::Value::NumberLit(lit) => Value::Number(
            lit.value
                .parse()
                .map_err(|_| (format!("Number out of range: {}", lit.value), span.clone()))?,
        ),
        ast::Value::Array(array) => {
            Value::Array(array.elements.into_iter().map(node).collect::<Result<_, _>>()?)
        }
        ast::Value::Object(object) => {
            let entries = object.properties.into_iter().map(entry).collect::<Result<_, _>>()?;
            Value::Object(Object { entries })
        }
    };
    Ok(Node { span, value })
}

fn entry(property: ast::ObjectProp<'_>) -> Result<Entry, SyntaxError> {
    let key_span = range(property.name.range());
    Ok(Entry { key: property.name.into_string(), key_span, node: node(property.value)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn comments_and_trailing_commas_are_accepted() {
        let node = parse("// a\n{ /* b */ \"c\": [1, 2.5, true, null,], }").unwrap();
        assert_eq!(node.json(), r#"{"c":[1,2.5,true,null]}"#);
    }

    #[test]
    fn an_error_points_at_its_place() {
        let text = "{\n  \"a\": 1\n  \"b\": 2\n}";
        let (message, span) = parse(text).unwrap_err();
        assert_eq!(message, "Expected comma");
        assert_eq!(text[..span.start].matches('\n').count() + 1, 2, "{span:?}");
    }

    #[test]
    fn json5_is_refused() {
        for text in
            ["{a: 1}", "{'a': 1}", "[0xff]", "[+1]", "[.5]", "[NaN]", "", "// only", "{} {}"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&"{\"a\":".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = parse(&text);
        }

        #[test]
        fn nothing_like_json_makes_it_panic(text in r#"([\[\]{}:,"\\/*\n 0-9a-fetrulsn.+-]|\\u[0-9a-fD]{0,4}|é){0,60}"#) {
            if let Ok(node) = parse(&text) {
                prop_assert!(text.get(node.span.clone()).is_some());
            }
        }
    }
}
