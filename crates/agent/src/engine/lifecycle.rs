//! The life of a container that no Durable Object owns: started, followed, stopped, waited for,
//! removed.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use model::DurableObjectId;
use model::instance::State;
use serde_json::{Value, json};

use super::api::done;
use super::containers::{Container, Found};
use super::create;
use super::error::EngineError;
use super::record::{Life, Record, Status};
use super::reply::{Answer, empty, growing};
use super::{Inner, exit, names};
use crate::docker_api::path::Query;
use crate::docker_api::{CreateContainer, parse_signal};
use crate::egress::outbound::Outbound;
use crate::instance::{Creation, Instance, Request};

/// How long a stop waits before it kills, unless it is told.
const STOP_SECONDS: u64 = 10;
/// How long a killed program may take to end.
const KILL_PATIENCE: Duration = Duration::from_secs(30);

impl Inner {
    /// Takes up what an engine that was killed left running, and knows what ended meanwhile.
    pub(super) async fn take_up(self: &Arc<Self>) {
        for container in self.containers.all() {
            let found = Found::Plain(Arc::clone(&container));
            let life = container.life.borrow().clone();
            match found.instance(self).filter(|instance| !instance.state().is_over()) {
                Some(instance) => {
                    if let Err(error) =
                        container.ports.open(&container.record().body, &instance).await
                    {
                        tracing::warn!(%error, "a container's ports are not published any more");
                    }
                    self.follow(container, instance);
                }
                None if life.status == Status::Running => {
                    let exit = found.instance(self).and_then(|i| i.state().exit_status());
                    let code = exit.map_or(137, |exit| exit.code);
                    let out_of_memory = exit.is_some_and(|exit| exit.out_of_memory);
                    let status = Status::Exited { code, out_of_memory, error: String::new() };
                    let finished = Some(Timestamp::now());
                    let ends = life.ends + 1;
                    let directory = &self.containers.directory;
                    container.enter(directory, Life { status, finished, ends, ..life });
                }
                None => {}
            }
        }
    }

    /// `POST /containers/{id}/start`
    pub(super) async fn start(self: &Arc<Self>, found: &Found) -> Answer {
        let Found::Plain(container) = found else { return empty(StatusCode::NOT_MODIFIED) };
        let _turn = container.turn.lock().await;
        self.start_in_turn(container).await
    }

    async fn start_in_turn(self: &Arc<Self>, container: &Arc<Container>) -> Answer {
        if container.life.borrow().status == Status::Running {
            return empty(StatusCode::NOT_MODIFIED);
        }
        let record = container.record();
        let image = self.images.by_manifest(&record.manifest).await?;
        let image = image.filter(|image| record.is_of(image));
        let image = image.ok_or_else(|| EngineError::NoSuchImage(record.image_name.clone()))?;
        let application = self.api.applications.by_key(&container.key());
        let application =
            application.ok_or_else(|| EngineError::NoSuchContainer(container.id.to_string()))?;
        let slot = self.api.slots.get(&application, &container.place);
        slot.outbound.send_replace(match container.plain.internet {
            true => Outbound::open(),
            false => Outbound::default(),
        });
        let creation = Creation {
            application: application.settings(),
            image,
            request: asked(&record.body),
            mounts: Vec::new(),
            injections: Vec::new(),
        };
        let instance = self.api.slots.create(&slot, creation).await?;
        let started = async {
            container.ports.open(&record.body, &instance).await?;
            instance.tell(Request::Start).await?;
            let under_way =
                |s: &State| matches!(s, State::Created | State::Waiting { .. } | State::Starting);
            let published = instance.until(|state| !under_way(state)).await;
            match &published.state {
                State::Failed { reason } => Err(exit::not_started(reason)),
                _ => Ok(()),
            }
        };
        let before = container.life.borrow().clone();
        if let Err(error) = started.await {
            container.ports.close();
            container.plain.console.end();
            let code = exit::code_of(&error);
            let status = Status::Exited { code, out_of_memory: false, error: error.to_string() };
            let life = Life { status, finished: Some(Timestamp::now()), ..before };
            container.enter(&self.containers.directory, life);
            let _ = self.api.slots.remove(&slot, &instance).await;
            if create::removes_itself(&record.body) {
                self.remove_in_turn(container, true).await?;
            }
            return Err(error);
        }
        let life = Life {
            status: Status::Running,
            started: Some(Timestamp::now()),
            instance: Some(instance.subject.instance),
            ..before
        };
        container.enter(&self.containers.directory, life);
        self.tell(container, "start", &[]);
        self.follow(Arc::clone(container), instance);
        done()
    }

    /// Looks after a container that runs: its end becomes its state.
    fn follow(self: &Arc<Self>, container: Arc<Container>, instance: Instance) {
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            let published = instance.until(State::is_over).await;
            container.ports.close();
            let exit = published.state.exit_status();
            let exit = exit.unwrap_or(model::instance::ExitStatus::KILLED);
            let before = container.life.borrow().clone();
            if matches!(before.status, Status::Removed { .. }) {
                return;
            }
            let status = Status::Exited {
                code: exit.code,
                out_of_memory: exit.out_of_memory,
                error: String::new(),
            };
            let (finished, ends) = (Some(Timestamp::now()), before.ends + 1);
            let life = Life { status, finished, ends, ..before };
            container.enter(&engine.containers.directory, life);
            engine.tell(&container, "die", &[("exitCode", exit.code.to_string())]);
            if create::removes_itself(&container.record().body) {
                let _turn = container.turn.lock().await;
                let _ = engine.remove_in_turn(&container, true).await;
            }
        });
    }

    /// `POST /containers/{id}/stop?t=`
    pub(super) async fn stop(self: &Arc<Self>, found: &Found, query: Query<'_>) -> Answer {
        let grace = grace(query, found)?;
        let Some(instance) = found.instance(self).filter(|i| i.state().is_live()) else {
            return empty(StatusCode::NOT_MODIFIED);
        };
        self.end_run(found, &instance, grace, query.get("signal")).await?;
        if let Found::Plain(container) = found {
            self.tell(container, "stop", &[]);
        }
        done()
    }

    async fn end_run(
        &self,
        found: &Found,
        instance: &Instance,
        grace: Duration,
        signal: Option<String>,
    ) -> Result<(), EngineError> {
        if let Some(signal) = signal.filter(|signal| !signal.is_empty()) {
            instance.tell(Request::Signal(self::signal(&signal)?)).await?;
            // Then only what does not end of it is asked anew.
            let over = instance.until(State::is_over);
            let _ = tokio::time::timeout(grace, over).await;
            let _ = instance.tell(Request::Stop(Duration::ZERO)).await;
        } else if let Err(rejected) = instance.tell(Request::Stop(grace)).await
            && !instance.state().is_over()
        {
            return Err(rejected.into());
        }
        let over = instance.until(State::is_over);
        let over = tokio::time::timeout(grace.saturating_add(KILL_PATIENCE), over).await;
        over.map_err(|_| EngineError::Failed(format!("container {} does not end", found.id())))?;
        if let Found::Plain(container) = found {
            let mut life = container.life.subscribe();
            let _ = life.wait_for(|life| life.status != Status::Running).await;
        }
        Ok(())
    }

    /// `POST /containers/{id}/restart?t=`
    pub(super) async fn restart(self: &Arc<Self>, found: &Found, query: Query<'_>) -> Answer {
        let Found::Plain(container) = found else {
            return Err(EngineError::NotSupported(
                "restarting a Durable Object's container".into(),
            ));
        };
        let _turn = container.turn.lock().await;
        if let Some(instance) = found.instance(self).filter(|i| i.state().is_live()) {
            self.end_run(found, &instance, grace(query, found)?, None).await?;
        }
        self.start_in_turn(container).await
    }

    /// `POST /containers/{id}/kill?signal=`
    pub(super) async fn kill(self: &Arc<Self>, found: &Found, query: Query<'_>) -> Answer {
        let signal = match query.get("signal").filter(|signal| !signal.is_empty()) {
            Some(signal) => self::signal(&signal)?,
            None => 9,
        };
        let instance = found.running(self)?;
        instance.tell(Request::Signal(signal)).await?;
        if let Found::Plain(container) = found {
            self.tell(container, "kill", &[("signal", signal.to_string())]);
        }
        done()
    }

    /// `POST /containers/{id}/wait?condition=`: the head is answered at once, the body at the end.
    pub(super) fn wait(self: &Arc<Self>, found: &Found, query: Query<'_>) -> Answer {
        let condition = query.get("condition").unwrap_or_default();
        let Found::Plain(container) = found.clone() else {
            return Err(EngineError::NotSupported(
                "waiting for a Durable Object's container by its id".to_owned(),
            ));
        };
        let mut life = container.life.subscribe();
        let ends = life.borrow().ends;
        let over: Box<dyn Fn(&Life) -> bool + Send + Sync> = match condition.as_str() {
            "" | "not-running" => Box::new(|life: &Life| life.status != Status::Running),
            "next-exit" => Box::new(move |life: &Life| {
                life.ends > ends || matches!(life.status, Status::Removed { .. })
            }),
            "removed" => Box::new(|life: &Life| matches!(life.status, Status::Removed { .. })),
            other => {
                let text = format!("invalid condition: \"{other}\"");
                return Err(EngineError::BadParameter(text));
            }
        };
        let (send, reply) = growing("application/json");
        tokio::spawn(async move {
            let code = tokio::select! {
                ended = life.wait_for(|life| over(life)) => match ended {
                    Ok(life) => life.status.code(),
                    Err(_) => return,
                },
                () = send.closed() => return,
            };
            let body = json!({"StatusCode": code});
            let _ = send.send(Bytes::from(body.to_string())).await;
        });
        Ok(reply)
    }

    /// `POST /containers/{id}/rename?name=`
    pub(super) fn rename(&self, found: &Found, query: Query<'_>) -> Answer {
        let Found::Plain(container) = found else {
            return Err(EngineError::NotSupported("renaming a Durable Object's container".into()));
        };
        let name = query.get("name").unwrap_or_default();
        names::check(&name)?;
        self.containers.rename(container, name)?;
        self.tell(container, "rename", &[]);
        done()
    }

    /// `DELETE /containers/{id}?force=&v=`
    pub(super) async fn remove(self: &Arc<Self>, found: &Found, query: Query<'_>) -> Answer {
        let force = query.flag("force");
        match found {
            Found::Object(slot) => {
                let instance = slot.visible();
                let instance =
                    instance.ok_or_else(|| EngineError::NoSuchContainer(slot.name.to_string()))?;
                if !force && instance.state().is_live() {
                    return Err(running_and_not_forced(&found.id()));
                }
                let removed = self.api.slots.remove(slot, &instance).await;
                removed.map_err(|error| EngineError::Failed(error.to_string()))?;
            }
            Found::Plain(container) => {
                let _turn = container.turn.lock().await;
                if !force && container.life.borrow().status == Status::Running {
                    return Err(running_and_not_forced(&container.id));
                }
                self.remove_in_turn(container, query.flag("v")).await?;
            }
        }
        done()
    }

    pub(super) async fn remove_in_turn(
        &self,
        container: &Container,
        volumes: bool,
    ) -> Result<(), EngineError> {
        let life = container.life.borrow().clone();
        if matches!(life.status, Status::Removed { .. }) {
            return Ok(());
        }
        let running = life.status == Status::Running;
        if let Some(application) = self.api.applications.by_key(&container.key())
            && let Some(slot) = self.api.slots.find(&application, &container.place)
        {
            if let Some(instance) = slot.current.get() {
                let removed = self.api.slots.remove(&slot, &instance).await;
                removed.map_err(|error| EngineError::Failed(error.to_string()))?;
            }
            self.api.slots.tidy(&slot);
        }
        discard(&container.plain.files).await?;
        container.ports.close();
        container.plain.console.end();
        self.api.applications.remove(&container.key());
        self.containers.all.lock().expect("no holder of this lock panics").remove(&container.id);
        Record::remove(&self.containers.directory, &container.id);
        if let Some(instance) = life.instance {
            let _ = fs_err::remove_dir_all(self.api.node.log_dir(instance));
        }
        if volumes {
            for volume in &container.record().anonymous_volumes {
                self.volumes.discard(volume);
            }
        }
        let code = if running { 137 } else { life.status.code() };
        let ends = life.ends + u64::from(running);
        let status = Status::Removed { code };
        container.enter(&self.containers.directory, Life { status, ends, ..life });
        if running {
            self.tell(container, "die", &[("exitCode", code.to_string())]);
        }
        self.tell(container, "destroy", &[]);
        Ok(())
    }
}

/// Removes what a container has written.
async fn discard(files: &Path) -> Result<(), EngineError> {
    let files = files.to_owned();
    let removed = tokio::task::spawn_blocking(move || fs_err::remove_dir_all(files));
    match removed.await.map_err(EngineError::lost)? {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(EngineError::Failed(format!("failed to remove a container's files: {error}")))
        }
        _ => Ok(()),
    }
}

/// The part of a `create` that the agent reads itself.
fn asked(body: &Value) -> CreateContainer {
    CreateContainer {
        image: String::new(),
        cmd: create::words(body, "Cmd").ok().flatten(),
        entrypoint: create::words(body, "Entrypoint").ok().flatten().filter(|e| !e.is_empty()),
        env: create::words(body, "Env").ok().flatten(),
        labels: None,
        host_config: None,
    }
}

fn running_and_not_forced(id: &DurableObjectId) -> EngineError {
    EngineError::Conflict(format!(
        "You cannot remove a running container {id}. Stop the container before attempting removal \
         or force remove"
    ))
}

/// The time between a stop's signal and the kill.
fn grace(query: Query<'_>, found: &Found) -> Result<Duration, EngineError> {
    let own = match found {
        Found::Plain(container) => container.record().body["StopTimeout"].as_u64(),
        Found::Object(_) => None,
    };
    match query.get("t").filter(|text| !text.is_empty()) {
        // A negative one is no limit.
        Some(text) if text.starts_with('-') => Ok(Duration::from_secs(u64::from(u32::MAX))),
        Some(text) => match text.parse::<u32>() {
            Ok(seconds) => Ok(Duration::from_secs(u64::from(seconds))),
            Err(_) => Err(EngineError::BadParameter(format!("invalid value for \"t\": {text}"))),
        },
        None => Ok(Duration::from_secs(own.unwrap_or(STOP_SECONDS))),
    }
}

fn signal(text: &str) -> Result<i32, EngineError> {
    parse_signal(text).ok_or_else(|| EngineError::BadParameter(format!("Invalid signal: {text}")))
}
