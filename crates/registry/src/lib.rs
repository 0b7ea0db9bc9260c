//! A registry by the OCI distribution specification, over the content of the image store: what is
//! pushed to it is pulled already on this machine.
//!
//! ```text
//! server ▶ api ▶ {auth, route} ▶ blobs · uploads · manifests · listing ▶ image::Repositories
//! ```
//!
//! Bodies are streamed; what blocks runs on blocking threads. What is not of the specification is
//! for `wrangler`: `_catalog?tags=true` and `PUT /v2/gc/layers`.
#![forbid(unsafe_code)]

mod api;
mod auth;
mod blobs;
mod body;
mod error;
pub mod fuzz;
mod garbage;
mod listing;
mod live;
mod manifests;
mod mirror;
mod quota;
mod range;
mod reply;
mod route;
mod server;
mod uploads;

pub use api::{Options, Registry};
pub use auth::{Credential, KeyError, Permission, SigningKey};
pub use reply::Body;
pub use rustls::ServerConfig as TlsConfig;
pub use server::{BindError, Listener, Other, Serving};
