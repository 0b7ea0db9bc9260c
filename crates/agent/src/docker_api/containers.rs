//! `/containers`: instances and the sidecars workerd believes in.

mod sidecars;

use std::sync::Arc;

use http::StatusCode;
use image::{Image, Upload};
use model::ContainerName;
use model::instance::{Rejected, State};
use serde_json::{Value, json};

use super::reply::{HttpReply, Reply};
use super::request::{ContainerCall, CreateContainer, WaitCondition};
use super::{Api, Caller};
use super::{archives, images, volumes};
use crate::application::{ApplicationRuntime, ApplicationSlot};
use crate::instance::{Creation, Instance, Request, why_not};
use crate::slot::Slot;

/// `POST /containers/create?name=…`
pub(super) async fn create(
    api: &Api,
    name: &ContainerName,
    request: CreateContainer,
    caller: Caller,
) -> Reply {
    let Some(application) = api.applications.find_or_open(name) else {
        return no_such_application(name);
    };
    let slot = api.slots.get(&application, name);
    let reply = if name.sidecar {
        sidecars::create(api, &slot, caller)
    } else {
        create_instance(api, &slot, request).await
    };
    api.slots.tidy(&slot);
    reply
}

async fn create_instance(api: &Api, slot: &Arc<Slot>, request: CreateContainer) -> Reply {
    if let Some(refused) = not_supported(&request) {
        return refused;
    }
    let application = slot.application.settings().for_object(&slot.name.object);
    let image = match images::snapshot_id(&request.image) {
        Some(id) => images::restore(api, &application.unique_key, id).await,
        None if slot.application.is_open() => images::stored(api, &request.image).await,
        None => own_image(&application, &request.image),
    };
    let host = request.host_config.as_ref();
    let mounts = host.and_then(|host| host.mounts.clone()).unwrap_or_default();
    let mounts = volumes::mounts(api, &application.unique_key, &mounts).await;
    let (image, mounts) = match (image, mounts) {
        (Ok(image), Ok(mounts)) => (image, mounts),
        (Err(reply), _) | (_, Err(reply)) => return reply,
    };
    let injections = Vec::new();
    let asked = Arc::new(request.clone());
    let creation = Creation { application, image, request, mounts, injections };
    let created = api.slots.create(slot, creation).await;
    *slot.asked.lock().expect("no holder of this lock panics") = Some(asked);
    match created {
        Ok(instance) => Reply::created(&instance.subject.instance.to_string()),
        Err(rejected) => rejected.into(),
    }
}

/// What would be ignored otherwise is refused by name.
fn not_supported(request: &CreateContainer) -> Option<Reply> {
    let binds = request.host_config.as_ref().and_then(|host| host.binds.as_ref());
    binds.filter(|binds| !binds.is_empty()).map(|_| {
        let text = "binding a directory of the host is not supported by Berth's container engine";
        Reply::error(StatusCode::NOT_IMPLEMENTED, text)
    })
}

/// The application's image of that name.
fn own_image(application: &ApplicationRuntime, name: &str) -> Result<Image, Reply> {
    let image = application.image_named(name).cloned();
    image.ok_or_else(|| Reply::error(StatusCode::NOT_FOUND, format!("No such image: {name}")))
}

/// A call about one container.
pub(super) async fn answer(
    api: &Api,
    name: &ContainerName,
    call: ContainerCall,
    caller: Caller,
) -> Reply {
    let Some(application) = api.applications.find(name) else {
        return Reply::no_such_container(name);
    };
    if name.sidecar {
        return sidecars::answer(api, &application, name, call, caller).await;
    }
    let slot = match (&call, api.slots.find(&application, name)) {
        (_, Some(slot)) => slot,
        (ContainerCall::Inspect, None) => api.slots.get(&application, name),
        (_, None) => return Reply::no_such_container(name),
    };
    let reply = on_instance(api, &slot, name, call, caller).await;
    api.slots.tidy(&slot);
    reply
}

async fn on_instance(
    api: &Api,
    slot: &Arc<Slot>,
    name: &ContainerName,
    call: ContainerCall,
    caller: Caller,
) -> Reply {
    let Some(instance) = slot.visible() else {
        if matches!(call, ContainerCall::Inspect) && !caller.draining {
            prepare(api, slot, &slot.application).await;
        }
        return Reply::no_such_container(name);
    };
    match call {
        ContainerCall::Inspect => inspect(&instance, name, caller).await,
        ContainerCall::Start => start(&instance).await,
        ContainerCall::Wait(condition) => {
            let reply = wait(slot, &instance, condition, caller).await;
            if matches!(condition, WaitCondition::NotRunning) && !caller.draining {
                instance.note_told();
                // An owner that is gone has removed its record itself.
                let _ = instance.tell(Request::Told).await;
            }
            reply
        }
        ContainerCall::Kill(signal) => match instance.tell(Request::Signal(signal)).await {
            Ok(()) => Reply::empty(StatusCode::NO_CONTENT),
            Err(rejected) => rejected.into(),
        },
        ContainerCall::Delete if caller.draining => match instance.tell(Request::Detach).await {
            Ok(()) | Err(Rejected::NotThere) => Reply::empty(StatusCode::NO_CONTENT),
            Err(rejected) => rejected.into(),
        },
        ContainerCall::Delete => match api.slots.remove(slot, &instance).await {
            Ok(()) => Reply::empty(StatusCode::NO_CONTENT),
            Err(error) => Reply::error(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        ContainerCall::CreateExec(exec) => super::exec::create(api, instance, *exec),
        ContainerCall::GetArchive(_) | ContainerCall::PutArchive(_) => {
            Reply::error(StatusCode::BAD_REQUEST, "there is no archive")
        }
    }
}

/// `GET` and `PUT /containers/{name}/archive`
pub(super) async fn archive(
    api: &Api,
    name: &ContainerName,
    call: ContainerCall,
    upload: Option<Upload>,
) -> HttpReply {
    let application = api.applications.find(name).filter(|_| !name.sidecar);
    let slot = application.and_then(|application| api.slots.find(&application, name));
    let Some(instance) = slot.and_then(|slot| slot.visible()) else {
        return Reply::no_such_container(name).into_http();
    };
    match (call, upload) {
        (ContainerCall::GetArchive(path), _) => archives::get(api, &instance, path).await,
        (ContainerCall::PutArchive(path), Some(upload)) => {
            archives::put(&instance, path, upload).await.into_http()
        }
        _ => Reply::error(StatusCode::BAD_REQUEST, "there is no archive").into_http(),
    }
}

/// Somebody asks for what is not there: it will be created in a moment.
async fn prepare(api: &Api, slot: &Arc<Slot>, application: &ApplicationSlot) {
    if application.settings().has_image() {
        api.slots.prepare(slot).await;
    }
}

/// `GET /containers/{name}/json`; a caller that stays keeps what it finds.
async fn inspect(instance: &Instance, name: &ContainerName, caller: Caller) -> Reply {
    if !caller.draining && instance.tell(Request::Adopt).await.is_err() {
        return Reply::no_such_container(name);
    }
    let published = instance.published();
    let untold = instance.ended_untold();
    let status = if untold { "running" } else { published.state.docker_status() };
    let exit = published.state.exit_status().filter(|_| !untold);
    Reply::ok(json!({
        "Id": instance.subject.instance.to_string(),
        "Name": format!("/{name}"),
        "State": {
            "Status": status,
            "Running": status == "running",
            "ExitCode": exit.map_or(0, |exit| exit.code),
            "OOMKilled": exit.is_some_and(|exit| exit.out_of_memory),
            "Pid": published.running.map_or(0, |running| running.sandbox.pid()),
        },
        "Config": {"Image": &*instance.subject.application},
        "NetworkSettings": {"Ports": {}},
    }))
}

/// `POST /containers/{name}/start`. What goes wrong is told by `wait`, whose text workerd hands on;
/// an error here would be no more than "failed to start" to the user.
async fn start(instance: &Instance) -> Reply {
    if let Err(rejected) = instance.tell(Request::Start).await {
        return rejected.into();
    }
    let under_way =
        |state: &State| matches!(state, State::Created | State::Waiting { .. } | State::Starting);
    instance.until(|state| !under_way(state)).await;
    Reply::empty(StatusCode::NO_CONTENT)
}

/// `POST /containers/{name}/wait`, which lasts as long as the instance.
async fn wait(slot: &Slot, instance: &Instance, condition: WaitCondition, caller: Caller) -> Reply {
    let published = match condition {
        // It stays for the next process; for this one it is gone.
        WaitCondition::Removed if caller.draining => return Reply::no_such_container(&slot.name),
        WaitCondition::Removed => instance.until(|s| matches!(s, State::Removed { .. })).await,
        WaitCondition::NotRunning => instance.until(has_result).await,
    };
    let most = slot.application.settings().application.max_instances;
    if let Some(text) = why_not(&published, Some(most)) {
        let status = match published.state {
            State::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        return Reply::error(status, text);
    }
    let exit = published.state.exit_status().unwrap_or(model::instance::ExitStatus::KILLED);
    let mut body = json!({"StatusCode": exit.code});
    if exit.out_of_memory {
        body["Error"] = json!({"Message": model::messages::OUT_OF_MEMORY});
    }
    Reply::ok(body)
}

/// Whether a waiter can be told how it ended.
fn has_result(state: &State) -> bool {
    match state {
        State::Removing { status } => status.is_some(),
        state => state.is_over(),
    }
}

fn no_such_application(name: &ContainerName) -> Reply {
    let text = format!("No such image: no application has containers named {name}");
    Reply::error(StatusCode::NOT_FOUND, text)
}

/// A running container in the fewest words workerd reads.
fn running(name: &ContainerName, ports: &Value) -> Reply {
    Reply::ok(json!({
        "Id": name.to_string(),
        "Name": format!("/{name}"),
        "State": {"Status": "running", "Running": true, "ExitCode": 0, "Pid": std::process::id()},
        "Config": {"Image": "berth"},
        "NetworkSettings": {"Ports": ports},
    }))
}
