//! What happens in a Worker, as a reader of a terminal or a log wants it.
//!
//! Each console line, exception and message of the runtime is one event, once.

use std::time::{Duration, SystemTime};

/// Something that happened in, or to, a workerd process.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A `console.*` call of user code, also at the top level of a module.
    Log {
        /// When, by the Worker's clock. A line from a module's top level has the time it arrived.
        time: SystemTime,
        /// By which method.
        level: Level,
        /// The arguments as Node.js would print them; may have several lines. Stacks are mapped.
        message: String,
        /// Who wrote it.
        origin: Origin,
    },
    /// An exception that user code did not catch.
    Exception {
        /// When.
        time: SystemTime,
        /// `Error: boom` and its stack, mapped to the sources.
        stack: String,
        /// Where workerd caught it, such as `Uncaught (in response)`.
        context: String,
    },
    /// workerd itself has something to say, such as a class that is not exported.
    Runtime {
        /// How bad.
        level: Level,
        /// What.
        message: String,
    },
    /// A process serves.
    Started {
        /// Its process ID.
        pid: u32,
        /// From the decision to the first socket that listens.
        took: Duration,
    },
    /// A process ended that nobody stopped; the next one starts after a pause.
    Crashed {
        /// `exit code 1` or `signal 9`, in words.
        status: String,
        /// Time until the next start.
        restart_in: Duration,
    },
    /// A cron trigger ran `scheduled()`.
    Cron {
        /// The expression, as written.
        expression: String,
        /// Whether the handler succeeded, in words: `ok`, `exception` …, or why it was not called.
        outcome: Result<String, String>,
        /// The minute that it makes up for, when nobody ran the Worker.
        missed: Option<SystemTime>,
    },
    /// Something was handled from beginning to end, while [`crate::WorkerProcess::watch`] is on: an
    /// object in the form of Cloudflare's `trace-v1` (without the names of the Worker and its version).
    /// Stacks are mapped.
    Handled(Box<serde_json::Value>),
    /// The reader was too slow: this many events were dropped, so that the Worker need not wait.
    Dropped(u64),
}

/// Severity, by console method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// `console.debug`.
    Debug,
    /// `console.log`.
    Log,
    /// `console.info`.
    Info,
    /// `console.warn`.
    Warn,
    /// `console.error`.
    Error,
}

/// Who wrote a console line.
///
/// All empty: the Worker's default entry point in `fetch()`, a module's top level, or an unknown
/// place ([`crate::WorkerSpec::attribute_logs`] off, or a Worker without Durable Objects).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The exported class: a Durable Object's or a named entry point's.
    pub entrypoint: Option<String>,
    /// The Durable Object's ID, 64 hex digits.
    pub object: Option<String>,
    /// What was being handled.
    pub trigger: Option<Trigger>,
}

/// What starts an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// `fetch()`.
    Fetch,
    /// A remote method call.
    Rpc,
    /// `alarm()` of a Durable Object.
    Alarm,
    /// `scheduled()`.
    Scheduled,
    /// Anything else, such as a WebSocket message of a hibernating object.
    Other,
}
