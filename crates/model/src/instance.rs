//! The life of one instance as a pure state machine: which event is legal when, and what to do then.
//!
//! ```text
//!  Prepared ─▶ Created ─▶ Starting ─▶ Running ─▶ Stopping ─▶ Killing ─▶ Exited ─▶ Removing ─▶ Removed
//!               │  │  ▲       └─▶ Failed  │ ▲        │ ▲
//!               │  ▼  │                   ▼ └────────▼─┘
//!               │ Waiting                 Detached
//!               └──┴─▶ Refused
//! ```
//!
//! It neither starts nor kills anything and reads no clock: the agent's task of the instance feeds
//! it events and carries out the one [`Effect`] each step gives. No arm ignores the state it is in;
//! the test prints the whole matrix.

mod step;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// SIGTERM, the one signal that asks an instance to stop.
pub const SIGTERM: i32 = 15;

/// A point in time in milliseconds of a clock that nobody sets and that all processes of a machine share
/// while it is up: deadlines survive a restart of the agent, and no instance survives that of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment that much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long from `now` until this moment; zero when it is past.
    #[must_use]
    pub fn since(self, now: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(now.0))
    }
}

/// How an instance's main program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ExitStatus {
    /// The exit code; 128 + n when signal n ended the program.
    pub code: i32,
    /// Whether the kernel killed it for exceeding its memory.
    pub out_of_memory: bool,
}

impl ExitStatus {
    /// The end of a program that was killed before it could say anything else.
    pub const KILLED: Self = Self { code: 137, out_of_memory: false };
}

/// Why an instance may not start now, though nothing is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// `max_instances` of the application run already (features BA8).
    MaxInstances,
    /// Starts come faster than they may (features BA9).
    TooManyStarts,
}

/// Where an instance stands. Each variant holds only what is true there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// A sandbox waits for it; the name is not taken yet.
    Prepared {
        /// When the sandbox is given back if nobody creates the instance.
        until: Moment,
    },
    /// The name is taken, nothing runs.
    Created,
    /// It was started and waits for its turn: as many run as may.
    Waiting {
        /// When it is refused if no place has become free.
        until: Moment,
    },
    /// The sandbox is being made and the program executed.
    Starting,
    /// The program runs.
    Running,
    /// It was asked to stop.
    Stopping {
        /// When it is killed if it has not ended.
        deadline: Moment,
    },
    /// Its grace is over: SIGKILL is on its way, the exit is awaited.
    Killing,
    /// Its workerd process is leaving; the next one may adopt it.
    Detached {
        /// When it is removed if nobody adopts it.
        until: Moment,
        /// The deadline of a stop that was under way.
        stop: Option<Moment>,
    },
    /// It was not allowed to start.
    Refused(Refusal),
    /// It could not be started.
    Failed {
        /// For the user: what failed and on what.
        reason: String,
    },
    /// The program ended.
    Exited {
        /// How.
        status: ExitStatus,
        /// Whether the sandbox's remains are gone.
        cleaned: bool,
    },
    /// It is being killed and its sandbox removed.
    Removing {
        /// How the program ended, once known.
        status: Option<ExitStatus>,
    },
    /// Nothing is left of it and the name is free.
    Removed {
        /// How the program ended, if it ever ran.
        status: Option<ExitStatus>,
    },
}

/// What happens to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The caller takes the name.
    Create,
    /// The caller starts it and it may.
    Start,
    /// The caller starts it and it may as soon as a place is free.
    Wait,
    /// The caller starts it and it may not.
    Refuse(Refusal),
    /// The program was executed.
    Started,
    /// The sandbox or the program could not be started.
    StartFailed(String),
    /// The caller sends a signal to the program.
    Signal(i32),
    /// Whoever runs it wants it to end: by this signal, and by SIGKILL when it has not ended after
    /// that time.
    Stop {
        /// SIGTERM, or what the image names instead.
        signal: i32,
        /// The time.
        grace: Duration,
    },
    /// The caller wants it gone, now.
    Delete,
    /// A leaving workerd process wants it gone; its successor may not.
    Detach,
    /// A workerd process asks for it and is staying.
    Adopt,
    /// The program ended.
    Exited(ExitStatus),
    /// The moment of [`State::deadline`] has come.
    Deadline,
    /// The sandbox is gone with all that was in it.
    Destroyed,
}

/// What the owner of the instance must do after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Make the sandbox and execute the program; answer with `Started` or `StartFailed`.
    Start,
    /// Send this signal to the program.
    Signal(i32),
    /// SIGKILL everything inside; `Exited` follows.
    Kill,
    /// Kill what runs and remove the sandbox; answer with `Destroyed`.
    Destroy,
    /// Give the prepared sandbox back.
    GiveBack,
}

/// Why an event is not legal in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// There is no such instance.
    #[error("no such container")]
    NotThere,
    /// The name is taken.
    #[error("the container name is already in use")]
    NameInUse,
    /// It was started before.
    #[error("the container is already started")]
    AlreadyStarted,
    /// Nothing runs that could take the event.
    #[error("the container is not running")]
    NotRunning,
    /// The event cannot happen there: a late report, or a bug of the owner.
    #[error("the event does not fit the instance's state")]
    Unexpected,
}

/// What a step depends on beside state and event.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// The time.
    pub now: Moment,
    /// Time between SIGTERM and SIGKILL.
    pub stop_grace: Duration,
    /// Time a start waits for a free place.
    pub capacity_wait: Duration,
    /// Time a detached instance waits to be adopted.
    pub detach_window: Duration,
}

impl State {
    /// When [`Event::Deadline`] is due, if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        match self {
            Self::Prepared { until } | Self::Waiting { until } => Some(*until),
            Self::Stopping { deadline } => Some(*deadline),
            Self::Detached { until, stop } => Some(stop.map_or(*until, |stop| stop.min(*until))),
            _ => None,
        }
    }

    /// Whether it counts as running: what `max_instances` limits.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(
            self,
            Self::Starting
                | Self::Running
                | Self::Stopping { .. }
                | Self::Killing
                | Self::Detached { .. }
        )
    }

    /// Whether its program has ended or will never run: the name may be taken over by a new one.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(
            self,
            Self::Refused(_)
                | Self::Failed { .. }
                | Self::Exited { .. }
                | Self::Removing { .. }
                | Self::Removed { .. }
        )
    }

    /// Whether a caller of the Docker API sees it.
    #[must_use]
    pub fn is_visible(&self) -> bool {
        !matches!(self, Self::Prepared { .. } | Self::Removing { .. } | Self::Removed { .. })
    }

    /// How the program ended, once it has.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        match self {
            Self::Exited { status, .. } => Some(*status),
            Self::Removing { status } | Self::Removed { status } => *status,
            _ => None,
        }
    }

    /// `State.Status` in the Docker API's words.
    #[must_use]
    pub fn docker_status(&self) -> &'static str {
        match self {
            Self::Prepared { .. } | Self::Created | Self::Waiting { .. } | Self::Starting => {
                "created"
            }
            Self::Running | Self::Stopping { .. } | Self::Killing | Self::Detached { .. } => {
                "running"
            }
            Self::Refused(_) | Self::Failed { .. } | Self::Exited { .. } => "exited",
            Self::Removing { .. } | Self::Removed { .. } => "removing",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepared { .. } => "prepared",
            Self::Created => "created",
            Self::Waiting { .. } => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping { .. } => "stopping",
            Self::Killing => "killing",
            Self::Detached { .. } => "detached",
            Self::Refused(_) => "refused",
            Self::Failed { .. } => "failed",
            Self::Exited { .. } => "exited",
            Self::Removing { .. } => "removing",
            Self::Removed { .. } => "removed",
        })
    }
}

#[cfg(test)]
mod tests;
