//! Ingress: accepts HTTP/1.1 and HTTP/2 on an address, with TLS or without, and forwards it to the
//! current process of the Worker that serves it.
//!
//! Requests wait while there is no process (a deploy, a crash) and go on once there is one, so
//! that neither is seen by clients. Every upgrade (WebSocket) is tunnelled. Which process is
//! current is somebody else's decision, told through a watch channel of socket paths.

mod acme;
mod arrival;
mod body;
mod config;
mod door;
#[doc(hidden)]
pub mod fuzz;
mod headers;
mod in_flight;
mod patience;
mod pool;
mod proxy;
mod server;
mod site;
mod tls;
mod trust;
mod tunnel;

pub use acme::{Acme, AcmeError};
pub use arrival::{Arrival, Ray, Scheme, TlsSession};
pub use config::{Answer, Config, Headers, Intercept, Observe, RequestEvent};
pub use door::{Door, Inside};
pub use server::{BindError, Edge, Front, Serving};
pub use site::{Route, Site};
pub use tls::{CertificateError, CertificateFiles, Certificates};
pub use trust::Trust;
