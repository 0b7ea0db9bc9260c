//! Whether a `CONNECT` whose port refuses is held or answered: pure, with its clock as argument.
//!
//! Holding until the port listens saves the npm class its 300 ms polling; the limits keep it from
//! holding what will never listen (`workerd.md` §3, hold rules).

use std::time::Duration;

use model::limits::{CONNECT_HOLD, CONNECT_HOLD_WINDOW, FALLBACK_PORT};

/// What is known of the instance when a connection attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its program does not run yet.
    NotStarted,
    /// It waits for a free place. Held as long, but never answered like a silent port.
    Waiting,
    /// Its program runs.
    Running {
        /// For how long.
        since_start: Duration,
        /// Whether this port has accepted a connection before.
        listened: bool,
    },
    /// Its program has ended, or there is none.
    Ended,
    /// It could not be started or was not allowed to: `/wait` says why, and no answer here may look
    /// like "not listening", which would tell the class that the instance is up.
    Unavailable,
}

/// What to do with the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Try again after this time.
    Retry(Duration),
    /// Answer that nothing listens.
    NotListening,
    /// Answer 503.
    Unavailable,
}

/// Decides over one attempt for `port` that has been held for `held`.
pub(crate) fn hold(port: u16, phase: Phase, held: Duration) -> Hold {
    match phase {
        Phase::Unavailable => Hold::Unavailable,
        Phase::Ended => Hold::NotListening,
        Phase::Running { listened: true, .. } => Hold::NotListening,
        Phase::Running { .. } if port == FALLBACK_PORT => Hold::NotListening,
        Phase::Running { since_start, .. } if since_start >= CONNECT_HOLD_WINDOW => {
            Hold::NotListening
        }
        Phase::Waiting if held >= CONNECT_HOLD => Hold::Unavailable,
        Phase::Running { .. } | Phase::NotStarted if held >= CONNECT_HOLD => Hold::NotListening,
        Phase::Running { .. } | Phase::NotStarted | Phase::Waiting => {
            Hold::Retry(retry_after(held))
        }
    }
}

/// Short at first, when an answer is likely; a few milliseconds for programs that boot slowly.
fn retry_after(held: Duration) -> Duration {
    match held.as_millis() {
        0..50 => Duration::from_micros(500),
        50..500 => Duration::from_millis(2),
        _ => Duration::from_millis(5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn running(since_start: Duration, listened: bool) -> Phase {
        Phase::Running { since_start, listened }
    }

    #[test]
    fn a_program_that_boots_is_waited_for_up_to_the_limit() {
        assert!(matches!(hold(8080, running(MS, false), MS), Hold::Retry(_)));
        assert!(matches!(hold(8080, Phase::NotStarted, MS), Hold::Retry(_)));
        assert_eq!(hold(8080, running(CONNECT_HOLD, false), CONNECT_HOLD), Hold::NotListening);
        assert_eq!(hold(8080, Phase::NotStarted, CONNECT_HOLD), Hold::NotListening);
    }

    #[test]
    fn an_instance_that_waits_for_its_turn_is_waited_for_and_never_looks_as_if_it_ran() {
        for port in [33, 8080] {
            assert!(matches!(hold(port, Phase::Waiting, MS), Hold::Retry(_)));
            assert_eq!(hold(port, Phase::Waiting, CONNECT_HOLD), Hold::Unavailable);
        }
    }

    #[test]
    fn the_fallback_probe_is_answered_as_soon_as_the_program_runs() {
        assert_eq!(hold(33, running(MS, false), Duration::ZERO), Hold::NotListening);
        assert!(matches!(hold(33, Phase::NotStarted, Duration::ZERO), Hold::Retry(_)));
    }

    #[test]
    fn a_port_that_listened_once_is_not_waited_for_again() {
        assert_eq!(hold(8080, running(MS, true), Duration::ZERO), Hold::NotListening);
    }

    #[test]
    fn a_program_that_runs_for_long_is_not_waited_for() {
        let long = running(CONNECT_HOLD_WINDOW, false);
        assert_eq!(hold(8080, long, Duration::ZERO), Hold::NotListening);
    }

    #[test]
    fn an_exit_is_answered_at_once() {
        assert_eq!(hold(8080, Phase::Ended, Duration::ZERO), Hold::NotListening);
    }

    #[test]
    fn what_could_not_start_never_looks_like_a_port_that_does_not_listen() {
        for port in [33, 8080] {
            assert_eq!(hold(port, Phase::Unavailable, CONNECT_HOLD), Hold::Unavailable);
        }
    }

    #[test]
    fn the_limit_stays_below_the_ping_timeout_of_the_npm_class() {
        const { assert!(CONNECT_HOLD.as_secs() < 5) };
    }
}
