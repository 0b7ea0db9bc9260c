//! Containers that no Durable Object owns: found by name or id, started, stopped, waited for.
//!
//! To the agent each is the one instance of an application of its own, whose object's id is the
//! container's. So its sandbox, its limits, its execs and its survival are those of any instance.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use model::{
    Application, ApplicationImages, ContainerName, DurableObjectId, ImageSource, InstanceType,
};
use serde_json::Value;
use tokio::sync::watch;

use super::error::EngineError;
use super::ports::Ports;
use super::record::{CONTAINERS, Life, Record, Status};
use super::{Inner, create};
use crate::application::{ApplicationRuntime, Applications, PLAIN_KEY, Plain};
use crate::instance::Instance;
use crate::slot::Slot;

/// One container.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) id: DurableObjectId,
    /// Its name in the agent.
    pub(super) place: ContainerName,
    pub(super) plain: Arc<Plain>,
    pub(super) record: Mutex<Record>,
    pub(super) life: watch::Sender<Life>,
    pub(super) ports: Ports,
    /// Held while it is started, stopped or removed.
    pub(super) turn: tokio::sync::Mutex<()>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Containers {
    pub(super) directory: PathBuf,
    pub(super) all: Mutex<BTreeMap<DurableObjectId, Arc<Container>>>,
}

/// What a name or an id leads to.
#[derive(Debug, Clone)]
pub(super) enum Found {
    /// A container of its own.
    Plain(Arc<Container>),
    /// A Durable Object's.
    Object(Arc<Slot>),
}

impl Container {
    pub(super) fn record(&self) -> Record {
        self.record.lock().expect("no holder of this lock panics").clone()
    }

    pub(super) fn name(&self) -> String {
        self.record.lock().expect("no holder of this lock panics").name.clone()
    }

    fn created(&self) -> Timestamp {
        self.record.lock().expect("no holder of this lock panics").created
    }

    /// Its application's key.
    pub(super) fn key(&self) -> String {
        self.place.key.clone()
    }

    /// Where it stands from now on, on disk too.
    pub(super) fn enter(&self, directory: &Path, life: Life) {
        let mut record = self.record.lock().expect("no holder of this lock panics");
        record.life = life.clone();
        if !matches!(life.status, Status::Removed { .. }) {
            record.write(directory);
        }
        drop(record);
        self.life.send_replace(life);
    }
}

impl Containers {
    /// Those of an earlier engine; their applications are there before the agent looks for them.
    pub(super) fn load(engine: &Path, applications: &Applications) -> io::Result<Self> {
        let directory = engine.join(CONTAINERS);
        let containers = Self { directory: directory.clone(), all: Mutex::default() };
        for record in Record::read_all(&directory)? {
            let id = record.id.clone();
            let plain = create::plain(&record.body, &id, engine);
            let added = plain.and_then(|plain| containers.add(record, plain, applications, None));
            if let Err(error) = added {
                tracing::warn!(%id, %error, "a container is forgotten");
            }
        }
        let known: BTreeSet<OsString> =
            containers.all().iter().map(|container| container.id.as_str().into()).collect();
        // Nobody else on this machine has anything to do with programs' files.
        let files = engine.join(create::FILES);
        DirBuilder::new().recursive(true).mode(0o700).create(&files)?;
        // Those of a removal that was cut short go.
        for entry in fs_err::read_dir(&files)? {
            let entry = entry?;
            if !known.contains(&entry.file_name()) {
                fs_err::remove_dir_all(entry.path())?;
            }
        }
        Ok(containers)
    }

    /// Adds one that is created, or was, unless another has its name.
    pub(super) fn add(
        &self,
        record: Record,
        plain: Plain,
        applications: &Applications,
        image: Option<image::Image>,
    ) -> Result<Arc<Container>, EngineError> {
        let place = ContainerName {
            key: format!("{PLAIN_KEY}{}", &record.id.as_str()[..12]),
            object: record.id.clone(),
            sidecar: false,
        };
        let plain = Arc::new(plain);
        let limits = plain.limits;
        let settings = ApplicationRuntime {
            application: Application {
                name: record.name.clone(),
                class_name: String::new(),
                images: ApplicationImages::One(ImageSource::Reference(record.image_name.clone())),
                instance_type: InstanceType::Custom {
                    vcpu: limits.vcpu,
                    memory_mib: limits.memory_mib,
                    disk_mb: limits.disk_mb,
                },
                max_instances: 1,
                // A signal that is sent is only that: nobody asked for a kill after it.
                stop_grace: Duration::from_secs(u64::from(u32::MAX)),
            },
            id: record.id.to_string(),
            unique_key: place.key.clone(),
            image_name: None,
            image,
            choices: BTreeMap::new(),
            version: 0,
            staged: None,
        };
        let container = Arc::new(Container {
            id: record.id.clone(),
            place,
            plain: Arc::clone(&plain),
            life: watch::Sender::new(record.life.clone()),
            record: Mutex::new(record),
            ports: Ports::default(),
            turn: tokio::sync::Mutex::default(),
        });
        let mut all = self.all.lock().expect("no holder of this lock panics");
        is_free(&all, &container.name())?;
        applications.add_plain(settings, plain);
        all.insert(container.id.clone(), Arc::clone(&container));
        Ok(container)
    }

    /// Every one, newest first.
    pub(super) fn all(&self) -> Vec<Arc<Container>> {
        let all = self.all.lock().expect("no holder of this lock panics");
        let mut all: Vec<_> = all.values().cloned().collect();
        all.sort_by_cached_key(|container| std::cmp::Reverse(container.created()));
        all
    }

    /// Gives one another name, unless a container has it.
    pub(super) fn rename(&self, container: &Container, name: String) -> Result<(), EngineError> {
        let all = self.all.lock().expect("no holder of this lock panics");
        is_free(&all, &name)?;
        container.record.lock().expect("no holder of this lock panics").name = name;
        drop(all);
        self.keep(container);
        Ok(())
    }

    /// Writes a new one's record.
    pub(super) fn keep(&self, container: &Container) {
        container.record().write(&self.directory);
    }
}

/// Refuses a name that a container has.
fn is_free(all: &BTreeMap<DurableObjectId, Arc<Container>>, name: &str) -> Result<(), EngineError> {
    match all.values().find(|container| container.name() == name) {
        Some(container) => Err(EngineError::Conflict(format!(
            "Conflict. The container name \"/{name}\" is already in use by container \"{}\". \
             You have to remove (or rename) that container to be able to reuse that name.",
            container.id
        ))),
        None => Ok(()),
    }
}

impl Found {
    /// Its current run.
    pub(super) fn instance(&self, engine: &Inner) -> Option<Instance> {
        match self {
            Self::Plain(container) => {
                let application = engine.api.applications.by_key(&container.key())?;
                engine.api.slots.find(&application, &container.place)?.visible()
            }
            Self::Object(slot) => slot.visible(),
        }
    }

    /// Its run, if its program can be reached.
    pub(super) fn running(&self, engine: &Inner) -> Result<Instance, EngineError> {
        let live = |instance: &Instance| instance.state().is_live();
        self.instance(engine)
            .filter(live)
            .ok_or_else(|| EngineError::Conflict(format!("Container {} is not running", self.id())))
    }

    pub(super) fn id(&self) -> DurableObjectId {
        match self {
            Self::Plain(container) => container.id.clone(),
            Self::Object(slot) => slot.name.object.clone(),
        }
    }
}

impl Inner {
    /// What a name, an id or the beginning of one leads to.
    pub(super) fn find(&self, reference: &str) -> Result<Found, EngineError> {
        let wanted = reference.trim_start_matches('/');
        let plain = self.containers.all();
        if let Some(found) = plain.iter().find(|c| c.name() == wanted || c.id.as_str() == wanted) {
            return Ok(Found::Plain(Arc::clone(found)));
        }
        let objects: Vec<_> = self.objects();
        if let Some(found) = objects.iter().find(|slot| slot.name.to_string() == wanted) {
            return Ok(Found::Object(Arc::clone(found)));
        }
        let starts = |id: &DurableObjectId| !wanted.is_empty() && id.as_str().starts_with(wanted);
        let plain = plain.into_iter().filter(|c| starts(&c.id)).map(Found::Plain);
        let objects = objects.into_iter().filter(|s| starts(&s.name.object)).map(Found::Object);
        let mut found = plain.chain(objects);
        match (found.next(), found.next()) {
            (Some(found), None) => Ok(found),
            (None, _) => Err(EngineError::NoSuchContainer(wanted.chars().take(200).collect())),
            (Some(_), Some(_)) => Err(EngineError::BadParameter(format!(
                "multiple IDs found with provided prefix: {wanted}"
            ))),
        }
    }

    /// Durable Objects' containers.
    pub(super) fn objects(&self) -> Vec<Arc<Slot>> {
        let all = self.api.slots.all().into_iter();
        all.filter(|slot| slot.application.plain().is_none() && slot.visible().is_some()).collect()
    }

    /// Tells of something that happened to a container.
    pub(super) fn tell(
        &self,
        container: &Container,
        action: &'static str,
        more: &[(&str, String)],
    ) {
        let record = container.record();
        let mut attributes = labels(&record.body);
        attributes.insert("name".to_owned(), record.name.clone());
        attributes.insert("image".to_owned(), record.image_name.clone());
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.events.tell("container", action, container.id.as_str(), attributes);
    }
}

/// A container's labels.
pub(super) fn labels(body: &Value) -> BTreeMap<String, String> {
    let labels = body["Labels"].as_object().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    labels.map(|(key, value)| (key.clone(), text(value))).collect()
}
