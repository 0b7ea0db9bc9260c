//! Every step of the state machine: one function for each state, one arm for each event.

use std::time::Duration;

use super::{Clock, Effect, Event, ExitStatus, Moment, Refusal, Rejected, SIGTERM, State};

type Step = Result<(State, Option<Effect>), Rejected>;

impl State {
    /// The state and the effect that follow from `event`.
    ///
    /// # Errors
    /// The event is not legal in this state; the state stays as it is.
    pub fn step(&self, event: Event, clock: Clock) -> Step {
        match self {
            Self::Prepared { .. } => prepared(&event),
            Self::Created => created(&event, clock),
            Self::Waiting { until } => waiting(&event, *until, clock),
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

    /// Refused and failed: nothing runs, the record waits to be removed.
    fn ended(&self, event: &Event) -> Step {
        match event {
            Event::Create => Err(Rejected::NameInUse),
            Event::Start | Event::Wait | Event::Refuse(_) => Err(Rejected::AlreadyStarted),
            Event::Signal(_) | Event::Stop { .. } => Err(Rejected::NotRunning),
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
        Event::Start
        | Event::Wait
        | Event::Refuse(_)
        | Event::Signal(_)
        | Event::Stop { .. }
        | Event::Adopt => Err(Rejected::NotThere),
        Event::Started | Event::StartFailed(_) | Event::Exited(_) | Event::Destroyed => {
            Err(Rejected::Unexpected)
        }
    }
}

fn created(event: &Event, clock: Clock) -> Step {
    match event {
        Event::Create => Err(Rejected::NameInUse),
        Event::Start => Ok((State::Starting, Some(Effect::Start))),
        Event::Wait => Ok((State::Waiting { until: clock.now.after(clock.capacity_wait) }, None)),
        Event::Refuse(why) => Ok((State::Refused(*why), Some(Effect::GiveBack))),
        Event::Signal(_) | Event::Stop { .. } => Err(Rejected::NotRunning),
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

fn waiting(event: &Event, until: Moment, clock: Clock) -> Step {
    match event {
        Event::Create => Err(Rejected::NameInUse),
        Event::Start => Ok((State::Starting, Some(Effect::Start))),
        Event::Wait => Err(Rejected::AlreadyStarted),
        Event::Refuse(why) => Ok((State::Refused(*why), Some(Effect::GiveBack))),
        Event::Signal(_) | Event::Stop { .. } => Err(Rejected::NotRunning),
        Event::Delete | Event::Detach => {
            Ok((State::Removed { status: None }, Some(Effect::GiveBack)))
        }
        Event::Adopt => Ok((State::Waiting { until }, None)),
        Event::Deadline if until <= clock.now => {
            Ok((State::Refused(Refusal::MaxInstances), Some(Effect::GiveBack)))
        }
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
        Event::Start | Event::Wait | Event::Refuse(_) => Err(Rejected::AlreadyStarted),
        Event::Started => Ok((State::Running, None)),
        Event::StartFailed(reason) => Ok((State::Failed { reason }, None)),
        Event::Signal(_) | Event::Stop { .. } => Err(Rejected::NotRunning),
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
        Event::Start | Event::Wait | Event::Refuse(_) => Err(Rejected::AlreadyStarted),
        Event::Signal(signal) => {
            Ok((here(after_signal(*signal, stop, clock)), Some(Effect::Signal(*signal))))
        }
        Event::Stop { signal, grace } => {
            Ok((here(after_stop(*grace, stop, clock)), Some(Effect::Signal(*signal))))
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
        Event::Start | Event::Wait | Event::Refuse(_) => Err(Rejected::AlreadyStarted),
        Event::Signal(_) | Event::Stop { .. } | Event::Detach | Event::Adopt => {
            Ok((State::Killing, None))
        }
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
        Event::Start | Event::Wait | Event::Refuse(_) => Err(Rejected::AlreadyStarted),
        Event::Signal(signal) => {
            let stop = after_signal(*signal, stop, clock);
            Ok((State::Detached { until, stop }, Some(Effect::Signal(*signal))))
        }
        Event::Stop { signal, grace } => {
            let stop = after_stop(*grace, stop, clock);
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
        Event::Start | Event::Wait | Event::Refuse(_) => Err(Rejected::AlreadyStarted),
        Event::Signal(_) | Event::Stop { .. } => Err(Rejected::NotRunning),
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
        Event::Start
        | Event::Wait
        | Event::Refuse(_)
        | Event::Signal(_)
        | Event::Stop { .. }
        | Event::Adopt => Err(Rejected::NotThere),
        Event::Deadline => Err(Rejected::Unexpected),
    }
}

/// The stop deadline after a signal: the first SIGTERM sets it, later ones don't move it.
fn after_signal(signal: i32, stop: Option<Moment>, clock: Clock) -> Option<Moment> {
    stop.or_else(|| (signal == SIGTERM).then(|| clock.now.after(clock.stop_grace)))
}

/// The stop deadline after a stop: it may come sooner than one that was set before, never later.
fn after_stop(grace: Duration, stop: Option<Moment>, clock: Clock) -> Option<Moment> {
    let deadline = clock.now.after(grace);
    Some(stop.map_or(deadline, |stop| stop.min(deadline)))
}

fn after_exit(status: ExitStatus) -> Step {
    Ok((State::Exited { status, cleaned: false }, Some(Effect::Destroy)))
}
