//! The whole matrix of states and events, and the promises that span several steps.

use std::fmt::Write as _;

use super::*;

const NOW: Moment = Moment(100_000);
const CLOCK: Clock = Clock {
    now: NOW,
    stop_grace: Duration::from_secs(900),
    capacity_wait: Duration::from_secs(5),
    detach_window: Duration::from_secs(30),
};
const STATUS: ExitStatus = ExitStatus { code: 7, out_of_memory: false };

fn states() -> Vec<State> {
    let (past, future) = (Moment(1), Moment(200_000));
    vec![
        State::Prepared { until: past },
        State::Created,
        State::Waiting { until: future },
        State::Waiting { until: past },
        State::Starting,
        State::Running,
        State::Stopping { deadline: future },
        State::Stopping { deadline: past },
        State::Killing,
        State::Detached { until: future, stop: None },
        State::Detached { until: future, stop: Some(past) },
        State::Detached { until: past, stop: Some(past) },
        State::Refused(Refusal::MaxInstances),
        State::Failed { reason: "no".to_owned() },
        State::Exited { status: STATUS, cleaned: false },
        State::Exited { status: STATUS, cleaned: true },
        State::Removing { status: None },
        State::Removed { status: Some(STATUS) },
    ]
}

fn events() -> Vec<Event> {
    vec![
        Event::Create,
        Event::Start,
        Event::Wait,
        Event::Refuse(Refusal::TooManyStarts),
        Event::Started,
        Event::StartFailed("no".to_owned()),
        Event::Signal(SIGTERM),
        Event::Signal(1),
        Event::Stop { signal: 3, grace: Duration::from_secs(3) },
        Event::Delete,
        Event::Detach,
        Event::Adopt,
        Event::Exited(ExitStatus { code: 0, out_of_memory: false }),
        Event::Deadline,
        Event::Destroyed,
    ]
}

#[test]
fn the_matrix_of_states_and_events_is_as_reviewed() {
    let mut matrix = String::new();
    for state in states() {
        writeln!(matrix, "{state:?}").unwrap();
        for event in events() {
            let name = format!("{event:?}");
            let outcome = match state.step(event, CLOCK) {
                Ok((next, None)) => format!("{next:?}"),
                Ok((next, Some(effect))) => format!("{next:?} + {effect:?}"),
                Err(rejected) => format!("- {rejected:?}"),
            };
            writeln!(matrix, "    {name:<56} {outcome}").unwrap();
        }
    }
    // A changed matrix is printed whole: review it, then make it the new `matrix.txt`.
    assert!(matrix == include_str!("matrix.txt"), "{matrix}");
}

#[test]
fn a_stop_has_one_deadline_however_often_it_is_asked_for() {
    let (stopping, effect) = State::Running.step(Event::Signal(SIGTERM), CLOCK).unwrap();
    assert_eq!(effect, Some(Effect::Signal(SIGTERM)));
    let later = Clock { now: Moment(150_000), ..CLOCK };
    let (again, _) = stopping.step(Event::Signal(SIGTERM), later).unwrap();
    assert_eq!(again.deadline(), Some(NOW.after(CLOCK.stop_grace)));
}

#[test]
fn a_stop_by_the_owner_may_bring_the_deadline_forward_and_never_puts_it_off() {
    let stop = |grace| Event::Stop { signal: 3, grace: Duration::from_secs(grace) };
    let (stopping, effect) = State::Running.step(stop(60), CLOCK).unwrap();
    assert_eq!(effect, Some(Effect::Signal(3)), "the image's own signal");
    assert_eq!(stopping.deadline(), Some(NOW.after(Duration::from_secs(60))));
    let (sooner, _) = stopping.step(stop(3), CLOCK).unwrap();
    assert_eq!(sooner.deadline(), Some(NOW.after(Duration::from_secs(3))));
    assert_eq!(sooner.step(stop(60), CLOCK).unwrap().0, sooner);
}

#[test]
fn a_start_waits_for_a_place_until_its_time_is_over() {
    let (waiting, effect) = State::Created.step(Event::Wait, CLOCK).unwrap();
    assert_eq!((&waiting, effect), (&State::Waiting { until: Moment(105_000) }, None));
    assert!(!waiting.is_live(), "it holds no place itself");
    let (starting, effect) = waiting.step(Event::Start, CLOCK).unwrap();
    assert_eq!((starting, effect), (State::Starting, Some(Effect::Start)));
    let late = Clock { now: Moment(105_000), ..CLOCK };
    let (refused, _) = waiting.step(Event::Deadline, late).unwrap();
    assert_eq!(refused, State::Refused(Refusal::MaxInstances));
}

#[test]
fn a_stop_survives_detaching_and_adoption() {
    let stopping = State::Stopping { deadline: Moment(900_000) };
    let (detached, _) = stopping.step(Event::Detach, CLOCK).unwrap();
    assert_eq!(detached.deadline(), Some(NOW.after(CLOCK.detach_window)));
    assert_eq!(detached.step(Event::Adopt, CLOCK).unwrap().0, stopping);
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_at_its_deadline_and_not_before() {
    let stopping = State::Stopping { deadline: NOW };
    let early = Clock { now: Moment(NOW.0 - 1), ..CLOCK };
    assert_eq!(stopping.step(Event::Deadline, early), Err(Rejected::Unexpected));
    assert_eq!(stopping.step(Event::Deadline, CLOCK), Ok((State::Killing, Some(Effect::Kill))));
}

#[test]
fn whatever_may_still_run_is_destroyed_on_the_way_to_removed() {
    for state in states().into_iter().filter(State::is_live) {
        let (next, effect) = state.step(Event::Delete, CLOCK).unwrap();
        assert_eq!((next, effect), (State::Removing { status: None }, Some(Effect::Destroy)));
    }
}

#[test]
fn a_start_that_ends_after_its_deletion_is_destroyed_too() {
    let (removing, _) = State::Starting.step(Event::Delete, CLOCK).unwrap();
    let (still, effect) = removing.step(Event::Started, CLOCK).unwrap();
    assert_eq!((still, effect), (removing, Some(Effect::Destroy)));
}
