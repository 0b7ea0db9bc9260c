//! Promises of the sandbox, on the real kernel, as root.

mod host;
mod start;
