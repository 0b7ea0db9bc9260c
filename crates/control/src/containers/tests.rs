//! Applications and their rollouts, over a platform that carries nothing out.

use super::*;
use crate::cut_off::{CutOff, Side, moments};
use crate::fake::{Fake, state};
use crate::records::{Class, RolloutStatus, Script};
use crate::ssh::SshHostKey;
use model::DurableObjectId;

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

/// What a process has that has just started.
fn containers(state: State, fake: Arc<Fake>) -> Containers {
    let ssh = Ssh::new(SshHostKey::of_tests());
    Containers::new(state, fake, Duration::ZERO, AccountLimits::default(), ssh)
}

impl Fixture {
    async fn new() -> Self {
        let (state, folder) = state();
        let mut script = Script::new("w", Timestamp::UNIX_EPOCH);
        let class = Class { name: "C".into(), namespace_id: NAMESPACE.into(), sqlite: true };
        script.classes.push(class);
        state.commit(&Transaction::new().put(key::script("w"), bytes(&script))).unwrap();
        let fake = Arc::new(Fake::default());
        let containers = containers(state, fake.clone());
        let id = containers.create(wanted("app", "one")).await.unwrap().id;
        Self { containers, fake, id, _folder: folder }
    }

    fn newest(&self) -> Rollout {
        self.containers.state.rollouts(&self.id).unwrap().remove(0)
    }

    /// The newest rollout, once it is like this.
    async fn until(&self, is: impl Fn(&Rollout) -> bool) -> Rollout {
        while !is(&self.newest()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.newest()
    }

    /// The newest rollout, once it is over.
    async fn over(&self) -> Rollout {
        self.until(|rollout| rollout.status.is_over()).await
    }

    /// The image that is written down, what the client is shown, and what starts.
    fn image(&self) -> [String; 3] {
        let record = self.containers.state.application(&self.id).unwrap().value;
        let shown = record.wanted["configuration"]["image"].as_str().unwrap().to_owned();
        let starts = self.fake.applications.lock().unwrap()[NAMESPACE].image.clone().unwrap();
        [record.image.unwrap_or_default(), shown, starts]
    }

    /// Requests for objects whose ids begin like this.
    fn request(&self, objects: &[&str]) {
        objects.iter().for_each(|name| self.fake.start(&object(name)));
    }

    fn running(&self) -> Vec<String> {
        let running = self.fake.running.lock().unwrap();
        let mut ids: Vec<_> = running.iter().map(|one| one.id.clone()).collect();
        ids.sort();
        ids
    }

    async fn act(&self, action: Action) -> Result<Rollout, Failure> {
        let rollout = self.newest().id.to_string();
        self.containers.update_rollout(&self.id, &rollout, action).await
    }
}

fn object(name: &str) -> DurableObjectId {
    DurableObjectId::try_from(name.repeat(64)).unwrap()
}

fn all(image: &str) -> [String; 3] {
    [image.to_owned(), image.to_owned(), image.to_owned()]
}

fn manual(image: &str) -> Value {
    let mut wanted = target(image, &[50, 100]);
    wanted["kind"] = json!("full_manual");
    wanted
}

#[tokio::test]
async fn ssh_keys_are_kept_as_they_are_wanted_and_wrong_ones_change_nothing() {
    let fixture = Fixture::new().await;
    let keys = json!([{"name": "me", "public_key": SshHostKey::of_tests().public()}]);
    let settings = json!({"enabled": true, "port": 2222});
    let change = json!({"configuration": {"wrangler_ssh": settings, "authorized_keys": keys}});
    let changed = fixture.containers.modify(&fixture.id, &change).await.unwrap();
    assert_eq!(changed.wanted["configuration"]["authorized_keys"], keys);
    let wrong = json!([{"name": "me", "public_key": "ssh-rsa AAAA"}]);
    let wrong = json!({"configuration": {"authorized_keys": wrong}});
    let failure = fixture.containers.modify(&fixture.id, &wrong).await.unwrap_err();
    assert!(failure.message().contains("Please provide an ED25519 public key"), "{failure:?}");
    let kept = fixture.containers.state.application(&fixture.id).unwrap().value.configuration();
    assert_eq!((&kept["authorized_keys"], &kept["wrangler_ssh"]), (&keys, &settings));
}

#[tokio::test]
async fn a_rollout_replaces_what_ran_when_it_began_by_steps() {
    let fixture = Fixture::new().await;
    fixture.request(&["c", "d", "e", "f"]);
    let started = fixture.containers.roll_out(&fixture.id, &target("two", &[10, 50, 100])).await;
    assert_eq!(started.unwrap().status, RolloutStatus::Progressing);
    let over = fixture.over().await;
    assert_eq!((over.status, over.steps_done()), (RolloutStatus::Completed, 3));
    let stopped = fixture.fake.stopped.lock().unwrap().clone();
    assert_eq!(stopped, [vec!["c-1"], vec!["d-1"], vec!["e-1", "f-1"]]);
    assert_eq!(fixture.running(), ["c-2", "d-2", "e-2", "f-2"]);
    assert_eq!(fixture.image(), all("two"));
}

#[tokio::test]
async fn a_rollout_whose_image_cannot_be_had_leaves_everything_as_it_was() {
    let fixture = Fixture::new().await;
    fixture.request(&["c"]);
    *fixture.fake.broken.lock().unwrap() = Some("two".into());
    fixture.containers.roll_out(&fixture.id, &target("two", &[100])).await.unwrap();
    let over = fixture.over().await;
    assert_eq!(over.status, RolloutStatus::Reverted);
    assert!(over.reason.contains("two: broken"), "{}", over.reason);
    assert_eq!(fixture.image(), all("one"));
    assert!(fixture.fake.stopped.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_rollout_whose_instances_fail_goes_back_to_the_image_and_the_limits_before() {
    let fixture = Fixture::new().await;
    fixture.request(&["c", "d", "e", "f"]);
    *fixture.fake.fails_from.lock().unwrap() = Some(2);
    // As wrangler does: the limits come with the configuration, before the rollout.
    let limits = json!({"configuration": {"image": "two", "memory_mib": 512}});
    fixture.containers.modify(&fixture.id, &limits).await.unwrap();
    let wanted = json!({"target_configuration": {"image": "two", "memory_mib": 512},
        "step_percentage": 25});
    fixture.containers.roll_out(&fixture.id, &wanted).await.unwrap();
    let over = fixture.over().await;
    assert_eq!((over.status, over.runs.len()), (RolloutStatus::Reverted, 1));
    assert!(over.reason.contains("1 of 1 new instances failed"), "{}", over.reason);
    assert_eq!(fixture.running(), ["d-1", "e-1", "f-1"], "one was replaced");
    assert_eq!(fixture.image(), all("one"));
    let record = fixture.containers.state.application(&fixture.id).unwrap().value;
    assert_eq!(record.wanted["configuration"]["memory_mib"], Value::Null);

    // The next one has a version of its own, and all is well.
    *fixture.fake.fails_from.lock().unwrap() = None;
    fixture.request(&["c"]);
    fixture.containers.roll_out(&fixture.id, &target("three", &[100])).await.unwrap();
    assert_eq!(fixture.over().await.status, RolloutStatus::Completed);
    assert_eq!(fixture.running(), ["c-3", "d-3", "e-3", "f-3"]);
}

#[tokio::test]
async fn a_manual_rollout_goes_where_it_is_told_to() {
    let fixture = Fixture::new().await;
    fixture.request(&["0", "f"]);
    let begun = fixture.containers.roll_out(&fixture.id, &manual("two")).await.unwrap();
    assert_eq!(begun.status, RolloutStatus::Pending);
    assert!(fixture.act(Action::Previous).await.is_err(), "nothing has begun");

    fixture.act(Action::Next).await.unwrap();
    fixture.until(|rollout| rollout.steps_done() == 1).await;
    assert_eq!(fixture.running(), ["0-2", "f-1"]);
    assert!(fixture.newest().reason.contains("waits"), "{}", fixture.newest().reason);
    let starts = fixture.fake.applications.lock().unwrap()[NAMESPACE].clone();
    assert_eq!(
        (starts.image.as_deref(), starts.staged.unwrap().image.as_str()),
        (Some("one"), "two")
    );

    assert_eq!(fixture.act(Action::Previous).await.unwrap().status, RolloutStatus::Pending);
    while fixture.running() != ["0-1", "f-1"] {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for step in 1..=2 {
        fixture.act(Action::Next).await.unwrap();
        fixture.until(|rollout| rollout.steps_done() == step).await;
    }
    assert_eq!(fixture.over().await.status, RolloutStatus::Completed);
    assert_eq!(fixture.running(), ["0-2", "f-2"]);
    assert!(fixture.act(Action::Revert).await.is_err(), "it is over");
    let id = fixture.newest().id.to_string();
    fixture.containers.remove_rollout(&fixture.id, &id).await.unwrap();
    assert!(fixture.containers.rollout(&fixture.id, &id).is_err());
}

#[tokio::test]
async fn somebody_turns_a_rollout_back() {
    let fixture = Fixture::new().await;
    fixture.request(&["0", "f"]);
    fixture.containers.roll_out(&fixture.id, &manual("two")).await.unwrap();
    fixture.act(Action::Next).await.unwrap();
    fixture.until(|rollout| rollout.steps_done() == 1).await;
    let id = fixture.newest().id.to_string();
    assert!(fixture.containers.remove_rollout(&fixture.id, &id).await.is_err(), "it is used");
    fixture.act(Action::Revert).await.unwrap();
    assert_eq!(fixture.over().await.status, RolloutStatus::Reverted);
    assert_eq!(fixture.running(), ["0-1", "f-1"]);
    assert_eq!(fixture.image(), all("one"));
}

#[tokio::test]
async fn of_two_rollouts_the_later_one_holds() {
    let fixture = Fixture::new().await;
    for image in ["two", "three"] {
        fixture.containers.roll_out(&fixture.id, &target(image, &[100])).await.unwrap();
    }
    let first = fixture.containers.state.rollouts(&fixture.id).unwrap().remove(1);
    assert_eq!(first.status, RolloutStatus::Replaced);
    assert_eq!(fixture.over().await.status, RolloutStatus::Completed);
    assert_eq!(fixture.image(), all("three"));
}

#[tokio::test]
async fn a_rollout_that_was_cut_off_goes_on_where_it_stood() {
    let fixture = Fixture::new().await;
    fixture.request(&["0", "f"]);
    fixture.containers.roll_out(&fixture.id, &manual("two")).await.unwrap();
    fixture.act(Action::Next).await.unwrap();
    let cut = fixture.until(|rollout| rollout.steps_done() == 1).await;
    // Another process, whose driver finds the second step asked for.
    let again = containers(fixture.containers.state.clone(), fixture.fake.clone());
    let asked = Rollout { wanted_steps: 2, ..cut };
    let write = Transaction::new().put(key::rollout(&fixture.id, asked.number), bytes(&asked));
    fixture.containers.state.commit(&write).unwrap();
    again.start_all().await.unwrap();
    assert_eq!(fixture.over().await.status, RolloutStatus::Completed);
    assert_eq!(fixture.fake.stopped.lock().unwrap().concat(), ["0-1", "f-1"], "each once");
}

#[tokio::test]
async fn bc1_an_application_whose_objects_choose_is_named_by_its_namespace_and_stays_so() {
    let fixture = Fixture::new().await;
    fixture.containers.remove(&fixture.id).await.unwrap();
    let wanted = json!({"name": "app", "scheduling_policy": "durable_object",
        "durable_objects": {"namespace_id": NAMESPACE}});
    assert_eq!(fixture.containers.create(wanted).await.unwrap().id, NAMESPACE);
    assert_eq!(fixture.fake.applications.lock().unwrap()[NAMESPACE].image, None);
    let policy = json!({"scheduling_policy": "default"});
    for (changes, text) in
        [(policy, "scheduling_policy"), (json!({"max_instances": 3}), "max_instances")]
    {
        let failure = fixture.containers.modify(NAMESPACE, &changes).await.unwrap_err();
        assert!(failure.message().contains(text), "{failure:?}");
    }
    let failure = fixture.containers.roll_out(NAMESPACE, &target("two", &[100])).await.unwrap_err();
    assert!(failure.message().contains("come with the Worker"), "{failure:?}");
}

#[tokio::test]
async fn bc2_an_image_is_prepared_once_and_asked_for_again_after_it_could_not_be_had() {
    let fixture = Fixture::new().await;
    let ready = Preparation::Ready("sha256:0".into());
    assert_eq!(fixture.containers.prepare("one").await, ready);
    *fixture.fake.broken.lock().unwrap() = Some("two".into());
    let failed = Preparation::Failed("two: broken".into());
    assert_eq!(fixture.containers.prepare("two").await, failed);
    *fixture.fake.broken.lock().unwrap() = None;
    assert_eq!(fixture.containers.prepare("two").await, ready);
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

impl Fixture {
    /// A rollout by a process that dies at one of its writes, and what the next process makes of it;
    /// `None` if it outlived them all.
    async fn rolled_out_by_who_dies(self, moment: (usize, Side)) -> Option<Self> {
        let (store, state) = CutOff::of(&self.containers.state, moment);
        let dies = containers(state, self.fake.clone());
        let _ = dies.roll_out(&self.id, &target("two", &[50, 100])).await;
        let is_over = || {
            let rollouts = self.containers.state.rollouts(&self.id).unwrap();
            rollouts.first().is_some_and(|newest| newest.status.is_over())
        };
        while !store.is_dead() && !is_over() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if !store.is_dead() {
            return None;
        }
        let fake = Arc::new(self.fake.survivors());
        let containers = containers(self.containers.state.clone(), fake.clone());
        containers.start_all().await.unwrap();
        Some(Self { containers, fake, ..self })
    }
}

#[tokio::test]
async fn a_rollout_that_dies_at_any_write_ends_in_the_old_state_or_in_the_new_one() {
    let mut left = Vec::new();
    for moment in moments() {
        let fixture = Fixture::new().await;
        fixture.request(&["0", "4", "9", "f"]);
        let Some(again) = fixture.rolled_out_by_who_dies(moment).await else { break };
        let state = &again.containers.state;
        let begun = !state.rollouts(&again.id).unwrap().is_empty();
        if begun {
            assert_eq!(again.over().await.status, RolloutStatus::Completed, "{moment:?}");
        }
        let (image, version) = if begun { ("two", 2) } else { ("one", 1) };
        assert_eq!(again.image(), all(image), "{moment:?}");
        let running = ["0", "4", "9", "f"].map(|object| format!("{object}-{version}"));
        assert_eq!(again.running(), running, "{moment:?}");
        // The next one is as if nothing had been.
        again.containers.roll_out(&again.id, &target("three", &[100])).await.unwrap();
        assert_eq!(again.over().await.status, RolloutStatus::Completed);
        assert_eq!(again.image(), all("three"));
        left.push(begun);
    }
    assert!(left.contains(&true) && left.contains(&false), "{left:?}");
    assert!(left.len() > 8, "a rollout of two steps has more writes: {left:?}");
}
