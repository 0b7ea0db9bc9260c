//! `/exec`: further programs in an instance.

use http::{HeaderValue, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::json;

use super::Api;
use super::reply::{HttpReply, Reply, whole};
use super::request::{CreateExec, ExecCall, StartExec};
use crate::exec::{ExecRecord, ExecRejected, Progress, serve};
use crate::instance::Instance;

/// `POST /containers/{name}/exec`
pub(crate) fn create(api: &Api, instance: Instance, request: CreateExec) -> Reply {
    match api.execs.create(instance, request) {
        Ok(id) => Reply::created(&id),
        Err(rejected) => rejected.into(),
    }
}

/// A call about one exec. `upgrade` is the connection, should it become the exec's streams.
pub(super) async fn answer(
    api: &Api,
    id: &str,
    call: ExecCall,
    upgrade: Option<OnUpgrade>,
) -> HttpReply {
    let Some(record) = api.execs.find(id) else {
        let text = format!("No such exec instance: {id}");
        return Reply::error(StatusCode::NOT_FOUND, text).into_http();
    };
    match call {
        ExecCall::Inspect => inspect(&record).into_http(),
        ExecCall::Resize { rows, columns } => match record.resize(columns, rows) {
            Ok(()) => Reply::empty(StatusCode::OK).into_http(),
            Err(rejected) => Reply::from(rejected).into_http(),
        },
        ExecCall::Start(start) => self::start(api, &record, start, upgrade).await,
    }
}

/// `POST /exec/{id}/start`: the program runs when this is answered, so that the caller finds its pid.
async fn start(
    api: &Api,
    record: &std::sync::Arc<ExecRecord>,
    start: StartExec,
    upgrade: Option<OnUpgrade>,
) -> HttpReply {
    let detach = start.detach;
    let attached = match api.execs.start(record, start).await {
        Ok(attached) => attached,
        Err(rejected) => return Reply::from(rejected).into_http(),
    };
    let (false, Some(upgrade)) = (detach, upgrade) else {
        return Reply::empty(StatusCode::OK).into_http();
    };
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => serve(TokioIo::new(upgraded), attached).await,
            Err(error) => tracing::debug!(%error, "an exec's caller went away"),
        }
    });
    upgraded(record.tty)
}

/// 101 with the media type Docker uses for each kind of stream.
fn upgraded(tty: bool) -> HttpReply {
    let kind = if tty {
        "application/vnd.docker.raw-stream"
    } else {
        "application/vnd.docker.multiplexed-stream"
    };
    let mut reply = Response::new(whole(""));
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("tcp"));
    reply
}

fn inspect(record: &ExecRecord) -> Reply {
    let (running, pid, code) = match record.progress() {
        Progress::Created => (false, 0, None),
        Progress::Running { pid } => (true, pid, None),
        Progress::Ended { pid, code, .. } => (false, pid, Some(code)),
    };
    Reply::ok(json!({
        "ID": record.id,
        "ContainerID": record.instance.to_string(),
        "Running": running,
        "ExitCode": code,
        "Pid": pid,
    }))
}

impl From<ExecRejected> for Reply {
    fn from(rejected: ExecRejected) -> Self {
        let status = match rejected {
            ExecRejected::NoCommand => StatusCode::BAD_REQUEST,
            ExecRejected::TooMany => StatusCode::SERVICE_UNAVAILABLE,
            ExecRejected::NotRunning | ExecRejected::AlreadyStarted | ExecRejected::NoTerminal => {
                StatusCode::CONFLICT
            }
        };
        Self::error(status, rejected.to_string())
    }
}
