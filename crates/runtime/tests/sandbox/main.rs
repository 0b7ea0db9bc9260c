//! Promises of the sandbox, on the real kernel, as root.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers fail the test")]

mod adopt;
mod confinement;
mod disk;
mod exec;
mod host;
mod isolation;
mod limits;
mod network;
mod pid1;
mod quota;
mod root;
mod start;
mod traces;
mod users;
