//! Durable Object classes over the versions of a Worker: pure.

use crate::envelope::Failure;
use crate::records::{Class, Script};
use crate::upload::{Metadata, MigrationStep, Migrations, WireExport};

/// Makes the class changes that an upload asks for.
///
/// # Errors
/// A change makes no sense, or is one that Berth does not make.
pub(crate) fn apply(script: &mut Script, metadata: &Metadata) -> Result<(), Failure> {
    if let Some(migrations) = &metadata.migrations {
        check_tag(script, migrations)?;
        migrations.steps.iter().try_for_each(|step| apply_step(&mut script.classes, step))?;
        if migrations.new_tag.is_some() {
            script.migration_tag.clone_from(&migrations.new_tag);
        }
    }
    for (name, export) in &metadata.exports {
        check_export(name, export)?;
        if export.kind == "durable-object" && script.class(name).is_none() {
            let sqlite = export.storage.as_deref() != Some("legacy-kv");
            script.classes.push(new_class(name, sqlite));
        }
    }
    Ok(())
}

fn check_export(name: &str, export: &WireExport) -> Result<(), Failure> {
    let state = export.state.as_deref().unwrap_or("created");
    let wrong = match (export.kind.as_str(), state) {
        ("durable-object", "created") | ("worker", _) => return Ok(()),
        ("durable-object", state) => format!("the state \"{state}\""),
        (kind, _) => format!("the type \"{kind}\""),
    };
    Err(Failure::validation(format!("exports: {wrong} of \"{name}\" is not done by Berth yet")))
}

/// The client must know what has been applied already.
fn check_tag(script: &Script, migrations: &Migrations) -> Result<(), Failure> {
    if migrations.old_tag == script.migration_tag {
        return Ok(());
    }
    let tag = |tag: &Option<String>| tag.as_ref().map_or("none".to_owned(), |t| format!("\"{t}\""));
    Err(Failure::new(
        http::StatusCode::PRECONDITION_FAILED,
        10079,
        format!(
            "migrations: the expected tag is {}, and the Worker's is {}",
            tag(&migrations.old_tag),
            tag(&script.migration_tag)
        ),
    ))
}

fn apply_step(classes: &mut Vec<Class>, step: &MigrationStep) -> Result<(), Failure> {
    if !step.transferred_classes.is_empty() {
        let message = "migrations: `transferred_classes` is not done by Berth yet";
        return Err(Failure::validation(message));
    }
    for (names, sqlite) in [(&step.new_classes, false), (&step.new_sqlite_classes, true)] {
        for name in names {
            absent(classes, name, "new")?;
            classes.push(new_class(name, sqlite));
        }
    }
    for renamed in &step.renamed_classes {
        absent(classes, &renamed.to, "renamed")?;
        let position = position(classes, &renamed.from, "renamed")?;
        classes[position].name.clone_from(&renamed.to);
    }
    for name in &step.deleted_classes {
        classes.remove(position(classes, name, "deleted")?);
    }
    Ok(())
}

fn new_class(name: &str, sqlite: bool) -> Class {
    let namespace_id = uuid::Uuid::new_v4().simple().to_string();
    Class { name: name.to_owned(), namespace_id, sqlite }
}

fn absent(classes: &[Class], name: &str, what: &str) -> Result<(), Failure> {
    if classes.iter().all(|class| class.name != name) {
        return Ok(());
    }
    let message = format!(
        "Cannot apply {what}-class migration to class '{name}' that is already depended on by \
         existing Durable Objects."
    );
    Err(Failure::new(http::StatusCode::BAD_REQUEST, 10074, message))
}

fn position(classes: &[Class], name: &str, what: &str) -> Result<usize, Failure> {
    let found = classes.iter().position(|class| class.name == name);
    found.ok_or_else(|| {
        let message =
            format!("Cannot apply {what}-class migration to non-existent class '{name}'.");
        Failure::new(http::StatusCode::BAD_REQUEST, 10070, message)
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn applied(script: &mut Script, metadata: &Value) -> Result<(), String> {
        let metadata = Metadata::parse(metadata.to_string().as_bytes()).unwrap();
        apply(script, &metadata).map_err(|failure| format!("{failure:?}"))
    }

    fn script() -> Script {
        let mut script = Script::new("w", Timestamp::UNIX_EPOCH);
        let first =
            json!({"migrations": {"new_tag": "v1", "steps": [{"new_sqlite_classes": ["A"]}]}});
        applied(&mut script, &first).unwrap();
        script
    }

    #[test]
    fn a_renamed_class_keeps_its_namespace_and_a_deleted_one_goes() {
        let mut script = script();
        let namespace = script.class("A").unwrap().namespace_id.clone();
        let steps = json!([
            {"renamed_classes": [{"from": "A", "to": "B"}], "new_classes": ["C"]},
            {"deleted_classes": ["C"]},
        ]);
        let next = json!({"migrations": {"old_tag": "v1", "new_tag": "v3", "steps": steps}});
        applied(&mut script, &next).unwrap();
        let expected = Class { name: "B".into(), namespace_id: namespace, sqlite: true };
        assert_eq!((script.classes, script.migration_tag), (vec![expected], Some("v3".into())));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let wrong = |step: Value, text: &str| {
            let steps = json!({"migrations": {"old_tag": "v1", "new_tag": "v2", "steps": [step]}});
            let error = applied(&mut script(), &steps).unwrap_err();
            assert!(error.contains(text), "{error}");
        };
        wrong(json!({"new_classes": ["A"]}), "new-class migration to class 'A'");
        wrong(json!({"deleted_classes": ["X"]}), "non-existent class 'X'");
        wrong(json!({"renamed_classes": [{"from": "X", "to": "Y"}]}), "non-existent class 'X'");
        wrong(json!({"transferred_classes": [{}]}), "transferred_classes");
        let stale = json!({"migrations": {"new_tag": "v2", "steps": []}});
        let error = applied(&mut script(), &stale).unwrap_err();
        assert!(error.contains("expected tag is none"), "{error}");
    }

    #[test]
    fn an_export_makes_its_class_once() {
        let mut script = script();
        let exports = json!({"exports": {
            "A": {"type": "durable-object", "storage": "sqlite"},
            "B": {"type": "durable-object", "storage": "sqlite", "container": "b"},
            "Entry": {"type": "worker"},
        }});
        applied(&mut script, &exports).unwrap();
        applied(&mut script, &exports).unwrap();
        let names: Vec<_> = script.classes.iter().map(|class| class.name.as_str()).collect();
        assert_eq!(names, ["A", "B"]);
        for wrong in
            [json!({"type": "durable-object", "state": "deleted"}), json!({"type": "workflow"})]
        {
            let error = applied(&mut script, &json!({"exports": {"A": wrong}})).unwrap_err();
            assert!(error.contains("not done by Berth yet"), "{error}");
        }
    }
}
