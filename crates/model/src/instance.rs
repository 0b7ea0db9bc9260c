//! The life of one instance as a pure state machine: which event is legal when, and what to do then.
//!
//! ```text
//!  Prepared ─▶ Created ─▶ Starting ─▶ Running ─▶ Stopping ─▶ Killing ─▶ Exited ─▶ Removing ─▶ Removed
//!                 │           └─▶ Failed  │ ▲        │ ▲
//!                 └─▶ Refused             ▼ └────────▼─┘
//!                                         Detached
//! ```
//!
//! It neither starts nor kills anything and reads no clock: the agent's task of the instance feeds
//! it events and carries out the one [`Effect`] each step gives. No arm ignores the state it is in;
//! the test prints the whole matrix.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// SIGTERM, the one signal that asks an instance to stop.
pub const SIGTERM: i32 = 15;

/// A point in time in milliseconds since the Unix epoch: wall clock, because deadlines of minutes
/// must survive a restart of the agent and of the machine.
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
    /// The caller starts it and it may not.
    Refuse(Refusal),
    /// The program was executed.
    Started,
    /// The sandbox or the program could not be started.
    StartFailed(String),
    /// The caller sends a signal to the program.
    Signal(i32),
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
    /// Time a detached instance waits to be adopted.
    pub detach_window: Duration,
}

type Step = Result<(State, Option<Effect>), Rejected>;

impl State {
    /// The state and the effect that follow from `event`.
    ///
    /// # Errors
    /// The event is not legal in this state; the state stays as it is.
    pub fn step(&self, event: Event, clock: Clock) -> Step {
        match self {
            Self::Prepared { .. } => prepared(&event),
            Self::Created => created(&event),
            Self::Starting => starting(event),
            Self::Running => running(&event, None, clock),
            Self::Stopping { deadline } => running(&event, Some(*deadline), clock),
            Self::Killing => killing(&event),
            Self::Detached { until, stop } => detached(&event, *until, *stop, clock),
            Self::Refused(_) | Self::Failed { .. } => self.ended(&event),
            Self::Exited { status, cleaned } => exited(&event, *status, *cleaned),
            Self::Removing { status } => removing(&event, *status),
            Self::Removed { .. } => Err(Rejected::NotThere),
        }
    }

    /// When [`Event::Deadline`] is due, if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        match self {
            Self::Prepared { until } => Some(*until),
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
            Self::Prepared { .. } | Self::Created | Self::Starting => "created",
            Self::Running | Self::Stopping { .. } | Self::Killing | Self::Detached { .. } => {
                "running"
            }
            Self::Refused(_) | Self::Failed { .. } | Self::Exited { .. } => "exited",
            Self::Removing { .. } | Self::Removed { .. } => "removing",
        }
    }

    /// Refused and failed: nothing runs, the record waits to be removed.
    fn ended(&self, event: &Event) -> Step {
        match event {
            Event::Create => Err(Rejected::NameInUse),
            Event::Start | Event::Refuse(_) => Err(Rejected::AlreadyStarted),
            Event::Signal(_) => Err(Rejected::NotRunning),
            Event::Delete | Event::Detach => Ok((Self::Removed { status: None }, None)),
            Event::Adopt => Ok((self.clone(), None)),
            Event::Started
            | Event::StartFailed(_)
            | Event::Exited(_)
            | Event::Deadline
            | Event::Destroyed => Err(Rejected::Unexpected),
        }
    }
}

fn prepared(event: &Event) -> Step {
    match event {
        Event::Create => Ok((State::Created, None)),
        Event::Delete | Event::Detach | Event::Deadline => {
            Ok((State::Removed { status: None }, Some(Effect::GiveBack)))
        }
        Event::Start | Event::Refuse(_) | Event::Signal(_) | Event::Adopt => {
            Err(Rejected::NotThere)
        }
        Event::Started | Event::StartFailed(_) | Event::Exited(_) | Event::Destroyed => {
            Err(Rejected::Unexpected)
        }
    }
}

fn created(event: &Event) -> Step {
    match event {
        Event::Create => Err(Rejected::NameInUse),
        Event::Start => Ok((State::Starting, Some(Effect::Start))),
        Event::Refuse(why) => Ok((State::Refused(*why), Some(Effect::GiveBack))),
        Event::Signal(_) => Err(Rejected::NotRunning),
        Event::Delete | Event::Detach => {
            Ok((State::Removed { status: None }, Some(Effect::GiveBack)))
        }
        Event::Adopt => Ok((State::Created, None)),
        Event::Started
        | Event::StartFailed(_)
        | Event::Exited(_)
        | Event::Deadline
        | Event::Destroyed => Err(Rejected::Unexpected),
    }
}

fn starting(event: Event) -> Step {
    match event {
        Event::Create => Err(Rejected::NameInUse),
        Event::Start | Event::Refuse(_) => Err(Rejected::AlreadyStarted),
        Event::Started => Ok((State::Running, None)),
        Event::StartFailed(reason) => Ok((State::Failed { reason }, None)),
        Event::Signal(_) => Err(Rejected::NotRunning),
        // Nobody has seen it run yet: a leaving process leaves nothing worth adopting.
        Event::Delete | Event::Detach => {
            Ok((State::Removing { status: None }, Some(Effect::Destroy)))
        }
        Event::Adopt => Ok((State::Starting, None)),
        // A program can end before its start is reported.
        Event::Exited(status) => after_exit(status),
        Event::Deadline | Event::Destroyed => Err(Rejected::Unexpected),
    }
}

/// Running, and stopping when `stop` has a deadline.
fn running(event: &Event, stop: Option<Moment>, clock: Clock) -> Step {
    let here = |stop| match stop {
        Some(deadline) => State::Stopping { deadline },
        None => State::Running,
    };
    match event {
        Event::Create => Err(Rejected::NameInUse),
        Event::Start | Event::Refuse(_) => Err(Rejected::AlreadyStarted),
        Event::Signal(signal) => {
            Ok((here(after_signal(*signal, stop, clock)), Some(Effect::Signal(*signal))))
        }
        Event::Delete => Ok((State::Removing { status: None }, Some(Effect::Destroy))),
        Event::Detach => {
            Ok((State::Detached { until: clock.now.after(clock.detach_window), stop }, None))
        }
        Event::Adopt => Ok((here(stop), None)),
        Event::Exited(status) => after_exit(*status),
        Event::Deadline => match stop {
            Some(deadline) if deadline <= clock.now => Ok((State::Killing, Some(Effect::Kill))),
            _ => Err(Rejected::Unexpected),
        },
        Event::Started | Event::StartFailed(_) | Event::Destroyed => Err(Rejected::Unexpected),
    }
}

fn killing(event: &Event) -> Step {
    match event {
        Event::Create => Err(Rejected::NameInUse),
        Event::Start | Event::Refuse(_) => Err(Rejected::AlreadyStarted),
        Event::Signal(_) | Event::Detach | Event::Adopt => Ok((State::Killing, None)),
        Event::Delete => Ok((State::Removing { status: None }, Some(Effect::Destroy))),
        Event::Exited(status) => after_exit(*status),
        Event::Started | Event::StartFailed(_) | Event::Deadline | Event::Destroyed => {
            Err(Rejected::Unexpected)
        }
    }
}

fn detached(event: &Event, until: Moment, stop: Option<Moment>, clock: Clock) -> Step {
    match event {
        Event::Create => Err(Rejected::NameInUse),
        Event::Start | Event::Refuse(_) => Err(Rejected::AlreadyStarted),
        Event::Signal(signal) => {
            let stop = after_signal(*signal, stop, clock);
            Ok((State::Detached { until, stop }, Some(Effect::Signal(*signal))))
        }
        Event::Delete => Ok((State::Removing { status: None }, Some(Effect::Destroy))),
        Event::Detach => Ok((State::Detached { until, stop }, None)),
        Event::Adopt => match stop {
            Some(deadline) => Ok((State::Stopping { deadline }, None)),
            None => Ok((State::Running, None)),
        },
        Event::Exited(status) => after_exit(*status),
        Event::Deadline if until <= clock.now => {
            Ok((State::Removing { status: None }, Some(Effect::Destroy)))
        }
        Event::Deadline => match stop {
            Some(deadline) if deadline <= clock.now => Ok((State::Killing, Some(Effect::Kill))),
            _ => Err(Rejected::Unexpected),
        },
        Event::Started | Event::StartFailed(_) | Event::Destroyed => Err(Rejected::Unexpected),
    }
}

fn exited(event: &Event, status: ExitStatus, cleaned: bool) -> Step {
    match event {
        Event::Create => Err(Rejected::NameInUse),
        Event::Start | Event::Refuse(_) => Err(Rejected::AlreadyStarted),
        Event::Signal(_) => Err(Rejected::NotRunning),
        Event::Delete | Event::Detach if cleaned => {
            Ok((State::Removed { status: Some(status) }, None))
        }
        Event::Delete | Event::Detach => Ok((State::Removing { status: Some(status) }, None)),
        Event::Adopt => Ok((State::Exited { status, cleaned }, None)),
        Event::Destroyed => Ok((State::Exited { status, cleaned: true }, None)),
        // The report of a start that the exit overtook.
        Event::Started => Ok((State::Exited { status, cleaned }, None)),
        Event::StartFailed(_) | Event::Exited(_) | Event::Deadline => Err(Rejected::Unexpected),
    }
}

fn removing(event: &Event, status: Option<ExitStatus>) -> Step {
    match event {
        Event::Delete | Event::Detach => Ok((State::Removing { status }, None)),
        Event::Exited(status) => Ok((State::Removing { status: Some(*status) }, None)),
        Event::Destroyed => Ok((State::Removed { status }, None)),
        // The start was under way when it was deleted: what it made must go too.
        Event::Started => Ok((State::Removing { status }, Some(Effect::Destroy))),
        Event::StartFailed(_) => Ok((State::Removed { status }, None)),
        Event::Create => Err(Rejected::NameInUse),
        Event::Start | Event::Refuse(_) | Event::Signal(_) | Event::Adopt => {
            Err(Rejected::NotThere)
        }
        Event::Deadline => Err(Rejected::Unexpected),
    }
}

/// The stop deadline after a signal: the first SIGTERM sets it, later ones don't move it.
fn after_signal(signal: i32, stop: Option<Moment>, clock: Clock) -> Option<Moment> {
    stop.or_else(|| (signal == SIGTERM).then(|| clock.now.after(clock.stop_grace)))
}

fn after_exit(status: ExitStatus) -> Step {
    Ok((State::Exited { status, cleaned: false }, Some(Effect::Destroy)))
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepared { .. } => "prepared",
            Self::Created => "created",
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
