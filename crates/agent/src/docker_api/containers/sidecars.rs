//! The `-proxy` containers: records and listeners of the agent's own, no containers at all.

use std::io;
use std::sync::Arc;

use http::StatusCode;
use model::ContainerName;
use model::limits::SIDECAR_PORT;
use serde_json::json;

use super::super::reply::Reply;
use super::super::request::{ContainerCall, WaitCondition};
use super::super::{Api, Caller};
use crate::application::ApplicationSlot;
use crate::sidecar::Sidecar;
use crate::slot::Slot;

/// `create`: the sidecar listens from here on; one that is there already is as good as a new one.
pub(super) fn create(api: &Api, slot: &Slot, caller: Caller) -> Reply {
    match listen(api, slot, caller) {
        Ok(_) => Reply::created(&sidecar_name(slot).to_string()),
        Err(error) => no_port(&error),
    }
}

/// Any other call about a sidecar.
pub(super) async fn answer(
    api: &Api,
    application: &Arc<ApplicationSlot>,
    name: &ContainerName,
    call: ContainerCall,
    caller: Caller,
) -> Reply {
    let Some(slot) = api.slots.find(application, name) else {
        return Reply::no_such_container(name);
    };
    let reply = on_sidecar(api, &slot, name, call, caller).await;
    api.slots.tidy(&slot);
    reply
}

async fn on_sidecar(
    api: &Api,
    slot: &Slot,
    name: &ContainerName,
    call: ContainerCall,
    caller: Caller,
) -> Reply {
    let adopted = slot
        .current
        .get()
        .is_some_and(|instance| instance.state().is_live() || instance.ended_untold());
    let there = adopted || slot.sidecar.lock().expect("no holder of this lock panics").is_some();
    if !there {
        return Reply::no_such_container(name);
    }
    match call {
        ContainerCall::Inspect => inspect(api, slot, name, caller),
        ContainerCall::Start => match listen(api, slot, caller) {
            Ok(_) => Reply::empty(StatusCode::NO_CONTENT),
            Err(error) => no_port(&error),
        },
        // The instance stays for the next process, and so does the way to it.
        ContainerCall::Delete if caller.draining && adopted => Reply::empty(StatusCode::NO_CONTENT),
        ContainerCall::Delete => {
            slot.sidecar.lock().expect("no holder of this lock panics").take();
            Reply::empty(StatusCode::NO_CONTENT)
        }
        ContainerCall::Kill(_) => Reply::empty(StatusCode::NO_CONTENT),
        ContainerCall::Wait(WaitCondition::Removed) if caller.draining => {
            Reply::no_such_container(name)
        }
        ContainerCall::Wait(_) => std::future::pending().await,
        ContainerCall::GetArchive(_) | ContainerCall::PutArchive(_) => Reply::error(
            StatusCode::NOT_IMPLEMENTED,
            "the sidecar has no files: it is part of Berth",
        ),
        ContainerCall::CreateExec(_) => Reply::error(
            StatusCode::NOT_IMPLEMENTED,
            "nothing can be executed in the sidecar: it is part of Berth",
        ),
    }
}

/// The instance of an adopted container gets its way in when it is first asked for.
fn inspect(api: &Api, slot: &Slot, name: &ContainerName, caller: Caller) -> Reply {
    match listen(api, slot, caller) {
        Ok(port) => {
            let binding = json!({"HostIp": "127.0.0.1", "HostPort": port.to_string()});
            super::running(name, &json!({ format!("{SIDECAR_PORT}/tcp"): [binding] }))
        }
        Err(error) => no_port(&error),
    }
}

/// The port the sidecar listens on; it begins to now if it did not.
fn listen(api: &Api, slot: &Slot, caller: Caller) -> io::Result<u16> {
    let mut sidecar = slot.sidecar.lock().expect("no holder of this lock panics");
    if let Some(sidecar) = &*sidecar {
        if !caller.draining {
            sidecar.set_owner(caller.uid);
        }
        return Ok(sidecar.port());
    }
    let current = slot.current.clone();
    let new = Sidecar::start(Arc::clone(&api.node), current, slot.outbound.clone(), caller.uid)?;
    Ok(sidecar.insert(new).port())
}

fn sidecar_name(slot: &Slot) -> ContainerName {
    ContainerName { sidecar: true, ..slot.name.clone() }
}

fn no_port(error: &io::Error) -> Reply {
    let text = format!("failed to listen on 127.0.0.1 for the sidecar: {error}");
    Reply::error(StatusCode::INTERNAL_SERVER_ERROR, text)
}
