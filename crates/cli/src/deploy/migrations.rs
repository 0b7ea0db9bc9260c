//! Which migrations a deploy makes: those after the last that the platform knows. Pure.

use serde_json::{Map, Value, json};

use crate::error::{CliError, Kind};

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

/// Refuses a version that does not serve yet, unless all migrations are made: they are not taken back
/// with it, so they come with code that serves.
pub(crate) fn refuse_open(migrations: &[Value], made: Option<&str>) -> Result<(), CliError> {
    let Some(wanted) = wanted(migrations, made) else { return Ok(()) };
    let last = wanted["new_tag"].as_str().unwrap_or_default();
    let made =
        made.map_or("it has made none".to_owned(), |tag| format!("its last one is \"{tag}\""));
    let text = format!(
        "the platform has not made the migration \"{last}\" yet ({made}), and makes none when a version \
         is uploaded"
    );
    Err(CliError::new(Kind::Failure, text)
        .hint("`berth deploy` makes it, together with code that serves at once"))
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

    #[test]
    fn a_version_that_does_not_serve_brings_no_migration() {
        let all = [json!({"tag": "v1", "new_sqlite_classes": ["A"]}), json!({"tag": "v2"})];
        assert!(refuse_open(&[], None).is_ok() && refuse_open(&all, Some("v2")).is_ok());
        for (made, text) in [(None, "made none"), (Some("v1"), "\"v1\""), (Some("v9"), "\"v9\"")] {
            let error = refuse_open(&all, made).unwrap_err().to_string();
            assert!(error.contains("\"v2\"") && error.contains(text), "{error}");
        }
    }
}
