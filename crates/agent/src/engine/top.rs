//! `GET /containers/{id}/top`: the processes of a container, as the host sees them.

use serde_json::json;

use super::Inner;
use super::containers::Found;
use super::error::EngineError;
use super::reply::{Answer, ok};
use crate::docker_api::path::Query;
use crate::processes;

/// The columns, as `ps -ef` has them as far as they are known cheaply.
const TITLES: [&str; 4] = ["UID", "PID", "PPID", "CMD"];

pub(super) fn top(engine: &Inner, found: &Found, query: Query<'_>) -> Answer {
    if let Some(options) = query.get("ps_args").filter(|o| !o.is_empty() && o != "-ef") {
        return Err(EngineError::NotSupported(format!("top with the options `{options}`")));
    }
    let running = found.running(engine)?.published().running;
    let processes = running.and_then(|running| processes::of_instance(running.sandbox.pid()));
    let processes = processes
        .ok_or_else(|| EngineError::Conflict(format!("Container {} is not running", found.id())))?;
    let rows = processes.into_iter().map(|process| {
        let [uid, pid, parent] = [process.uid, process.pid, process.parent].map(|n| n.to_string());
        [uid, pid, parent, process.command]
    });
    ok(json!({"Titles": TITLES, "Processes": rows.collect::<Vec<_>>()}))
}
