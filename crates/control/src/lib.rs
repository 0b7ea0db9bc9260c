//! Cloudflare's v4 API over records in a store, and what follows from them: Workers that run,
//! container applications whose instances may start.
//!
//! A request is routed ([`route`]), its token checked ([`tokens`]), and answered by `api`. Changes are
//! written first, as records, and then carried out by a [`Platform`]; after a restart the records
//! alone say what runs. Names on the wire are Cloudflare's, and stay in `api` and
//! `wire`.
#![forbid(unsafe_code)]

mod account;
mod api;
mod assets;
mod audit;
mod bindings;
mod blobs;
mod change_key;
mod containers;
#[cfg(test)]
mod cut_off;
mod envelope;
mod external_registries;
#[cfg(test)]
mod fake;
#[doc(hidden)]
pub mod fuzz;
mod limits;
mod migrate;
mod openapi;
mod pages;
pub mod plan;
mod platform;
mod private_file;
mod records;
mod registries;
mod rollout;
mod route;
mod routes;
mod seal;
mod secret_stores;
mod ssh;
mod state;
mod streams;
mod tails;
mod tokens;
mod turns;
mod upload;
mod wanted;
mod wire;
mod workers;

pub use api::{Access, Api, ApiConfig, Serving, Tls};
pub use change_key::change_key;
pub use containers::planned_applications;
pub use envelope::Body;
pub use limits::AccountLimits;
pub use platform::{
    Answer, Events, InstanceEvents, Log, OutgoingArchive, Platform, PlatformError, Program, Session,
};
pub use records::{Scope, Token};
pub use registries::{Permission, RegistryCredential, RegistryCredentials};
pub use seal::{KeyPlace, SealError, Sealer};
pub use ssh::{SshHostKey, SshHostKeyError};
pub use state::named_content;
pub use tokens::{TokenError, Tokens};
