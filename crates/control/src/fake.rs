//! A platform for tests: it carries nothing out, and remembers what it was asked.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use model::DurableObjectId;
use store::Memory;
use tempfile::TempDir;
use tokio::sync::broadcast;

use crate::blobs::Blobs;
use crate::plan::{
    ApplicationPlan, ExecPlan, FileView, InstanceEvent, InstanceFailure, InstanceStatus,
    InstanceView, LogPlan, ProcessView, RegistryAccess, UsageView, WorkerPlan,
};
use crate::platform::{
    Answer, Events, InstanceEvents, Log, OutgoingArchive, Platform, PlatformError, Session,
};
use crate::seal::Sealer;
use crate::state::State;

/// What it was asked, and what it is to answer.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    /// Plans of Workers that serve, by their tags.
    pub(crate) serving: Mutex<BTreeMap<String, WorkerPlan>>,
    /// The plan of each namespace.
    pub(crate) applications: Mutex<BTreeMap<String, ApplicationPlan>>,
    /// The instances that run, whatever the namespace.
    pub(crate) running: Mutex<Vec<InstanceView>>,
    /// Those that were stopped, together.
    pub(crate) stopped: Mutex<Vec<Vec<String>>>,
    /// What registries are asked with.
    pub(crate) registries: Mutex<Vec<RegistryAccess>>,
    /// Those that failed.
    pub(crate) failures: Mutex<Vec<InstanceFailure>>,
    /// An instance of a version from this one on fails when it starts.
    pub(crate) fails_from: Mutex<Option<u32>>,
    /// Workers and images whose text holds this do not start.
    pub(crate) broken: Mutex<Option<String>>,
    /// Workers whose text holds this start when they are tried, and not when they are to serve.
    pub(crate) unsteady: Mutex<Option<String>>,
}

impl Fake {
    /// The machine as the next process finds it when this one has died: instances run on.
    pub(crate) fn survivors(&self) -> Self {
        let fake = Self::default();
        fake.running.lock().unwrap().append(&mut self.running.lock().unwrap());
        fake
    }

    fn check(&self, text: &str) -> Result<(), PlatformError> {
        match &*self.broken.lock().unwrap() {
            Some(broken) if text.contains(broken) => {
                Err(PlatformError(format!("{broken}: broken")))
            }
            _ => Ok(()),
        }
    }

    /// A request for an object comes: an instance of it starts, if it can.
    pub(crate) fn start(&self, object: &DurableObjectId) {
        let plans = self.applications.lock().unwrap();
        let plan = plans.values().next().unwrap();
        let staged = plan.staged.as_ref().filter(|staged| staged.share.contains(object));
        let version = staged.map_or(plan.version, |staged| staged.version);
        let id = format!("{}-{version}", &object.short()[..1]);
        if self.fails_from.lock().unwrap().is_some_and(|from| version >= from) {
            let reason = "ended with exit code 1".into();
            let failure =
                InstanceFailure { id, object: object.clone(), at: Instant::now(), reason };
            return self.failures.lock().unwrap().push(failure);
        }
        let one = InstanceView {
            id,
            object: object.clone(),
            version,
            status: InstanceStatus::Running,
            listens: true,
            silent_port: None,
            running_for: Some(Duration::from_hours(24)),
        };
        self.running.lock().unwrap().push(one);
    }

    fn check_worker(&self, plan: &WorkerPlan) -> Result<(), PlatformError> {
        texts(plan).try_for_each(|text| self.check(&text))
    }
}

fn texts(plan: &WorkerPlan) -> impl Iterator<Item = Cow<'_, str>> {
    plan.modules.iter().map(|module| String::from_utf8_lossy(&module.contents))
}

impl Platform for Fake {
    fn try_worker<'a>(
        &'a self,
        plan: &'a WorkerPlan,
    ) -> Answer<'a, Result<Duration, PlatformError>> {
        Box::pin(async { self.check_worker(plan).map(|()| Duration::from_millis(7)) })
    }

    fn run_worker<'a>(&'a self, plan: &'a WorkerPlan) -> Answer<'a, Result<(), PlatformError>> {
        Box::pin(async {
            if let Some(unsteady) = &*self.unsteady.lock().unwrap()
                && texts(plan).any(|text| text.contains(unsteady.as_str()))
            {
                return Err(PlatformError(format!("{unsteady}: unsteady")));
            }
            for application in &plan.containers {
                let namespace = application.namespace_id.clone();
                self.applications.lock().unwrap().insert(namespace, application.clone());
                let is_other = |one: &mut InstanceView| one.version != application.version;
                let ended: Vec<_> = self.running.lock().unwrap().extract_if(.., is_other).collect();
                if !ended.is_empty() {
                    let ids = ended.into_iter().map(|one| one.id).collect();
                    self.stopped.lock().unwrap().push(ids);
                }
            }
            self.serving.lock().unwrap().insert(plan.tag.clone(), plan.clone());
            Ok(())
        })
    }

    fn watch<'a>(&'a self, _: &'a str) -> Answer<'a, Result<Events, PlatformError>> {
        Box::pin(async { Err(PlatformError("nothing runs".into())) })
    }

    fn unwatch<'a>(&'a self, _: &'a str) -> Answer<'a, ()> {
        Box::pin(async {})
    }

    fn remove_worker<'a>(&'a self, tag: &'a str, _: &'a [String]) -> Answer<'a, ()> {
        Box::pin(async {
            self.serving.lock().unwrap().remove(tag);
        })
    }

    fn check_cron(&self, expression: &str) -> Result<(), PlatformError> {
        self.check(expression)
    }

    fn set_registries(&self, registries: Vec<RegistryAccess>) {
        *self.registries.lock().unwrap() = registries;
    }

    fn set_application<'a>(
        &'a self,
        plan: &'a ApplicationPlan,
    ) -> Answer<'a, Result<(), PlatformError>> {
        Box::pin(async {
            plan.image.as_deref().map_or(Ok(()), |image| self.check(image))?;
            if let Some(staged) = &plan.staged {
                self.check(&staged.image)?;
            }
            self.applications.lock().unwrap().insert(plan.namespace_id.clone(), plan.clone());
            Ok(())
        })
    }

    fn prepare_image<'a>(
        &'a self,
        reference: &'a str,
    ) -> Answer<'a, Result<String, PlatformError>> {
        Box::pin(async move { self.check(reference).map(|()| "sha256:0".to_owned()) })
    }

    fn stop_instances<'a>(&'a self, ids: &'a [String], _: Duration) -> Answer<'a, ()> {
        Box::pin(async {
            self.stopped.lock().unwrap().push(ids.to_vec());
            let ended = |one: &mut InstanceView| ids.contains(&one.id);
            let ended: Vec<_> = self.running.lock().unwrap().extract_if(.., ended).collect();
            ended.iter().for_each(|one| self.start(&one.object));
        })
    }

    fn remove_application<'a>(&'a self, namespace_id: &'a str) -> Answer<'a, ()> {
        Box::pin(async {
            self.applications.lock().unwrap().remove(namespace_id);
        })
    }

    fn instances(&self, _: &str) -> Vec<InstanceView> {
        self.running.lock().unwrap().clone()
    }

    fn failures(&self, _: &str) -> Vec<InstanceFailure> {
        self.failures.lock().unwrap().clone()
    }

    fn events(&self) -> (Vec<InstanceEvent>, InstanceEvents) {
        (Vec::new(), broadcast::channel(1).1)
    }

    fn log(&self, _: &str, _: &LogPlan) -> Result<Log, PlatformError> {
        Err(PlatformError("nothing runs".into()))
    }

    fn create_exec(&self, _: &str, _: &ExecPlan) -> Result<String, PlatformError> {
        Err(PlatformError("nothing runs".into()))
    }

    fn start_exec<'a>(
        &'a self,
        _: &'a str,
        _: Option<(u16, u16)>,
    ) -> Answer<'a, Result<Session, PlatformError>> {
        Box::pin(async { Err(PlatformError("nothing runs".into())) })
    }

    fn look_at<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
    ) -> Answer<'a, Result<Option<FileView>, PlatformError>> {
        Box::pin(async { Ok(None) })
    }

    fn read_archive<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
    ) -> Answer<'a, Result<Option<OutgoingArchive>, PlatformError>> {
        Box::pin(async { Ok(None) })
    }

    fn write_archive<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Incoming,
    ) -> Answer<'a, Result<(), PlatformError>> {
        Box::pin(async { Err(PlatformError("nothing runs".into())) })
    }

    fn processes<'a>(&'a self, _: &'a str) -> Answer<'a, Result<Vec<ProcessView>, PlatformError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn usage(&self) -> Answer<'_, Vec<UsageView>> {
        Box::pin(async { Vec::new() })
    }
}

/// State in memory, with a folder for what must be in files.
pub(crate) fn state() -> (State, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let sealer = Sealer::with_key_file(&folder.path().join("key")).unwrap();
    let state = State {
        store: Arc::new(Memory::default()),
        sealer: Arc::new(sealer),
        blobs: Blobs::in_folder(&folder.path().join("blobs")),
    };
    (state, folder)
}
