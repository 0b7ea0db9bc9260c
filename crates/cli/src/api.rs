//! The client's side of Cloudflare's v4 API, as `berth deploy` and its like speak it to a platform.

mod client;
mod error;
mod form;
pub(crate) mod login;
mod socket;
mod target;

pub(crate) use client::{Client, Request, escaped};
pub(crate) use error::{ApiError, failed};
pub(crate) use form::Form;
pub(crate) use socket::{Socket, SocketError, open as open_socket};
pub(crate) use target::Target;
