//! Code and containers that switch together, over a platform that carries nothing out.

use model::DurableObjectId;
use serde_json::{Value, json};

use super::super::tests::{Fixture, all, author};
use crate::cut_off::moments;
use crate::records::{ApplicationRecord, RolloutStatus};

/// What an upload says beside its code: a container `app`, and this of it.
fn saying(berth: Value) -> Value {
    json!({"containers": [{"name": "app", "class_name": "C"}], "berth": berth})
}

/// The same of the first upload, which makes the class.
fn first(mut more: Value) -> Value {
    more["migrations"] = json!({"new_tag": "v1", "steps": [{"new_sqlite_classes": ["C"]}]});
    more
}

/// The container becomes this image together with the code.
fn image(image: &str) -> Value {
    saying(json!({"atomic": [{"name": "app", "scheduling_policy": "default", "max_instances": 4,
        "configuration": {"image": image, "instance_type": "lite"}}]}))
}

fn request(fixture: &Fixture, object: &str) {
    fixture.fake.start(&DurableObjectId::try_from(object.repeat(64)).unwrap());
}

fn record(fixture: &Fixture) -> ApplicationRecord {
    fixture.workers.state.applications().unwrap().remove(0)
}

/// The code that serves, and the image that starts.
fn serving(fixture: &Fixture) -> (String, String) {
    let applications = fixture.fake.applications.lock().unwrap();
    let image = applications.values().next().and_then(|plan| plan.image.clone());
    (fixture.serving().unwrap().0, image.unwrap())
}

fn both(code: &str, image: &str) -> (String, String) {
    (code.to_owned(), image.to_owned())
}

fn running(fixture: &Fixture) -> Vec<String> {
    fixture.fake.running.lock().unwrap().iter().map(|one| one.id.clone()).collect()
}

fn stopped(fixture: &Fixture) -> Vec<String> {
    fixture.fake.stopped.lock().unwrap().concat()
}

#[tokio::test]
async fn a_deploy_brings_code_and_image_at_once_and_so_does_a_rollback() {
    let fixture = Fixture::new();
    let one = fixture.upload("one", first(image("i1")), true).await.unwrap();
    assert_eq!((serving(&fixture), record(&fixture).version), (both("one", "i1"), 1));
    request(&fixture, "a");
    fixture.upload("two", image("i2"), true).await.unwrap();
    assert_eq!((serving(&fixture), record(&fixture).version), (both("two", "i2"), 2));
    assert_eq!((stopped(&fixture), running(&fixture)), (vec!["a-1".to_owned()], vec![]));
    let rollout = fixture.workers.state.rollouts(&record(&fixture).id).unwrap().remove(0);
    assert_eq!((rollout.status, rollout.steps_done()), (RolloutStatus::Completed, 1));
    assert!(rollout.description.contains("version"), "{}", rollout.description);

    request(&fixture, "a");
    fixture.upload("three", image("i2"), true).await.unwrap();
    fixture.workers.change_bindings("w", author(), |_, _| Ok(())).await.unwrap();
    assert_eq!(serving(&fixture), both("three", "i2"));
    assert_eq!(running(&fixture), ["a-2"], "the same image goes on");

    fixture.workers.deploy("w", vec![all(one.id)], author()).await.unwrap();
    assert_eq!((serving(&fixture), record(&fixture).version), (both("one", "i1"), 3));
    assert_eq!(stopped(&fixture), ["a-1", "a-2"]);
    assert_eq!(record(&fixture).wanted["configuration"]["image"], json!("i1"));
}

#[tokio::test]
async fn an_image_that_cannot_be_had_leaves_code_and_containers_as_they_were() {
    let fixture = Fixture::new();
    fixture.upload("one", first(image("i1")), true).await.unwrap();
    request(&fixture, "a");
    *fixture.fake.broken.lock().unwrap() = Some("i2".into());
    let failure = fixture.upload("two", image("i2"), true).await.unwrap_err();
    assert!(failure.message().contains("i2: broken"), "{failure:?}");
    assert_eq!((serving(&fixture), running(&fixture)), (both("one", "i1"), vec!["a-1".into()]));
    assert_eq!(fixture.workers.state.script("w").unwrap().value.versions, 1);
}

#[tokio::test]
async fn code_that_does_not_come_leaves_the_version_before_with_its_image() {
    let fixture = Fixture::new();
    let one = fixture.upload("one", first(image("i1")), true).await.unwrap();
    *fixture.fake.unsteady.lock().unwrap() = Some("two".into());
    let failure = fixture.upload("two", image("i2"), true).await.unwrap_err();
    assert!(failure.message().contains("deployed again"), "{failure:?}");
    assert_eq!(serving(&fixture), both("one", "i1"));
    let script = fixture.workers.state.script("w").unwrap().value;
    assert_eq!((script.current, script.versions), (Some(one.id), 2));
    let known = record(&fixture);
    assert_eq!((known.version, known.image.as_deref()), (1, Some("i1")));
    let rollout = fixture.workers.state.rollouts(&known.id).unwrap().remove(0);
    assert_eq!(rollout.status, RolloutStatus::Reverted);

    *fixture.fake.unsteady.lock().unwrap() = None;
    fixture.upload("three", image("i3"), true).await.unwrap();
    assert_eq!((serving(&fixture), record(&fixture).version), (both("three", "i3"), 3));
}

#[tokio::test]
async fn a_deploy_that_dies_at_any_write_leaves_old_code_with_the_old_image_or_new_with_new() {
    for unsteady in [None, Some("two".to_owned())] {
        let mut left = Vec::new();
        for moment in moments() {
            let fixture = Fixture::new();
            fixture.upload("one", first(image("i1")), true).await.unwrap();
            request(&fixture, "a");
            let (store, dies) = fixture.that_dies(moment);
            *dies.fake.running.lock().unwrap() = fixture.fake.running.lock().unwrap().clone();
            (*dies.fake.unsteady.lock().unwrap()).clone_from(&unsteady);
            let deployed = dies.upload("two", image("i2"), true).await;
            if !store.is_dead() {
                assert_eq!(deployed.is_ok(), unsteady.is_none());
                break;
            }
            let next = fixture.next();
            *next.fake.running.lock().unwrap() = dies.fake.running.lock().unwrap().clone();
            next.workers.containers.start_all().await.unwrap();
            next.workers.start_all().await.unwrap();
            let now = serving(&next);
            let old = now == both("one", "i1");
            assert!(old || now == both("two", "i2"), "{moment:?}: {now:?}");
            let runs: &[&str] = if old { &["a-1"] } else { &[] };
            assert_eq!(running(&next), runs, "{moment:?}");
            next.upload("three", image("i3"), true).await.unwrap();
            assert_eq!(serving(&next), both("three", "i3"), "{moment:?}");
            left.push(old);
        }
        assert!(left.contains(&true) && left.contains(&false), "{unsteady:?}: {left:?}");
    }
}

#[tokio::test]
async fn where_they_switch_together_neither_is_changed_alone() {
    let fixture = Fixture::new();
    let alone = fixture.upload("zero", first(saying(Value::Null)), true).await.unwrap();
    fixture.upload("one", image("i1"), true).await.unwrap();
    let id = record(&fixture).id;
    let wanted = json!({"target_configuration": {"image": "i2"}, "step_percentage": 100});
    let refused = |failure: crate::envelope::Failure| {
        assert!(failure.message().contains("`berth deploy`"), "{failure:?}");
    };
    for deploy in [true, false] {
        refused(fixture.upload("two", saying(Value::Null), deploy).await.unwrap_err());
    }
    refused(fixture.upload("two", image("i2"), false).await.unwrap_err());
    refused(fixture.upload("two", saying(json!({"atomic": true})), true).await.unwrap_err());
    let containers = &fixture.workers.containers;
    refused(containers.roll_out(&id, &wanted).await.unwrap_err());
    let change = json!({"configuration": {"image": "i2"}});
    refused(containers.modify(&id, &change).await.unwrap_err());
    refused(fixture.workers.deploy("w", vec![all(alone.id)], author()).await.unwrap_err());
    assert_eq!(serving(&fixture), both("one", "i1"));
    containers.modify(&id, &json!({"max_instances": 3})).await.unwrap();

    fixture.upload("two", saying(json!({"atomic": false})), true).await.unwrap();
    containers.roll_out(&id, &wanted).await.unwrap();
    fixture.upload("three", saying(Value::Null), true).await.unwrap();
}

#[tokio::test]
async fn an_upload_says_of_each_of_its_containers_what_it_becomes() {
    let fixture = Fixture::new();
    let refused = async |more: Value, text: &str| {
        let failure = fixture.upload("one", first(more), true).await.unwrap_err();
        assert!(failure.message().contains(text), "{failure:?}");
    };
    refused(saying(json!({"atomic": []})), "does not say what the containers \"app\"").await;
    let mut other = image("i1");
    other["berth"]["atomic"][0]["name"] = json!("other");
    refused(other, "\"other\" become, which `containers`").await;
    let mut without = image("i1");
    without["berth"]["atomic"][0]["configuration"]["image"] = Value::Null;
    refused(without, "configuration.image is missing").await;
    assert!(fixture.workers.state.scripts().unwrap().is_empty());

    fixture.upload("one", first(image("i1")), true).await.unwrap();
    let mut renamed = image("i2");
    renamed["containers"][0]["name"] = json!("new");
    renamed["berth"]["atomic"][0]["name"] = json!("new");
    let failure = fixture.upload("two", renamed, true).await.unwrap_err();
    assert!(failure.message().contains("are \"app\" already"), "{failure:?}");
}
