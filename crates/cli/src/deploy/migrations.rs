//! Which migrations a deploy makes: those after the last that the platform knows. Pure.

use serde_json::{Map, Value, json};

/// What the upload says of `migrations`; nothing if all of them were made.
pub(crate) fn wanted(migrations: &[Value], made: Option<&str>) -> Option<Value> {
    let known = made.and_then(|tag| migrations.iter().position(|one| one["tag"] == json!(tag)));
    let open = &migrations[known.map_or(0, |at| at + 1)..];
    let last = open.last()?;
    let mut wanted = json!({
        "new_tag": last["tag"],
        "steps": open.iter().map(step).collect::<Vec<_>>(),
    });
    if let Some(tag) = made {
        wanted["old_tag"] = json!(tag);
    }
    Some(wanted)
}

/// Whether the platform has made a migration that the configuration does not name.
pub(crate) fn is_unknown(migrations: &[Value], made: Option<&str>) -> bool {
    made.is_some_and(|tag| !migrations.iter().any(|one| one["tag"] == json!(tag)))
}

/// A migration without its tag.
fn step(migration: &Value) -> Value {
    let fields = migration.as_object().into_iter().flatten().filter(|(name, _)| *name != "tag");
    Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_after_the_last_one_made_is_sent() {
        let all = [
            json!({"tag": "v1", "new_sqlite_classes": ["A"]}),
            json!({"tag": "v2", "renamed_classes": [{"from": "A", "to": "B"}]}),
        ];
        let second = json!({"renamed_classes": [{"from": "A", "to": "B"}]});
        assert_eq!(
            wanted(&all, None),
            Some(json!({"new_tag": "v2", "steps": [{"new_sqlite_classes": ["A"]}, second]}))
        );
        assert_eq!(
            wanted(&all, Some("v1")),
            Some(json!({"old_tag": "v1", "new_tag": "v2", "steps": [second]}))
        );
        assert_eq!(wanted(&all, Some("v2")), None);
        assert_eq!(wanted(&[], None), None);
        assert!(is_unknown(&all, Some("v9")) && !is_unknown(&all, Some("v1")));
        assert_eq!(wanted(&all, Some("v9")).unwrap()["old_tag"], json!("v9"));
    }
}
