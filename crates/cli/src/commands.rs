//! One file per command.

pub(crate) mod backup;
pub(crate) mod build;
pub(crate) mod completions;
pub(crate) mod containers;
pub(crate) mod delete;
pub(crate) mod deploy;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod env;
pub(crate) mod images;
pub(crate) mod init;
pub(crate) mod login;
pub(crate) mod registry;
pub(crate) mod rollback;
pub(crate) mod rotate_key;
pub(crate) mod secret;
pub(crate) mod secrets_store;
pub(crate) mod serve;
pub(crate) mod snapshots;
pub(crate) mod tail;
pub(crate) mod token;
pub(crate) mod versions;
pub(crate) mod whoami;
mod worker;
