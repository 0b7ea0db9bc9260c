//! What `berth dev` is made of; `session` puts it together. `berth deploy` reads, bundles and builds by it,
//! too.

pub(crate) mod containers;
pub(crate) mod images;
pub(crate) mod instances;
pub(crate) mod keys;
pub(crate) mod lines;
pub(crate) mod lock;
pub(crate) mod packages;
pub(crate) mod progress;
pub(crate) mod project;
pub(crate) mod run_step;
mod scheduled;
pub(crate) mod session;
pub(crate) mod signals;
mod timings;
pub(crate) mod watch;
mod worker;
