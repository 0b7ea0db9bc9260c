//! What the agent tells the world: one stream of events, lossy for readers that are too slow.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::instance::{ExitStatus, Refusal};
use model::{DurableObjectId, InstanceId};
use tokio::sync::broadcast;

use crate::timings::StartTimings;

/// Which instance an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The application's name.
    pub application: Arc<str>,
    /// The Durable Object that owns the instance.
    pub object: DurableObjectId,
    /// This run of its container.
    pub instance: InstanceId,
}

/// Which of a program's streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentEvent {
    /// Its program runs.
    Started {
        /// The instance.
        subject: Subject,
        /// From the request to start until the program was executed.
        took: Duration,
    },
    /// The first byte of its program came; sent if the agent was asked to time starts.
    Timed {
        /// The instance.
        subject: Subject,
        /// Where the time went.
        timings: StartTimings,
    },
    /// It was running before this agent and is looked after again.
    Adopted {
        /// The instance.
        subject: Subject,
    },
    /// It could not be started.
    StartFailed {
        /// The instance.
        subject: Subject,
        /// Completes "failed to …".
        reason: String,
    },
    /// It was not allowed to start.
    Refused {
        /// The instance.
        subject: Subject,
        /// Why.
        refusal: Refusal,
        /// For people: the limit that was met.
        detail: String,
    },
    /// It printed a line.
    Output {
        /// The instance.
        subject: Subject,
        /// Where.
        stream: Stream,
        /// The line without its end.
        line: String,
    },
    /// It prints faster than a console can follow; the lines are in its log file.
    OutputSkipped {
        /// The instance.
        subject: Subject,
        /// Lines left out since the last line shown.
        lines: u64,
    },
    /// A port was waited for in vain.
    NotListening {
        /// The instance.
        subject: Subject,
        /// The port.
        port: u16,
    },
    /// A connection of the program was refused.
    EgressDenied {
        /// The instance.
        subject: Subject,
        /// Where it wanted to go.
        destination: std::net::SocketAddr,
        /// Why not.
        reason: crate::Denied,
    },
    /// Its program ended.
    Exited {
        /// The instance.
        subject: Subject,
        /// How.
        status: ExitStatus,
        /// Whether somebody asked it to stop.
        expected: bool,
        /// The last lines it printed.
        last_lines: Vec<String>,
    },
}

/// A receiver of events. A slow one loses the oldest and is told how many.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<AgentEvent>);

impl Events {
    /// The next event; `None` once the agent is gone.
    pub async fn next(&mut self) -> Option<AgentEvent> {
        loop {
            match self.0.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(lost)) => {
                    tracing::warn!(lost, "a reader of the agent's events is too slow");
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// Where the agent's parts put their events. Sending never blocks.
#[derive(Debug, Clone)]
pub(crate) struct EventSender(broadcast::Sender<AgentEvent>);

/// Events kept for readers that lag; with lines of at most 16 KiB each, 64 MiB at the very worst.
const KEPT: usize = 4096;

impl EventSender {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(KEPT))
    }

    pub(crate) fn send(&self, event: AgentEvent) {
        // Nobody listening is no error.
        let _ = self.0.send(event);
    }

    pub(crate) fn subscribe(&self) -> Events {
        Events(self.0.subscribe())
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        })
    }
}
