//! The applications whose instances the agent runs: found by key, limited in number and start rate.

mod capacity;
mod open;
mod plain;
mod rate;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use image::Image;
use model::instance::Refusal;
use model::{Application, ContainerName, DurableObjectId, Share};
use tokio::sync::oneshot;

use capacity::{Answer, Capacity};
pub(crate) use open::OpenApplications;
pub(crate) use plain::Plain;
use rate::Bucket;
pub use rate::StartRate;

/// One application as the agent is told of it.
#[derive(Debug, Clone)]
pub struct ApplicationRuntime {
    /// Its configuration.
    pub application: Application,
    /// Seen inside as `CLOUDFLARE_APPLICATION_ID`.
    pub id: String,
    /// The unique key of the Durable Object namespace that owns its instances; workerd puts it into
    /// every container's name.
    pub unique_key: String,
    /// The image name in workerd's configuration. A start that asks for another is refused; `None`
    /// takes any.
    pub image_name: Option<String>,
    /// The image, once there is one; until then a start fails with "No such image".
    pub image: Option<Image>,
    /// Images that a start may choose instead, by the names in workerd's configuration.
    pub choices: BTreeMap<String, Image>,
    /// Which state of its configuration this is; an instance keeps the number it was started with.
    pub version: u32,
    /// What a part of its objects starts instead.
    pub staged: Option<Staged>,
}

/// Another version of an application, for a part of its objects.
#[derive(Debug, Clone)]
pub struct Staged {
    /// The objects.
    pub share: Share,
    /// What they start.
    pub version: Arc<ApplicationRuntime>,
}

impl ApplicationRuntime {
    /// The image that a start asks for by this name; `name` and `name:latest` are the same.
    pub(crate) fn image_named(&self, name: &str) -> Option<&Image> {
        let known = self.image_name.as_deref();
        let own = known.is_none_or(|known| untagged(known) == untagged(name));
        self.choices.get(name).or(self.image.as_ref().filter(|_| own))
    }

    /// What the instance of an object is started as.
    pub(crate) fn for_object(self: Arc<Self>, object: &DurableObjectId) -> Arc<Self> {
        match &self.staged {
            Some(staged) if staged.share.contains(object) => Arc::clone(&staged.version),
            _ => self,
        }
    }

    /// What an instance of this version was started as; what is configured, where nobody knows.
    pub(crate) fn of_version(self: Arc<Self>, version: u32) -> Arc<Self> {
        match &self.staged {
            Some(staged) if staged.version.version == version => Arc::clone(&staged.version),
            _ => self,
        }
    }

    /// Whether there is any image to start from.
    pub(crate) fn has_image(&self) -> bool {
        self.image.is_some() || !self.choices.is_empty()
    }
}

fn untagged(image: &str) -> &str {
    image.strip_suffix(":latest").unwrap_or(image)
}

/// One application as the agent keeps it.
#[derive(Debug)]
pub(crate) struct ApplicationSlot {
    settings: RwLock<Arc<ApplicationRuntime>>,
    /// Instances of versions before this one are not started any more.
    oldest: AtomicU32,
    kind: Kind,
    capacity: Mutex<Capacity<Admission>>,
    rate: StartRate,
    starts: Mutex<Bucket>,
    told: Mutex<Option<(Refusal, Instant)>>,
}

/// Who an application's containers belong to.
#[derive(Debug, Clone)]
enum Kind {
    /// Durable Objects; the image is the application's.
    Configured,
    /// Durable Objects of a workerd that says itself which image each container has.
    Open,
    /// Nobody: it is one container of its own.
    Plain(Arc<Plain>),
}

/// A refusal is told of once in this time: the npm class tries again 27 times.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// The right to run one instance, given back when dropped.
#[derive(Debug)]
pub(crate) struct Admission(Arc<ApplicationSlot>);

/// The answer to who wants to start an instance.
#[derive(Debug)]
pub(crate) enum Asked {
    /// It may.
    Admitted(Admission),
    /// It may when this comes.
    Wait(oneshot::Receiver<Admission>),
    /// It may not.
    Refused(Refusal),
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.capacity().give_back();
        self.0.hand_out();
    }
}

impl ApplicationSlot {
    fn new(settings: ApplicationRuntime, kind: Kind, rate: StartRate) -> Self {
        Self {
            settings: RwLock::new(Arc::new(settings)),
            oldest: AtomicU32::new(0),
            kind,
            capacity: Mutex::default(),
            rate,
            starts: Mutex::new(Bucket::new(rate, Instant::now())),
            told: Mutex::default(),
        }
    }

    /// The application as it is configured now.
    pub(crate) fn settings(&self) -> Arc<ApplicationRuntime> {
        Arc::clone(&self.settings.read().expect("no holder of this lock panics"))
    }

    /// The oldest version of which instances may still be started.
    pub(crate) fn oldest(&self) -> u32 {
        self.oldest.load(Ordering::SeqCst)
    }

    /// What it is beyond its configuration, if it is a container of its own.
    pub(crate) fn plain(&self) -> Option<&Arc<Plain>> {
        match &self.kind {
            Kind::Plain(plain) => Some(plain),
            Kind::Configured | Kind::Open => None,
        }
    }

    /// Whether each container's image is named when it is created.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.kind, Kind::Open)
    }

    /// Changes the configuration; running instances keep what they were started with.
    fn update(&self, change: impl FnOnce(&mut ApplicationRuntime)) {
        let mut settings = self.settings.write().expect("no holder of this lock panics");
        change(Arc::make_mut(&mut settings));
    }

    fn capacity(&self) -> std::sync::MutexGuard<'_, Capacity<Admission>> {
        self.capacity.lock().expect("no holder of this lock panics")
    }

    /// Gives free places to those who wait, the longest first.
    fn hand_out(self: &Arc<Self>) {
        let most = self.settings().application.max_instances;
        loop {
            let Some(next) = self.capacity().next(most) else { return };
            // Who has just stopped to wait gives the place back by dropping it.
            let _ = next.send(Admission(Arc::clone(self)));
        }
    }

    /// Replaces the images that the next starts use.
    pub(crate) fn set_images(&self, image: Option<Image>, choices: BTreeMap<String, Image>) {
        self.update(|settings| {
            (settings.image, settings.choices, settings.staged) = (image, choices, None);
        });
    }

    /// Replaces those that the next starts choose from.
    pub(crate) fn set_choices(&self, choices: BTreeMap<String, Image>) {
        self.update(|settings| settings.choices = choices);
    }

    /// The right to start one more instance: now, later, or not.
    pub(crate) fn ask(self: &Arc<Self>, object: &DurableObjectId) -> Asked {
        let most = self.settings().application.max_instances;
        let answer = self.capacity().ask(most, object, Instant::now());
        match answer {
            Answer::Taken => {
                let admission = Admission(Arc::clone(self));
                match self.may_start() {
                    true => Asked::Admitted(admission),
                    false => Asked::Refused(Refusal::TooManyStarts),
                }
            }
            Answer::Wait(turn) => Asked::Wait(turn),
            Answer::None => Asked::Refused(Refusal::MaxInstances),
        }
    }

    /// Whether the application's rate allows one more start now, which it then counts.
    pub(crate) fn may_start(&self) -> bool {
        self.starts.lock().expect("no holder of this lock panics").take(Instant::now())
    }

    /// How fast instances may be started.
    pub(crate) fn rate(&self) -> StartRate {
        self.rate
    }

    /// Whether people are to be told of this refusal, or just were.
    pub(crate) fn is_news(&self, refusal: Refusal) -> bool {
        let mut told = self.told.lock().expect("no holder of this lock panics");
        let known = told.is_some_and(|(what, at)| what == refusal && at.elapsed() < TOLD_EVERY);
        if !known {
            *told = Some((refusal, Instant::now()));
        }
        !known
    }

    /// The right of an instance that runs already.
    pub(crate) fn admit_running(self: &Arc<Self>) -> Admission {
        self.capacity().take();
        Admission(Arc::clone(self))
    }
}

/// All applications.
#[derive(Debug)]
pub(crate) struct Applications {
    slots: RwLock<Vec<Arc<ApplicationSlot>>>,
    rate: StartRate,
    /// What applications are like that nobody has configured; `None` where there are none such.
    open: Option<OpenApplications>,
}

/// The beginning of the key of an application that is a container of its own.
pub(crate) const PLAIN_KEY: &str = "docker-";

impl Applications {
    pub(crate) fn new(applications: Vec<ApplicationRuntime>, rate: StartRate) -> Self {
        let slot = |a| Arc::new(ApplicationSlot::new(a, Kind::Configured, rate));
        Self { slots: RwLock::new(applications.into_iter().map(slot).collect()), rate, open: None }
    }

    /// Applications that are known once their first container is created.
    pub(crate) fn opened(open: OpenApplications, rate: StartRate) -> Self {
        Self { open: Some(open), ..Self::new(Vec::new(), rate) }
    }

    /// As [`Self::find`]; where applications are open, one that is new is there from now on.
    pub(crate) fn find_or_open(&self, name: &ContainerName) -> Option<Arc<ApplicationSlot>> {
        // A container of its own is known or gone: it is nobody's to open.
        if let (None, Some(open), false) =
            (self.find(name), &self.open, name.key.starts_with(PLAIN_KEY))
        {
            let settings = open.application(&name.key);
            self.push(ApplicationSlot::new(settings, Kind::Open, self.rate));
        }
        self.find(name)
    }

    /// Adds a container of its own.
    pub(crate) fn add_plain(&self, settings: ApplicationRuntime, plain: Arc<Plain>) {
        self.push(ApplicationSlot::new(settings, Kind::Plain(plain), self.rate));
    }

    /// Forgets the application with that key.
    pub(crate) fn remove(&self, key: &str) {
        let mut slots = self.slots.write().expect("no holder of this lock panics");
        slots.retain(|slot| slot.settings().unique_key != key);
    }

    fn push(&self, slot: ApplicationSlot) {
        self.slots.write().expect("no holder of this lock panics").push(Arc::new(slot));
    }

    /// The application a container's name belongs to. The name's key may have workerd's session in
    /// front; the longest key that fits wins, so `a-b` is never taken for `b`.
    pub(crate) fn find(&self, name: &ContainerName) -> Option<Arc<ApplicationSlot>> {
        let slots = self.slots.read().expect("no holder of this lock panics");
        slots
            .iter()
            .filter(|slot| is_suffix(&name.key, &slot.settings().unique_key))
            .max_by_key(|slot| slot.settings().unique_key.len())
            .cloned()
    }

    /// Every application as it is configured now.
    pub(crate) fn all(&self) -> Vec<Arc<ApplicationRuntime>> {
        let slots = self.slots.read().expect("no holder of this lock panics");
        slots.iter().map(|slot| slot.settings()).collect()
    }

    /// The application with exactly this key.
    pub(crate) fn by_key(&self, key: &str) -> Option<Arc<ApplicationSlot>> {
        let slots = self.slots.read().expect("no holder of this lock panics");
        slots.iter().find(|slot| slot.settings().unique_key == key).cloned()
    }

    /// Adds an application or changes the one with its key.
    pub(crate) fn set(&self, application: ApplicationRuntime) {
        if let Some(slot) = self.by_key(&application.unique_key) {
            slot.update(|settings| *settings = application);
            // There may be more room now.
            return slot.hand_out();
        }
        self.push(ApplicationSlot::new(application, Kind::Configured, self.rate));
    }

    /// The same, and what was created of a version before it is not started any more.
    pub(crate) fn switch(&self, application: ApplicationRuntime) {
        let (key, version) = (application.unique_key.clone(), application.version);
        self.set(application);
        if let Some(slot) = self.by_key(&key) {
            slot.oldest.store(version, Ordering::SeqCst);
        }
    }
}

fn is_suffix(name: &str, key: &str) -> bool {
    name.strip_suffix(key).is_some_and(|front| front.is_empty() || front.ends_with('-'))
}

#[cfg(test)]
mod tests {
    use model::InstanceType;

    use super::*;

    fn open() -> OpenApplications {
        OpenApplications { instance_type: InstanceType::Lite, stop_grace: Duration::from_secs(1) }
    }

    fn application(key: &str, max_instances: u32) -> ApplicationRuntime {
        let mut runtime = open().application(key);
        runtime.application.max_instances = max_instances;
        runtime
    }

    fn name(key: &str) -> ContainerName {
        ContainerName::parse(&format!("workerd-{key}-{}", "a".repeat(64))).unwrap()
    }

    #[test]
    fn a_name_finds_its_application_with_and_without_a_session() {
        let all = Applications::new(
            vec![application("b", 1), application("a-b", 1)],
            StartRate::default(),
        );
        let key = |text: &str| all.find(&name(text)).map(|slot| slot.settings().unique_key.clone());
        assert_eq!(key("b").as_deref(), Some("b"));
        assert_eq!(key("session-b").as_deref(), Some("b"));
        assert_eq!(key("a-b").as_deref(), Some("a-b"));
        assert_eq!(key("s-a-b").as_deref(), Some("a-b"));
        assert_eq!(key("ab"), None);
    }

    fn ask(slot: &Arc<ApplicationSlot>, object: u8) -> Asked {
        slot.ask(&DurableObjectId::try_from(format!("{object:02x}").repeat(32)).unwrap())
    }

    #[test]
    fn no_more_instances_run_than_may_and_the_next_has_its_turn() {
        let all = Applications::new(vec![application("a", 2)], StartRate::default());
        let slot = all.by_key("a").unwrap();
        let Asked::Admitted(first) = ask(&slot, 1) else { panic!("there is room") };
        let Asked::Admitted(_second) = ask(&slot, 2) else { panic!("there is room") };
        let Asked::Wait(mut turn) = ask(&slot, 3) else { panic!("there is no room") };
        assert!(turn.try_recv().is_err());
        drop(first);
        let third = turn.try_recv().unwrap();
        let Asked::Wait(turn) = ask(&slot, 4) else { panic!("there is no room") };
        drop((turn, third));
        assert!(matches!(ask(&slot, 5), Asked::Admitted(_)), "who does not wait is passed over");
        assert_eq!(slot.capacity().taken(), 1);
    }

    #[test]
    fn starts_faster_than_allowed_are_refused_and_hold_no_place() {
        let rate = StartRate { per_second: 0.001, burst: 1 };
        let all = Applications::new(vec![application("a", 1)], rate);
        let slot = all.by_key("a").unwrap();
        assert!(matches!(ask(&slot, 1), Asked::Admitted(_)));
        assert!(matches!(ask(&slot, 1), Asked::Refused(Refusal::TooManyStarts)));
        assert_eq!(slot.capacity().taken(), 0);
    }

    #[test]
    fn a_refusal_that_is_repeated_is_told_once() {
        let all = Applications::new(vec![application("a", 0)], StartRate::default());
        let slot = all.by_key("a").unwrap();
        assert!(slot.is_news(Refusal::MaxInstances));
        assert!(!slot.is_news(Refusal::MaxInstances));
        assert!(slot.is_news(Refusal::TooManyStarts));
    }

    #[test]
    fn where_applications_are_open_a_new_name_makes_one() {
        let closed = Applications::new(Vec::new(), StartRate::default());
        assert!(closed.find_or_open(&name("s-a")).is_none());
        let all = Applications::opened(open(), StartRate::default());
        assert!(all.find(&name("s-a")).is_none());
        let first = all.find_or_open(&name("s-a")).unwrap();
        assert!(first.is_open() && Arc::ptr_eq(&first, &all.find_or_open(&name("s-a")).unwrap()));
        all.remove("s-a");
        assert!(all.find(&name("s-a")).is_none());
    }

    #[test]
    fn a_switch_leaves_no_start_to_versions_before_it_until_it_is_gone_back_from() {
        let version = |version| ApplicationRuntime { version, ..application("a", 1) };
        let all = Applications::new(vec![version(1)], StartRate::default());
        let slot = all.by_key("a").unwrap();
        all.set(version(2));
        assert_eq!((slot.settings().version, slot.oldest()), (2, 0), "a rollout's old ones may");
        all.switch(version(3));
        assert_eq!((slot.settings().version, slot.oldest()), (3, 3));
        all.switch(version(2));
        assert_eq!((slot.settings().version, slot.oldest()), (2, 2));
    }

    #[test]
    fn a_changed_limit_holds_for_the_next_start() {
        let all = Applications::new(vec![application("a", 0)], StartRate::default());
        let slot = all.by_key("a").unwrap();
        assert!(matches!(ask(&slot, 1), Asked::Refused(Refusal::MaxInstances)));
        all.set(application("a", 1));
        let Asked::Admitted(_one) = ask(&slot, 1) else { panic!("there is room") };
        let Asked::Wait(mut turn) = ask(&slot, 2) else { panic!("there is no room") };
        all.set(application("a", 2));
        assert!(turn.try_recv().is_ok(), "also for those who wait");
    }
}
