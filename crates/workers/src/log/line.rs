//! One line of workerd's output, understood.
//!
//! With structured logging every line on stdout is one JSON object: user code's console lines have
//! no `source`, workerd's own messages name theirs, and readiness is an `event`. User code cannot
//! forge one, because what it prints is always inside such an object.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use crate::event::Level;

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// A socket of the configuration listens.
    Listening { socket: String },
    /// A `console.*` call. No time at a module's top level, where clocks stand at zero.
    Console { time: Option<SystemTime>, level: Level, message: String },
    /// User code threw and nobody caught it.
    Uncaught { time: SystemTime, context: String, stack: String },
    /// workerd passes on an exception that [`Line::Uncaught`] told of, or that has no stack.
    Failed { time: SystemTime, description: String },
    /// workerd has something to say.
    Runtime { level: Level, message: String },
    /// Nothing for a person.
    Noise,
}

#[derive(Deserialize)]
struct Raw {
    event: Option<String>,
    socket: Option<String>,
    timestamp: Option<Timestamp>,
    level: Option<String>,
    message: Option<String>,
    source: Option<String>,
}

/// Console lines have a number, workerd's own a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Timestamp {
    Number(u64),
    Text(String),
}

impl Line {
    /// Understands a line without its line feed; one that is not JSON is workerd's own.
    pub(crate) fn parse(line: &[u8]) -> Self {
        let Ok(raw) = serde_json::from_slice::<Raw>(line) else {
            let text = String::from_utf8_lossy(line).trim_end().to_owned();
            return match text.is_empty() {
                true => Self::Noise,
                false => Self::Runtime { level: Level::Error, message: text },
            };
        };
        if raw.event.as_deref() == Some("listen") {
            return Self::Listening { socket: raw.socket.unwrap_or_default() };
        }
        let millis = match &raw.timestamp {
            Some(Timestamp::Number(millis)) => *millis,
            Some(Timestamp::Text(text)) => text.parse().unwrap_or(0),
            None => 0,
        };
        let time = (millis > 0).then(|| at(millis)).flatten();
        let message = raw.message.unwrap_or_default();
        let level = level(raw.level.as_deref());
        match raw.source {
            None => Self::Console { time, level, message },
            Some(source) => own(&source, time.unwrap_or_else(SystemTime::now), level, message),
        }
    }
}

/// A message of workerd itself, which names the source file that it comes from.
fn own(source: &str, time: SystemTime, level: Level, message: String) -> Line {
    if let Some(rest) = message.strip_prefix("uncaught exception; source = ") {
        // `io-context.c++` repeats what `worker.c++` has just said.
        return match rest.split_once("; stack = ") {
            Some((context, stack)) if source.contains("/worker.c++") => {
                Line::Uncaught { time, context: context.to_owned(), stack: stack.to_owned() }
            }
            _ => Line::Noise,
        };
    }
    if let Some(rest) = message.strip_prefix("Uncaught exception: ")
        && let Some((_, description)) = rest.split_once("jsg.")
    {
        return Line::Failed { time, description: description.to_owned() };
    }
    // Half of all projects name such a flag, because their templates did when it was none.
    if message.contains(" became the default as of ") {
        return Line::Noise;
    }
    match level {
        // Asked for with `--verbose`, for the exceptions above; the rest is workerd's diary.
        Level::Debug | Level::Log | Level::Info => Line::Noise,
        Level::Warn | Level::Error => Line::Runtime { level, message: startup(message) },
    }
}

/// `service worker: Uncaught …` names a service of our configuration, which means nothing to users.
fn startup(message: String) -> String {
    message.strip_prefix("service worker: ").map(str::to_owned).unwrap_or(message)
}

fn level(name: Option<&str>) -> Level {
    match name {
        Some("debug") => Level::Debug,
        Some("info") => Level::Info,
        Some("warn" | "warning") => Level::Warn,
        Some("error" | "fatal") => Level::Error,
        _ => Level::Log,
    }
}

/// A time given in milliseconds since 1970, unless it is absurd.
pub(crate) fn at(millis: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

/// As [`Level`] for a console method's name.
pub(crate) fn console_level(name: &str) -> Level {
    level(Some(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_console_line_is_the_workers() {
        let line = br#"{"timestamp":1795283680901,"level":"warn","message":"a\nb"}"#;
        let expected = Line::Console {
            time: at(1_795_283_680_901),
            level: Level::Warn,
            message: "a\nb".to_owned(),
        };
        assert_eq!(Line::parse(line), expected);
    }

    #[test]
    fn an_uncaught_exception_has_its_stack() {
        let line = br#"{"timestamp":"5","level":"info","source":"workerd/io/worker.c++:3042","message":"uncaught exception; source = Uncaught (in promise); stack = Error: boom\n    at Object.fetch (file:///bundle/main.mjs:18:33)","context_depth":0}"#;
        let Line::Uncaught { context, stack, .. } = Line::parse(line) else {
            panic!("no exception")
        };
        assert_eq!(context, "Uncaught (in promise)");
        assert!(stack.starts_with("Error: boom\n    at"), "{stack}");
    }

    #[test]
    fn what_repeats_an_exception_is_recognised() {
        let line = br#"{"timestamp":"5","level":"error","source":"workerd/server/server/listen/mod.rs:372","message":"Uncaught exception: workerd/jsg/value.h:1456: failed: remote.jsg.Error: boom"}"#;
        let expected = Line::Failed {
            time: at(5).expect("a small number"),
            description: "Error: boom".into(),
        };
        assert_eq!(Line::parse(line), expected);
    }

    #[test]
    fn a_flag_that_is_no_longer_needed_is_no_news() {
        let line = br#"{"timestamp":"5","level":"warn","source":"entry.rs:170","message":"service worker: The compatibility flag nodejs_compat became the default as of 2026-08-04 so does not need to be specified anymore."}"#;
        assert_eq!(Line::parse(line), Line::Noise);
    }

    #[test]
    fn plain_text_is_workerds_own() {
        let expected = Line::Runtime { level: Level::Error, message: "*** Received signal".into() };
        assert_eq!(Line::parse(b"*** Received signal\r"), expected);
        assert_eq!(Line::parse(b""), Line::Noise);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Line::parse(&line);
        }

        #[test]
        fn no_json_panics(time in any::<u64>(), level in ".*", message in ".*", source in proptest::option::of(".*")) {
            let line = serde_json::json!({"timestamp": time, "level": level, "message": message, "source": source});
            let _ = Line::parse(line.to_string().as_bytes());
        }
    }
}
