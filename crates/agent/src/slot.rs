//! Places for instances: one for each (application, Durable Object), with the current run of its
//! container and its sidecar. At most one run of a place is ever alive.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::instance::{ExitStatus, Rejected, State};
use model::{ContainerName, DurableObjectId, InstanceId};
use runtime::{Output, Sandbox};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::application::ApplicationSlot;
use crate::docker_api::CreateContainer;
use crate::egress::outbound::Outbound;
use crate::event::Subject;
use crate::instance::{Birth, Creation, Instance, Record, Request, Runner};
use crate::node::Node;
use crate::sidecar::Sidecar;

/// Sandboxes held for instances that were asked for and not created yet.
const MOST_PREPARED: usize = 64;
/// How long removing an instance may take before its caller is told that it failed.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(30);

/// What tells one place from another; a session in workerd's name makes no difference.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    application: String,
    object: DurableObjectId,
}

/// One place.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) name: ContainerName,
    pub(crate) application: Arc<ApplicationSlot>,
    /// What its program may reach, by the last `PUT /egress`.
    pub(crate) outbound: watch::Sender<Outbound>,
    pub(crate) sidecar: Mutex<Option<Sidecar>>,
    pub(crate) current: Current,
    /// What its container was last created from.
    pub(crate) asked: Mutex<Option<Arc<CreateContainer>>>,
    /// Held while the current run is replaced, so that there is never a second.
    turn: tokio::sync::Mutex<()>,
}

/// The current run of a place, shared with those who connect to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Current(Arc<Mutex<Option<Instance>>>);

impl Current {
    /// The run, if there is one.
    pub(crate) fn get(&self) -> Option<Instance> {
        self.0.lock().expect("no holder of this lock panics").clone()
    }

    fn set(&self, instance: Instance) {
        *self.0.lock().expect("no holder of this lock panics") = Some(instance);
    }

    /// Forgets the run, if it is still that one.
    fn clear(&self, id: InstanceId) {
        let mut current = self.0.lock().expect("no holder of this lock panics");
        if current.as_ref().is_some_and(|instance| instance.subject.instance == id) {
            *current = None;
        }
    }
}

/// All places.
#[derive(Debug)]
pub(crate) struct Slots {
    node: Arc<Node>,
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    runners: TaskTracker,
}

/// The instance could not be removed in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("failed to remove the container: its sandbox does not end")]
pub(crate) struct NotRemoved;

impl Slot {
    /// The current run, if a caller of the Docker API may see it.
    pub(crate) fn visible(&self) -> Option<Instance> {
        self.current.get().filter(|instance| instance.state().is_visible())
    }

    fn is_empty(&self) -> bool {
        self.current.get().is_none()
            && self.sidecar.lock().expect("no holder of this lock panics").is_none()
    }
}

impl Slots {
    pub(crate) fn new(node: Arc<Node>) -> Arc<Self> {
        Arc::new(Self { node, slots: Mutex::default(), runners: TaskTracker::new() })
    }

    /// The place of that container, if it is in use.
    pub(crate) fn find(
        &self,
        application: &ApplicationSlot,
        name: &ContainerName,
    ) -> Option<Arc<Slot>> {
        self.slots
            .lock()
            .expect("no holder of this lock panics")
            .get(&key(application, name))
            .cloned()
    }

    /// The place of that container, in use from now on.
    pub(crate) fn get(
        &self,
        application: &Arc<ApplicationSlot>,
        name: &ContainerName,
    ) -> Arc<Slot> {
        let mut slots = self.slots.lock().expect("no holder of this lock panics");
        let slot = slots.entry(key(application, name)).or_insert_with(|| {
            Arc::new(Slot {
                name: ContainerName { sidecar: false, ..name.clone() },
                application: Arc::clone(application),
                outbound: watch::Sender::default(),
                sidecar: Mutex::default(),
                current: Current::default(),
                asked: Mutex::default(),
                turn: tokio::sync::Mutex::default(),
            })
        });
        Arc::clone(slot)
    }

    /// Every place in use.
    pub(crate) fn all(&self) -> Vec<Arc<Slot>> {
        self.slots.lock().expect("no holder of this lock panics").values().cloned().collect()
    }

    /// Begins to prepare a sandbox for an instance that was asked for and is not there; it will
    /// most likely be created in a few milliseconds (`workerd.md` §3).
    pub(crate) async fn prepare(self: &Arc<Self>, slot: &Arc<Slot>) {
        let _turn = slot.turn.lock().await;
        let prepared = |slot: &Arc<Slot>| {
            slot.current.get().is_some_and(|i| matches!(i.state(), State::Prepared { .. }))
        };
        if slot.current.get().is_none()
            && self.all().iter().filter(|slot| prepared(slot)).count() < MOST_PREPARED
        {
            self.spawn(slot, Birth::Asked, InstanceId::new());
        }
    }

    /// Creates an instance: the prepared one, or a new one in the place of one that is over.
    pub(crate) async fn create(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        creation: Creation,
    ) -> Result<Instance, Rejected> {
        let _turn = slot.turn.lock().await;
        let creation = Box::new(creation);
        if let Some(instance) = slot.current.get() {
            match instance.tell(Request::Create(creation.clone())).await {
                Ok(()) => return Ok(instance),
                Err(rejected) if !instance.state().is_over() => return Err(rejected),
                // What is over makes room without workerd's detour of conflict, delete and 100 ms.
                Err(_) => remove(&instance).await.map_err(|NotRemoved| Rejected::NameInUse)?,
            }
        }
        Ok(self.spawn(slot, Birth::Created(creation), InstanceId::new()))
    }

    /// Takes up a running instance of an earlier agent.
    pub(crate) fn adopt(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        record: Record,
        sandbox: Sandbox,
        output: Output,
    ) {
        slot.outbound.send_replace(Outbound::restored(record.internet, record.hosts.clone()));
        let id = record.instance;
        self.spawn(slot, Birth::Adopted(Box::new(record), sandbox, output), id);
    }

    /// Takes up an instance that ended while no agent was there: it stays until its object was told.
    pub(crate) fn keep_ended(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        instance: InstanceId,
        status: ExitStatus,
    ) {
        self.spawn(slot, Birth::Ended(status), instance);
    }

    /// Kills the instance and waits until nothing of it is left.
    pub(crate) async fn remove(&self, slot: &Slot, instance: &Instance) -> Result<(), NotRemoved> {
        let _turn = slot.turn.lock().await;
        remove(instance).await
    }

    /// Ends all tasks of instances without ending the instances.
    pub(crate) async fn leave_all(&self) {
        for slot in self.all() {
            slot.sidecar.lock().expect("no holder of this lock panics").take();
            if let Some(instance) = slot.current.get() {
                let _ = instance.tell(Request::Leave).await;
            }
        }
        self.runners.close();
        self.runners.wait().await;
    }

    /// Forgets the place if nothing is in it and nobody but the caller is about to use it. Places are
    /// given out under the same lock, so nobody can be left with one that was forgotten.
    pub(crate) fn tidy(&self, slot: &Arc<Slot>) {
        let mut slots = self.slots.lock().expect("no holder of this lock panics");
        let key = key(&slot.application, &slot.name);
        let known = slots.get(&key).is_some_and(|known| Arc::ptr_eq(known, slot));
        if known && slot.is_empty() && Arc::strong_count(slot) == 2 {
            slots.remove(&key);
        }
    }

    /// Makes an instance the current run of its place and lets its owner run.
    fn spawn(self: &Arc<Self>, slot: &Arc<Slot>, birth: Birth, id: InstanceId) -> Instance {
        let subject = Subject {
            application: slot.application.settings().application.name.as_str().into(),
            object: slot.name.object.clone(),
            instance: id,
        };
        let (instance, mut runner) = Runner::new(
            Arc::clone(&self.node),
            Arc::clone(&slot.application),
            slot.name.clone(),
            subject,
            slot.outbound.subscribe(),
        );
        runner.born(birth);
        slot.current.set(instance.clone());
        let (slots, slot) = (Arc::clone(self), Arc::clone(slot));
        let span = tracing::info_span!("agent", application = &*instance.subject.application,
            object = slot.name.object.short(), instance = %id);
        let run = async move {
            runner.run().await;
            slots.ended(&slot, id);
        };
        self.runners.spawn(run.instrument(span));
        instance
    }

    /// The owner of that run is done.
    fn ended(&self, slot: &Arc<Slot>, id: InstanceId) {
        slot.current.clear(id);
        self.tidy(slot);
    }
}

async fn remove(instance: &Instance) -> Result<(), NotRemoved> {
    match instance.tell(Request::Delete).await {
        Ok(()) | Err(Rejected::NotThere) => {}
        Err(_) => return Err(NotRemoved),
    }
    let removed = instance.until(|state| matches!(state, State::Removed { .. }));
    tokio::time::timeout(REMOVAL_PATIENCE, removed).await.map(|_| ()).map_err(|_| NotRemoved)
}

fn key(application: &ApplicationSlot, name: &ContainerName) -> Key {
    Key { application: application.settings().unique_key.clone(), object: name.object.clone() }
}
