//! Vocabulary and pure decisions of Berth: ids, limits, applications, the instance state machine.
//!
//! No tokio, no I/O and no clock live here: everything is a function of its arguments, so every
//! decision can be tested as plain data. Numbers that users see come from this crate alone.
#![forbid(unsafe_code)]

mod application;
mod assets;
mod environment;
mod ids;
pub mod instance;
mod instance_type;
pub mod limits;
pub mod messages;
mod module;
mod share;

pub use application::{Application, ApplicationImages, ImageSource};
pub use assets::{
    AssetRules, HtmlHandling, LARGEST_ASSET, MOST_ASSETS, NotFoundHandling, RunWorkerFirst,
};
pub use environment::{Placement, predefined_environment};
pub use ids::{ContainerName, DurableObjectId, IdError, InstanceId};
pub use instance_type::{InstanceType, InstanceTypeError, Limits};
pub use module::{Module, ModuleKind};
pub use share::Share;
