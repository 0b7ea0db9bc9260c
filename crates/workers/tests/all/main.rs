//! What the worker host promises, kept against the real workerd that npm installs.

mod host;
mod logs;
mod replacing;
mod serving;
mod toolchain;
