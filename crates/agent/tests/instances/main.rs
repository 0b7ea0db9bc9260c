//! The agent against real sandboxes, spoken to as workerd speaks to it. Where sandboxes cannot be
//! made, because the tests do not run as root, each test says so and does nothing.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod adoption;
mod archives;
mod egress;
mod exec;
mod interception;
mod lifecycle;
mod snapshots;
mod support;
mod switch;
