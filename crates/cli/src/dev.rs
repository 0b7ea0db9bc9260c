//! What `berth dev` is made of: its lock, its keys, its build steps and its loop.

pub(crate) mod keys;
pub(crate) mod lock;
pub(crate) mod packages;
