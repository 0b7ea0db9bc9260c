//! A user's project: its configuration (`wrangler.jsonc`, `.json`, `.toml`), its local secrets
//! (`.dev.vars`, `.env`), and its code as a bundle.
//!
//! Nothing here runs a Worker or a container.
#![forbid(unsafe_code)]

pub mod bundle;
mod check;
pub mod config;
pub mod diagnostic;
mod parse;
mod tree;

pub use bundle::{Bundle, BundleError, BundleOptions, Module, ModuleKind, bundle};
pub use config::{Config, ConfigError};
pub use diagnostic::{Diagnostic, Severity};
pub use parse::dotenv::parse as parse_dot_env;
