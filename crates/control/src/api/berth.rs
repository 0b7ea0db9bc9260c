//! `…/berth/…`: what Cloudflare's API does not have. Instances are stopped, read and entered.

mod files;
mod usage;

use std::time::Duration;

use http::Response;
use jiff::Timestamp;

use super::websocket::Handshake;
use super::{Asked, body};
use crate::containers::Containers;
use crate::envelope::{Body, Failure, success};
use crate::plan::{ExecPlan, LogPlan};
use crate::platform::PlatformError;
use crate::route::BerthRoute;
use crate::streams::{PROTOCOL, send_events, send_log, serve_program};
use crate::wire::{PreparedExec, StopWish, StoppedInstance, StoppedInstances};

/// The largest terminal that is believed, in rows or columns.
const MOST_CELLS: u16 = 10_000;

pub(super) async fn answer(
    containers: &Containers,
    route: BerthRoute,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    match route {
        BerthRoute::Stop(id) => {
            let grace = grace(containers, asked).await?;
            containers.stop_instance(&id, grace).await?;
            Ok(success(&StoppedInstance { id }))
        }
        BerthRoute::Restart(id) => {
            let grace = grace(containers, asked).await?;
            let instances = containers.stop_all(&id, grace).await?;
            Ok(success(&StoppedInstances { instances }))
        }
        BerthRoute::Log(id) => log(containers, &id, asked),
        BerthRoute::Events => events(containers, asked),
        BerthRoute::CreateExec(id) => {
            let plan: ExecPlan = body::json(asked.body).await?;
            containers.find_instance(&id)?;
            let exec = containers.platform.create_exec(&id, &plan).map_err(refused)?;
            Ok(success(&PreparedExec { id: exec }))
        }
        BerthRoute::StartExec(id) => start_exec(containers, &id, asked).await,
        BerthRoute::File(id) => files::look_at(containers, &id, asked).await,
        BerthRoute::ReadArchive(id) => files::read(containers, &id, asked).await,
        BerthRoute::WriteArchive(id) => files::write(containers, &id, asked).await,
        BerthRoute::Processes(id) => usage::processes(containers, &id).await,
        BerthRoute::Usage => usage::all(containers, asked.query("application")).await,
    }
}

fn log(containers: &Containers, id: &str, asked: Asked) -> Result<Response<Body>, Failure> {
    let handshake = Handshake::parse(&asked.head, PROTOCOL)?;
    let plan = LogPlan {
        follow: flag(&asked, "follow")?,
        timestamps: flag(&asked, "timestamps")?,
        tail: parameter(&asked, "tail", "a number")?,
        since: parameter::<Timestamp>(&asked, "since", "a time such as 2026-01-31T12:00:00Z")?,
    };
    // One that has ended is in no list any more, and may have a log nevertheless.
    let log = match (containers.platform.log(id, &plan), containers.find_instance(id)) {
        (Ok(log), _) => log,
        (Err(_), Err(missing)) => return Err(missing),
        (Err(error), Ok(_)) => return Err(refused(error)),
    };
    Ok(handshake.accept(asked.head, asked.body, move |connection| async move {
        if let Some(connection) = connection {
            send_log(connection, log).await;
        }
    }))
}

fn events(containers: &Containers, asked: Asked) -> Result<Response<Body>, Failure> {
    let handshake = Handshake::parse(&asked.head, PROTOCOL)?;
    let follow = flag(&asked, "follow")?;
    let application = asked.query("application");
    let name = application.map(|id| containers.state.application(&id)).transpose()?;
    let name = name.map(|read| read.value.name().to_owned());
    let events = containers.platform.events();
    Ok(handshake.accept(asked.head, asked.body, move |connection| async move {
        if let Some(connection) = connection {
            send_events(connection, events, name, follow).await;
        }
    }))
}

async fn start_exec(
    containers: &Containers,
    id: &str,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    let handshake = Handshake::parse(&asked.head, PROTOCOL)?;
    let cells = |name: &str| -> Result<Option<u16>, Failure> {
        let cells = parameter::<u16>(&asked, name, "a number of characters")?;
        Ok(cells.map(|cells| cells.clamp(1, MOST_CELLS)))
    };
    let size = cells("rows")?.zip(cells("columns")?);
    let session = containers.platform.start_exec(id, size).await.map_err(refused)?;
    Ok(handshake.accept(asked.head, asked.body, move |connection| async move {
        if let Some(connection) = connection {
            serve_program(connection, session).await;
        }
    }))
}

/// The time between SIGTERM and SIGKILL that a request names, or else the platform's.
async fn grace(containers: &Containers, asked: Asked) -> Result<Duration, Failure> {
    let wanted: StopWish = body::json(asked.body).await?;
    let grace = wanted.grace_seconds.map(|seconds| Duration::from_secs(seconds.into()));
    Ok(grace.unwrap_or(containers.stop_grace))
}

fn flag(asked: &Asked, name: &str) -> Result<bool, Failure> {
    Ok(parameter(asked, name, "true or false")?.unwrap_or(false))
}

fn parameter<T: std::str::FromStr>(
    asked: &Asked,
    name: &str,
    what: &str,
) -> Result<Option<T>, Failure> {
    let Some(text) = asked.query(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        Failure::bad_request(format!("VALIDATE_INPUT: {name}: \"{text}\" is not {what}"))
    })
}

fn refused(error: PlatformError) -> Failure {
    Failure::bad_request(error.to_string())
}
