//! What `berth-init` and the runtime say to each other: messages, and frames on a unix socket.
//!
//! The launcher and PID 1 themselves are in the binary of this crate.

pub mod message;
pub mod record;
pub mod wire;
