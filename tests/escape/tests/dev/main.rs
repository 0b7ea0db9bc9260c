//! Ways out that only a whole Berth closes: what the agent serves, what it dials, what it writes down.
//! The hostile program runs in an instance of the real `berth dev`.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod agent;
mod flood;
mod project;
