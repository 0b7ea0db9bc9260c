//! Workers, over a platform that carries nothing out.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::bindings::place;
use crate::cut_off::{CutOff, Side, moments};
use crate::fake::{Fake, state};
use crate::limits::AccountLimits;
use crate::plan::{ModuleKind, PlannedBinding, PlannedValue};
use crate::records::BindingKind;
use crate::ssh::{Ssh, SshHostKey};
use crate::upload::{Metadata, WireTailConsumer};

pub(super) struct Fixture {
    pub(super) workers: Workers,
    pub(super) fake: Arc<Fake>,
    _folder: Arc<tempfile::TempDir>,
}

pub(super) fn author() -> Author {
    Author { name: "ci".into(), source: "wrangler", message: None }
}

impl Fixture {
    pub(super) fn new() -> Self {
        let (state, folder) = state();
        Self::over(state, Arc::new(folder))
    }

    /// A process that has just started.
    fn over(state: State, folder: Arc<tempfile::TempDir>) -> Self {
        let fake = Arc::new(Fake::default());
        let limits = AccountLimits::default();
        let ssh = Ssh::new(SshHostKey::of_tests());
        let containers = Containers::new(state.clone(), fake.clone(), Duration::ZERO, limits, ssh);
        let workers = Workers::new(state, fake.clone(), "localhost".into(), containers);
        Self { workers, fake, _folder: folder }
    }

    /// Another process on the same folder, which has started nothing yet.
    pub(super) fn next(&self) -> Self {
        Self::over(self.workers.state.clone(), self._folder.clone())
    }

    /// What a process finds that starts now.
    async fn again(&self) -> Self {
        let again = self.next();
        again.workers.state.remove_unnamed_content().unwrap();
        again.workers.start_all().await.unwrap();
        again
    }

    /// A process over the same folder that dies at one of its writes.
    pub(super) fn that_dies(&self, moment: (usize, Side)) -> (Arc<CutOff>, Self) {
        let (store, state) = CutOff::of(&self.workers.state, moment);
        (store, Self::over(state, self._folder.clone()))
    }

    pub(super) async fn upload(
        &self,
        code: &str,
        more: Value,
        deploy: bool,
    ) -> Result<Version, Failure> {
        let mut metadata = json!({"main_module": "i.js"});
        for (name, value) in more.as_object().unwrap() {
            metadata[name] = value.clone();
        }
        let module = PlannedModule {
            name: "i.js".into(),
            kind: ModuleKind::EsModule,
            contents: code.as_bytes().to_vec(),
            source_map: None,
        };
        let metadata = Metadata::parse(metadata.to_string().as_bytes()).unwrap();
        let upload = Upload { metadata, modules: vec![module] };
        let name = metadata_name(&more);
        let (_, version) = self.workers.upload(name, upload, author(), deploy).await?;
        Ok(version)
    }

    fn plan_of(&self, name: &str) -> WorkerPlan {
        let serving = self.fake.serving.lock().unwrap();
        serving.values().find(|plan| plan.script == name).unwrap().clone()
    }

    /// The code that serves, and what its `env` holds.
    pub(super) fn serving(&self) -> Option<(String, Vec<PlannedBinding>)> {
        let serving = self.fake.serving.lock().unwrap();
        let plan = serving.values().next()?;
        let code = String::from_utf8(plan.modules[0].contents.clone()).unwrap();
        Some((code, plan.bindings.clone()))
    }
}

/// The Worker that an upload is for: `w`, unless its `annotations` name another.
fn metadata_name(more: &Value) -> &str {
    more["annotations"]["worker"].as_str().unwrap_or("w")
}

fn secret(name: &str, text: &str) -> PlannedBinding {
    PlannedBinding { name: name.into(), value: PlannedValue::Secret(text.into()) }
}

#[tokio::test]
async fn an_upload_that_does_not_start_changes_nothing() {
    let fixture = Fixture::new();
    *fixture.fake.broken.lock().unwrap() = Some("throw".into());
    let failure = fixture.upload("throw", json!({}), true).await.unwrap_err();
    assert!(format!("{failure:?}").contains("10021"), "{failure:?}");
    assert!(fixture.workers.state.scripts().unwrap().is_empty());
    fixture.upload("good", json!({}), true).await.unwrap();
    let migrations = json!({"migrations": {"new_tag": "v1", "steps": [{"new_classes": ["C"]}]}});
    fixture.upload("throw", migrations, true).await.unwrap_err();
    let script = fixture.workers.state.script("w").unwrap().value;
    assert_eq!((script.versions, script.migration_tag, script.classes), (1, None, vec![]));
    assert_eq!(fixture.serving(), Some(("good".into(), vec![])));
}

#[tokio::test]
async fn secrets_survive_uploads_and_a_version_that_comes_back_has_its_own() {
    let fixture = Fixture::new();
    let first = fixture.upload("one", json!({}), true).await.unwrap();
    let put = |script: &Script, bindings: &mut Vec<Binding>| {
        let sealed = fixture.workers.state.sealer.seal(&place(script, "KEY"), "hush");
        bindings.push(Binding { name: "KEY".into(), kind: BindingKind::SecretText(sealed) });
        Ok(())
    };
    fixture.workers.change_bindings("w", author(), put).await.unwrap();
    assert_eq!(fixture.serving(), Some(("one".into(), vec![secret("KEY", "hush")])));
    fixture.upload("two", json!({}), true).await.unwrap();
    assert_eq!(fixture.serving(), Some(("two".into(), vec![secret("KEY", "hush")])));
    fixture.workers.deploy("w", vec![all(first.id)], author()).await.unwrap();
    assert_eq!(fixture.serving(), Some(("one".into(), vec![])));
    assert_eq!(fixture.workers.state.script("w").unwrap().value.deployments, 4);
}

#[tokio::test]
async fn a_version_that_is_only_uploaded_does_not_serve_and_keeps_secrets_from_changing() {
    let fixture = Fixture::new();
    fixture.upload("one", json!({}), true).await.unwrap();
    fixture.upload("two", json!({}), false).await.unwrap();
    assert_eq!(fixture.serving(), Some(("one".into(), vec![])));
    let failure = fixture.workers.change_bindings("w", author(), |_, _| Ok(())).await.unwrap_err();
    assert!(format!("{failure:?}").contains("10215"), "{failure:?}");
}

#[tokio::test]
async fn what_was_written_serves_again_and_what_was_removed_does_not() {
    let fixture = Fixture::new();
    fixture.upload("one", json!({}), true).await.unwrap();
    fixture.fake.serving.lock().unwrap().clear();
    fixture.workers.state.remove_unnamed_content().unwrap();
    fixture.workers.start_all().await.unwrap();
    assert_eq!(fixture.serving(), Some(("one".into(), vec![])));
    let blobs = || fs_err::read_dir(fixture._folder.path().join("blobs")).unwrap().count();
    assert_eq!(blobs(), 1, "what serves is kept");
    let script = fixture.workers.remove("w", false).await.unwrap();
    fixture.workers.state.remove_unnamed_content().unwrap();
    fixture.workers.start_all().await.unwrap();
    assert_eq!(blobs(), 0, "and what does not is gone at the next start");
    assert_eq!(fixture.serving(), None);
    assert!(fixture.workers.state.versions(&script).unwrap().is_empty());
    assert_eq!(fixture.workers.remove("w", false).await.unwrap_err(), Failure::no_script());
}

#[tokio::test]
async fn assets_that_were_not_uploaded_and_odd_names_are_refused() {
    let fixture = Fixture::new();
    let failure = fixture.upload("one", json!({"assets": {"jwt": "x"}}), true).await.unwrap_err();
    assert!(failure.message().contains("no token of an asset upload"), "{failure:?}");
    let binding = json!({"bindings": [{"name": "ASSETS", "type": "assets"}]});
    let failure = fixture.upload("one", binding, true).await.unwrap_err();
    assert!(failure.message().contains("there are none"), "{failure:?}");
    for name in ["", "UPPER", "-w", "a/b", &"w".repeat(64)] {
        assert!(check_name(name).is_err(), "{name}");
    }
}

/// The upload of a Worker `caller` that binds `w`.
fn caller(entrypoint: Option<&str>) -> Value {
    let binding = json!({"name": "W", "type": "service", "service": "w", "entrypoint": entrypoint});
    json!({"annotations": {"worker": "caller"}, "bindings": [binding]})
}

#[tokio::test]
async fn a_worker_is_bound_by_others_once_it_is_there_and_opens_what_they_bind() {
    let fixture = Fixture::new();
    let failure = fixture.upload("c", caller(None), true).await.unwrap_err();
    assert!(failure.message().contains("Target script 'w' not found"), "{failure:?}");
    fixture.upload("one", json!({}), true).await.unwrap();
    assert!(fixture.plan_of("w").entrypoints.is_empty());
    fixture.upload("c", caller(Some("Admin")), true).await.unwrap();
    assert_eq!(fixture.plan_of("w").entrypoints, ["Admin"]);
    let other = PlannedValue::OtherService { script: "w".into(), entrypoint: Some("Admin".into()) };
    assert_eq!(fixture.plan_of("caller").bindings[0].value, other);
    fixture.upload("two", json!({}), true).await.unwrap();
    assert_eq!(fixture.plan_of("w").entrypoints, ["Admin"], "the next version keeps it open");

    let failure = fixture.workers.remove("w", false).await.unwrap_err();
    assert!(failure.message().contains("\"caller\" binds this one as \"W\""), "{failure:?}");
    fixture.workers.remove("w", true).await.unwrap();
    let known = fixture.workers.state.script("caller").unwrap().value;
    let failure =
        fixture.workers.deploy("caller", vec![all(known.current.unwrap())], author()).await;
    assert!(failure.unwrap_err().message().contains("not found"));
}

/// The upload of a Worker `producer` with these tail consumers.
fn producer(consumers: &[&str]) -> Value {
    let wire = |service: &&str| json!({"service": service});
    let consumers: Value = consumers.iter().map(wire).collect();
    json!({"annotations": {"worker": "producer"}, "tail_consumers": consumers})
}

#[tokio::test]
async fn a_tail_consumer_is_there_and_stays_until_nobody_names_it_or_it_goes_by_force() {
    let fixture = Fixture::new();
    let failure = fixture.upload("p", producer(&["w"]), true).await.unwrap_err();
    let text = "Tail Worker does not exist on this account";
    assert!(format!("{failure:?}").contains("10203") && failure.message().contains(text));
    assert!(fixture.workers.state.scripts().unwrap().is_empty());
    fixture.upload("one", json!({}), true).await.unwrap();
    fixture.upload("p", producer(&["w", "producer"]), true).await.unwrap();
    assert_eq!(fixture.plan_of("producer").tail_consumers, ["w", "producer"]);
    assert_eq!(fixture.workers.producers("w").unwrap(), ["producer"]);
    assert!(fixture.workers.producers("producer").unwrap().is_empty(), "nobody else's");

    let failure = fixture.workers.remove("w", false).await.unwrap_err();
    assert!(failure.message().contains("\"producer\" has this one as a tail"), "{failure:?}");
    let second = fixture.upload("two", json!({}), false).await.unwrap();
    let current = fixture.workers.state.script("w").unwrap().value.current.unwrap();
    let half = |version: Uuid| Beside { version, share: ALL_REQUESTS / 2 };
    let both = vec![half(current), half(second.id)];
    let failure = fixture.workers.deploy("w", both, author()).await.unwrap_err();
    assert!(failure.message().contains("a tail consumer of the Worker"), "{failure:?}");
    fixture.workers.remove("w", true).await.unwrap();
    fixture.upload("p", producer(&[]), true).await.unwrap();
    assert!(fixture.plan_of("producer").tail_consumers.is_empty());
}

#[tokio::test]
async fn tail_consumers_are_no_setting_of_a_version() {
    let fixture = Fixture::new();
    fixture.upload("one", json!({}), true).await.unwrap();
    fixture.upload("p", producer(&[]), true).await.unwrap();
    let first = fixture.upload("p", producer(&["w"]), false).await.unwrap();
    fixture.workers.deploy("producer", vec![all(first.id)], author()).await.unwrap();
    assert!(fixture.plan_of("producer").tail_consumers.is_empty(), "as with Cloudflare");
    let change = async |consumers: &Value| {
        let wanted: Vec<WireTailConsumer> = serde_json::from_value(consumers.clone()).unwrap();
        fixture.workers.change_consumers("producer", &wanted).await
    };
    assert!(change(&json!([{"service": "nobody"}])).await.is_err());
    change(&json!([{"service": "w"}])).await.unwrap();
    assert_eq!(fixture.plan_of("producer").tail_consumers, ["w"]);
    fixture.workers.change_bindings("producer", author(), |_, _| Ok(())).await.unwrap();
    assert_eq!(fixture.plan_of("producer").tail_consumers, ["w"], "and stay");
}

#[tokio::test]
async fn two_versions_serve_until_the_next_deploy_and_the_older_one_comes_first() {
    let fixture = Fixture::new();
    let first = fixture.upload("one", json!({}), true).await.unwrap();
    let second = fixture.upload("two", json!({}), false).await.unwrap();
    let half = |version: Uuid| Beside { version, share: ALL_REQUESTS / 2 };
    let both = vec![half(second.id), half(first.id)];
    let deployment = fixture.workers.deploy("w", both, author()).await.unwrap();
    assert_eq!((deployment.version, deployment.beside), (first.id, Some(half(second.id))));
    let plan = fixture.plan_of("w");
    let beside = plan.beside.unwrap();
    assert_eq!((plan.version, beside.plan.version), (first.id, second.id));
    let none = |_: &Script, _: &mut Vec<Binding>| Ok(());
    assert!(fixture.workers.change_bindings("w", author(), none).await.is_err(), "of which one?");
    for wrong in [vec![], vec![half(first.id)], vec![half(first.id), all(second.id)]] {
        assert!(fixture.workers.deploy("w", wrong, author()).await.is_err());
    }
    fixture.upload("three", json!({}), true).await.unwrap();
    assert_eq!(fixture.plan_of("w").beside, None);
}

pub(super) fn all(version: Uuid) -> Beside {
    Beside { version, share: ALL_REQUESTS }
}

#[tokio::test]
async fn a_deploy_that_dies_at_any_write_leaves_the_old_version_or_the_new_one() {
    let mut left = Vec::new();
    for moment in moments() {
        let fixture = Fixture::new();
        fixture.upload("one", json!({}), true).await.unwrap();
        let (store, dies) = fixture.that_dies(moment);
        let deployed = dies.upload("two", json!({}), true).await;
        if !store.is_dead() {
            deployed.unwrap();
            break;
        }
        let again = fixture.again().await;
        let (code, _) = again.serving().unwrap();
        let script = again.workers.state.script("w").unwrap().value;
        let deployments = again.workers.state.deployments(&script).unwrap();
        assert_eq!(deployments.len(), if code == "one" { 1 } else { 2 }, "{moment:?}");
        again.upload("two", json!({}), true).await.unwrap();
        assert_eq!(again.serving().unwrap().0, "two", "{moment:?}");
        left.push(code);
    }
    assert!(left.contains(&"one".to_owned()) && left.contains(&"two".to_owned()), "{left:?}");
}

#[tokio::test]
async fn a_removal_that_dies_at_any_write_leaves_the_worker_or_nothing() {
    let mut left = Vec::new();
    for moment in moments() {
        let fixture = Fixture::new();
        fixture.upload("one", json!({}), true).await.unwrap();
        let (store, dies) = fixture.that_dies(moment);
        let removed = dies.workers.remove("w", false).await;
        if !store.is_dead() {
            removed.unwrap();
            break;
        }
        let again = fixture.again().await;
        let is_there = again.serving().is_some();
        assert_eq!(again.workers.state.scripts().unwrap().len(), usize::from(is_there));
        left.push(is_there);
    }
    assert!(left.contains(&true) && left.contains(&false), "{left:?}");
}
