//! Ingress: accepts HTTP/1.1 on an address and forwards it to the current process of the Worker that
//! serves it.
//!
//! Requests wait while there is no process (a deploy, a crash) and go on once there is one, so
//! that neither is seen by clients. Every upgrade (WebSocket) is tunnelled. Which process is
//! current is somebody else's decision, told through a watch channel of socket paths.

mod body;
mod config;
mod door;
mod headers;
mod in_flight;
mod pool;
mod proxy;
mod server;
mod site;
mod tunnel;

pub use config::{Answer, Config, Intercept, Observe, RequestEvent};
pub use door::{Door, Inside};
pub use server::{BindError, Edge, Serving};
pub use site::{Route, Site};
