//! Applications and their rollouts, over a platform that carries nothing out.

use super::*;
use crate::fake::{Fake, state};
use crate::records::{Class, Script};

/// An application of one namespace, which runs the image `one`.
struct Fixture {
    containers: Containers,
    fake: Arc<Fake>,
    id: String,
    _folder: tempfile::TempDir,
}

const NAMESPACE: &str = "0123456789abcdef0123456789abcdef";

fn wanted(name: &str, image: &str) -> Value {
    json!({"name": name, "max_instances": 4, "configuration": {"image": image},
        "durable_objects": {"namespace_id": NAMESPACE}})
}

fn target(image: &str, steps: &[u32]) -> Value {
    let step = |percentage: &u32| json!({"step_size": {"percentage": percentage}});
    json!({"target_configuration": {"image": image}, "kind": "full_auto",
        "steps": steps.iter().map(step).collect::<Vec<_>>()})
}

impl Fixture {
    async fn new() -> Self {
        let (state, folder) = state();
        let mut script = Script::new("w", Timestamp::UNIX_EPOCH);
        let class = Class { name: "C".into(), namespace_id: NAMESPACE.into(), sqlite: true };
        script.classes.push(class);
        state.commit(&Transaction::new().put(key::script("w"), bytes(&script))).unwrap();
        let fake = Arc::new(Fake::default());
        let containers = Containers {
            state,
            platform: fake.clone(),
            stop_grace: Duration::ZERO,
            turns: Turns::default(),
        };
        let id = containers.create(wanted("app", "one")).await.unwrap().id;
        Self { containers, fake, id, _folder: folder }
    }

    fn newest(&self) -> Rollout {
        self.containers.state.rollouts(&self.id).unwrap().remove(0)
    }

    /// The newest rollout, once it is over.
    async fn over(&self) -> Rollout {
        while self.newest().status == RolloutStatus::Progressing {
            tokio::task::yield_now().await;
        }
        self.newest()
    }

    fn image(&self) -> (String, String) {
        let record = self.containers.state.application(&self.id).unwrap().value;
        let starts = self.fake.images.lock().unwrap()[NAMESPACE].clone();
        (record.image.unwrap_or_default(), starts)
    }
}

fn both(image: &str) -> (String, String) {
    (image.to_owned(), image.to_owned())
}

#[tokio::test]
async fn a_rollout_replaces_what_ran_when_it_began_by_steps() {
    let fixture = Fixture::new().await;
    *fixture.fake.running.lock().unwrap() = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    let started = fixture.containers.roll_out(&fixture.id, &target("two", &[10, 50, 100])).await;
    assert_eq!(started.unwrap().status, RolloutStatus::Progressing);
    let over = fixture.over().await;
    assert_eq!((over.status, over.steps_done), (RolloutStatus::Completed, 3));
    let stopped = fixture.fake.stopped.lock().unwrap().clone();
    assert_eq!(stopped, [vec!["a"], vec!["b"], vec!["c", "d"]]);
    assert_eq!(fixture.image(), both("two"));
}

#[tokio::test]
async fn a_rollout_whose_image_cannot_be_had_leaves_everything_as_it_was() {
    let fixture = Fixture::new().await;
    fixture.fake.running.lock().unwrap().push("a".into());
    *fixture.fake.broken.lock().unwrap() = Some("two".into());
    fixture.containers.roll_out(&fixture.id, &target("two", &[100])).await.unwrap();
    let over = fixture.over().await;
    assert_eq!(over.status, RolloutStatus::Reverted);
    assert!(over.reason.contains("two: broken"), "{}", over.reason);
    assert_eq!(fixture.image(), both("one"));
    assert!(fixture.fake.stopped.lock().unwrap().is_empty());
}

#[tokio::test]
async fn of_two_rollouts_the_later_one_holds() {
    let fixture = Fixture::new().await;
    for image in ["two", "three"] {
        fixture.containers.roll_out(&fixture.id, &target(image, &[100])).await.unwrap();
    }
    assert_eq!(fixture.over().await.status, RolloutStatus::Completed);
    let first = || fixture.containers.state.rollouts(&fixture.id).unwrap().remove(1);
    while first().status == RolloutStatus::Progressing {
        tokio::task::yield_now().await;
    }
    assert_eq!(first().status, RolloutStatus::Replaced);
    assert_eq!(fixture.image(), both("three"));
}

#[tokio::test]
async fn a_rollout_that_was_cut_off_goes_on_when_the_platform_starts() {
    let fixture = Fixture::new().await;
    fixture.containers.roll_out(&fixture.id, &target("two", &[100])).await.unwrap();
    let over = fixture.over().await;
    let cut = Rollout { status: RolloutStatus::Progressing, steps_done: 0, ..over };
    let write = Transaction::new().put(key::rollout(&fixture.id, cut.number), bytes(&cut));
    fixture.containers.state.commit(&write).unwrap();
    fixture.fake.running.lock().unwrap().push("old".into());
    fixture.containers.start_all().await.unwrap();
    assert_eq!(fixture.over().await.status, RolloutStatus::Completed);
    assert!(fixture.fake.running.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_application_that_cannot_be_leaves_no_record() {
    let fixture = Fixture::new().await;
    let refused = async |wanted: Value, text: &str| {
        let failure = fixture.containers.create(wanted).await.unwrap_err();
        assert!(failure.message().contains(text), "{failure:?}");
        assert_eq!(fixture.containers.state.applications().unwrap().len(), 1);
    };
    refused(wanted("app", "one"), "APPLICATION_EXISTS").await;
    refused(wanted("other", "one"), "are \"app\" already").await;
    let mut stranger = wanted("other", "one");
    stranger["durable_objects"]["namespace_id"] = json!("0");
    refused(stranger, "DURABLE_OBJECT_NOT_FOUND").await;
    fixture.containers.remove(&fixture.id).await.unwrap();
    *fixture.fake.broken.lock().unwrap() = Some("two".into());
    let failure = fixture.containers.create(wanted("app", "two")).await.unwrap_err();
    assert!(failure.message().contains("two: broken"), "{failure:?}");
    assert!(fixture.containers.state.applications().unwrap().is_empty());
}
