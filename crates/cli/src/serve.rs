//! `berth serve`: what carries out the control plane's plans on this machine.

mod access_log;
mod address;
mod applications;
mod assets;
mod doors;
mod folders;
mod health;
mod history;
mod listeners;
mod node;
mod objects;
pub(crate) mod restores;
mod routes;
mod settings;
mod watchers;
mod worker;

pub(crate) use access_log::{AccessLog, Writer as LogWriter};
pub(crate) use address::Address;
pub(crate) use folders::Folders;
pub(crate) use listeners::{Listeners, Served, bind_workers, not_bound};
pub(crate) use node::{Node, NodeConfig};
pub(crate) use routes::Routes;
pub(crate) use settings::{Settings, default_file};
