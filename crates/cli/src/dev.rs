//! What `berth dev` is made of; `session` puts it together.

pub(crate) mod containers;
mod images;
pub(crate) mod instances;
pub(crate) mod keys;
pub(crate) mod lines;
pub(crate) mod lock;
mod packages;
pub(crate) mod progress;
pub(crate) mod project;
pub(crate) mod run_step;
mod scheduled;
pub(crate) mod session;
pub(crate) mod signals;
mod timings;
pub(crate) mod watch;
mod worker;
