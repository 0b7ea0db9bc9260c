//! What happens while a project runs, as lines: requests, Worker, Durable Objects and containers are
//! told apart by prefix, and by colour where there is one.

use std::time::Duration;

use edge::RequestEvent;
use http::StatusCode;
use jiff::Timestamp;
use workers::{Event, Level, Origin};

use crate::args::LogLevel;
use crate::human::day;
use crate::printer::{Printer, style, styled};

/// Prints events of the Worker host at or above the level asked for. `script` is the Worker's name
/// where there are several.
pub(crate) fn worker_event(
    printer: &Printer,
    script: Option<&str>,
    shown: LogLevel,
    event: &Event,
) {
    match event {
        Event::Log { level, message, origin, .. } if shows(shown, *level) => {
            lines(printer, &worker_prefix(script, origin), message, level_style(*level));
        }
        Event::Exception { stack, context, .. } if shown >= LogLevel::Error => {
            let text =
                if context.is_empty() { stack.clone() } else { format!("{context}: {stack}") };
            lines(printer, &worker_prefix(script, &Origin::default()), &text, Some(style::ERROR));
        }
        Event::Runtime { level, message } if shows(shown, *level) => {
            lines(printer, &styled(style::WORKER, "workerd"), message, level_style(*level));
        }
        Event::Crashed { status, restart_in } => printer.warning(format_args!(
            "workerd ended with {status}; it starts again in {}",
            duration(*restart_in)
        )),
        Event::Cron { expression, outcome, missed } => {
            let outcome = match outcome {
                Ok(outcome) => outcome.clone(),
                Err(error) => styled(style::ERROR, error),
            };
            let minute = missed.and_then(|minute| Timestamp::try_from(minute).ok());
            let late = minute.map(|minute| format!(", missed at {}", day(minute.as_second())));
            let (cron, late) = (styled(style::WORKER, "cron"), late.unwrap_or_default());
            printer.data(format_args!("{cron} {expression} {outcome}{late}"));
        }
        Event::Dropped(count) => {
            printer.warning(format_args!(
                "{count} lines of the Worker were dropped: too many at once"
            ));
        }
        _ => {}
    }
}

/// Prints one request: method, path, status, time. `script` is the Worker's name where there are
/// several.
pub(crate) fn request(printer: &Printer, script: Option<&str>, event: &RequestEvent) {
    let status = event.status;
    let style = match status {
        _ if event.upgraded || status.is_success() => style::SUCCESS,
        _ if status.is_redirection() || status.is_informational() => style::HINT,
        _ if status.is_client_error() => style::WARNING,
        _ => style::ERROR,
    };
    let reason = match status {
        _ if status.as_u16() == 499 => "Client Closed Request",
        StatusCode::SWITCHING_PROTOCOLS => "WebSocket",
        _ => status.canonical_reason().unwrap_or_default(),
    };
    let error = event.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    printer.data(format_args!(
        "{} {} {} {} {}{error}",
        styled(style::DIM, script.unwrap_or("request")),
        event.method,
        event.path,
        styled(style, format_args!("{} {reason}", status.as_u16())),
        styled(style::DIM, format_args!("({})", duration(event.duration))),
    ));
}

/// The prefix of what an instance prints.
pub(crate) fn container_prefix(application: &str, object: &str) -> String {
    styled(style::CONTAINER, format_args!("{application} {object}"))
}

/// Each line of `text` behind `prefix`.
pub(crate) fn lines(printer: &Printer, prefix: &str, text: &str, style: Option<anstyle::Style>) {
    for line in text.lines() {
        match style {
            Some(style) => printer.data(format_args!("{prefix} │ {}", styled(style, line))),
            None => printer.data(format_args!("{prefix} │ {line}")),
        }
    }
}

fn worker_prefix(script: Option<&str>, origin: &Origin) -> String {
    match (&origin.entrypoint, &origin.object) {
        (Some(class), Some(object)) => {
            let short = object.get(..8).unwrap_or(object);
            styled(style::OBJECT, format_args!("{class} {short}"))
        }
        (Some(class), None) => styled(style::WORKER, class),
        _ => styled(style::WORKER, script.unwrap_or("worker")),
    }
}

fn level_style(level: Level) -> Option<anstyle::Style> {
    match level {
        Level::Error => Some(style::ERROR),
        Level::Warn => Some(style::WARNING),
        Level::Debug => Some(style::DIM),
        Level::Log | Level::Info => None,
    }
}

/// Whether a line of that level is shown; wrangler's order, where `log` shows `info` too.
fn shows(shown: LogLevel, level: Level) -> bool {
    let needed = match level {
        Level::Error => LogLevel::Error,
        Level::Warn => LogLevel::Warn,
        Level::Info | Level::Log => LogLevel::Info,
        Level::Debug => LogLevel::Debug,
    };
    shown >= needed
}

/// A duration as people read it: `0.4ms`, `34ms`, `1.2s`.
pub(crate) fn duration(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    match ms {
        _ if ms < 10.0 => format!("{ms:.1}ms"),
        _ if ms < 1000.0 => format!("{ms:.0}ms"),
        _ => format!("{:.1}s", ms / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_shows_itself_and_what_is_worse() {
        assert!(shows(LogLevel::Log, Level::Info) && shows(LogLevel::Info, Level::Log));
        assert!(shows(LogLevel::Warn, Level::Error) && !shows(LogLevel::Warn, Level::Log));
        assert!(!shows(LogLevel::None, Level::Error) && !shows(LogLevel::Log, Level::Debug));
    }

    #[test]
    fn durations_keep_two_or_three_digits() {
        let of = |ms| duration(Duration::from_micros(ms));
        assert_eq!(
            (of(400), of(34_400), of(1_240_000)),
            ("0.4ms".into(), "34ms".into(), "1.2s".into())
        );
    }
}
