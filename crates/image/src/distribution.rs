//! The client's side of the OCI distribution API, as pulls and pushes share it: which endpoints to
//! ask, as whom, how often, and what an answer means.

mod auth;
mod client;
mod credentials;
mod http;
mod login;
mod remote;
mod trouble;

pub(crate) use client::{ATTEMPTS, Access, Client, Endpoint, Failure, Payload, Request, pause};
pub(crate) use http::join;
pub use http::{agent_for, trusted_certificates};
pub use login::{LoginError, log_in};
pub use remote::{Catalog, RegistryError, RemoteRegistry};
