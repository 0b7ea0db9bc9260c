//! From a `CONNECT` to bytes in both directions: the attempts, the holding, the copying.

use std::time::{Duration, Instant};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use model::instance::State;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;

use super::Shared;
use super::hold::{Hold, Phase, hold};
use crate::event::AgentEvent;
use crate::instance::{Instance, why_not};
use crate::timings::Timed;

/// Bytes buffered in each direction of a tunnel.
const BUFFER: usize = 16 * 1024;
/// What a 503 waits for first: the class polls, and `/wait` is to be heard before it.
const UNAVAILABLE_AFTER: Duration = Duration::from_millis(40);
/// The same before a 400 about a program that ended while it was waited for.
const ENDED_AFTER: Duration = Duration::from_millis(20);
/// How long a tunnel may hand on the last bytes of an instance that ended.
const LAST_BYTES: Duration = Duration::from_secs(2);

/// What became of a `CONNECT`.
#[derive(Debug)]
pub(super) enum Connected {
    Yes { upstream: TcpStream, instance: Box<Instance> },
    NotListening,
    Ended,
    Unavailable(String),
}

/// A tunnel about to run.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) upgrade: OnUpgrade,
    pub(super) upstream: TcpStream,
    pub(super) instance: Instance,
}

/// Connects to a port of the current instance, holding the call while the rules say so.
pub(super) async fn connect(shared: &Shared, port: u16) -> Connected {
    let asked = Instant::now();
    loop {
        let instance = shared.current.get();
        if let Some(upstream) = attempt(instance.as_ref(), port).await {
            let instance = Box::new(instance.expect("only an instance can be connected to"));
            return Connected::Yes { upstream, instance };
        }
        let (phase, held) = (phase(instance.as_ref(), port), asked.elapsed());
        match hold(port, phase, held) {
            Hold::Retry(after) => wait(instance.as_ref(), after).await,
            Hold::NotListening => {
                if phase == Phase::Ended {
                    tokio::time::sleep(ENDED_AFTER).await;
                    return Connected::Ended;
                }
                if held >= model::limits::CONNECT_HOLD
                    && let Some(instance) = instance
                {
                    let subject = instance.subject;
                    shared.node.events.send(AgentEvent::NotListening { subject, port });
                }
                return Connected::NotListening;
            }
            Hold::Unavailable => {
                tokio::time::sleep(UNAVAILABLE_AFTER).await;
                return Connected::Unavailable(reason(instance.as_ref()));
            }
        }
    }
}

async fn attempt(instance: Option<&Instance>, port: u16) -> Option<TcpStream> {
    let instance = instance?;
    let running = instance.published().running?;
    let upstream = running.sandbox.connect(port).await.ok()?;
    upstream.set_nodelay(true).ok()?;
    instance.note_listening(port);
    Some(upstream)
}

fn phase(instance: Option<&Instance>, port: u16) -> Phase {
    let Some(instance) = instance else { return Phase::NotStarted };
    let published = instance.published();
    match (&published.state, published.running) {
        (State::Refused(_) | State::Failed { .. }, _) => Phase::Unavailable,
        (state, _) if state.is_over() => Phase::Ended,
        (_, None) => Phase::NotStarted,
        (_, Some(running)) => Phase::Running {
            since_start: running.since.elapsed(),
            listened: instance.has_listened(port),
        },
    }
}

/// Waits for the next attempt, or less when the instance's state changes.
async fn wait(instance: Option<&Instance>, after: Duration) {
    let Some(instance) = instance else { return tokio::time::sleep(after).await };
    let generation = instance.published().generation;
    let mut follower = instance.follow();
    let changed = follower.wait_for(|published| published.generation != generation);
    let _ = tokio::time::timeout(after, changed).await;
}

fn reason(instance: Option<&Instance>) -> String {
    instance
        .and_then(|instance| why_not(&instance.published(), None))
        .unwrap_or_else(|| "the container did not start".to_owned())
}

impl Tunnel {
    /// Copies until both sides are done, or the instance is over and its last bytes had their time.
    pub(super) async fn run(self) {
        let Self { upgrade, mut upstream, instance } = self;
        let Ok(upgraded) = upgrade.await else { return };
        let Some((mut client, early)) = unwrap(upgraded) else { return };
        let copy = async {
            upstream.write_all(&early).await?;
            if instance.stopwatch.is_running() {
                let stopwatch = instance.stopwatch.clone();
                let mut timed = Timed { stream: upstream, stopwatch };
                return copy_bidirectional_with_sizes(&mut client, &mut timed, BUFFER, BUFFER)
                    .await;
            }
            copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER, BUFFER).await
        };
        let over = async {
            instance.until(State::is_over).await;
            tokio::time::sleep(LAST_BYTES).await;
        };
        tokio::select! {
            result = copy => if let Err(error) = result {
                tracing::trace!(%error, "a tunnel broke");
            },
            () = over => {}
        }
    }
}

/// The plain socket below the upgraded connection, and what was read ahead.
fn unwrap(upgraded: Upgraded) -> Option<(TcpStream, bytes::Bytes)> {
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
    Some((parts.io.into_inner(), parts.read_buf))
}
