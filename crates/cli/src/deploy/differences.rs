//! What is otherwise than the configuration wants it.

use serde::Serialize;
use serde_json::Value;

/// A field that is otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Difference {
    /// Its name, after those of the objects that it is in, with points between them.
    pub(crate) field: String,
    /// Null if it is not there.
    pub(crate) before: Value,
    pub(crate) after: Value,
}

/// All of them, in the order of their names; what is not spoken of may be anything.
pub(crate) fn differences(known: &Value, wanted: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", known, wanted, &mut found);
    found.sort_by(|one, other| one.field.cmp(&other.field));
    found
}

fn compare(field: &str, known: &Value, wanted: &Value, found: &mut Vec<Difference>) {
    match (known, wanted) {
        (Value::Object(_) | Value::Null, Value::Object(wanted)) if !wanted.is_empty() => {
            for (name, value) in wanted {
                let below = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
                compare(&below, known.get(name).unwrap_or(&Value::Null), value, found);
            }
        }
        (Value::Object(_), Value::Object(_)) => {}
        // 1 and 1.0 are the same number.
        (Value::Number(known), Value::Number(wanted)) if known.as_f64() == wanted.as_f64() => {}
        (known, wanted) if known == wanted => {}
        (known, wanted) => found.push(Difference {
            field: field.to_owned(),
            before: known.clone(),
            after: wanted.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_told_field_by_field_and_nothing_else() {
        let known = json!({"id": "x", "max_instances": 5, "vcpu": 1,
            "configuration": {"image": "a", "disk": {"size": "2GB", "size_mb": 2000}}});
        let wanted = json!({"max_instances": 6, "vcpu": 1.0, "observability": {"enabled": true},
            "configuration": {"image": "b", "disk": {"size_mb": 2000}}});
        let told: Vec<_> = differences(&known, &wanted)
            .into_iter()
            .map(|one| (one.field, one.before, one.after))
            .collect();
        assert_eq!(
            told,
            [
                ("configuration.image".to_owned(), json!("a"), json!("b")),
                ("max_instances".to_owned(), json!(5), json!(6)),
                ("observability.enabled".to_owned(), Value::Null, json!(true)),
            ]
        );
        assert!(differences(&known, &known).is_empty());
        assert!(differences(&Value::Null, &json!({"gone": null})).is_empty());
        assert_eq!(differences(&Value::Null, &json!({"list": []})).len(), 1);
    }
}
