//! What the control plane remembers: one type for each kind of record, and its key.
//!
//! Records are JSON. Fields are only ever added, with a default, so that a record of an older Berth
//! is read by a newer one.

mod application;
mod assets;
mod audit;
mod binding;
mod external_registry;
mod rollout;
mod script;
mod secret_store;
mod token;
mod version;

pub(crate) use application::ApplicationRecord;
pub(crate) use assets::{AssetContent, AssetFiles, AssetSession, ClientFile, VersionAssets};
pub(crate) use audit::AuditEntry;
pub(crate) use binding::{Binding, BindingKind};
pub(crate) use external_registry::{
    ExternalRegistry, PrivateCredential, RegistryAuth, RegistryKind,
};
pub(crate) use rollout::{Rollout, RolloutKind, RolloutStatus, StepRun};
pub(crate) use script::{ALL_REQUESTS, Beside, Class, Cron, Deployment, Script};
pub(crate) use secret_store::{SecretScope, SecretStore, StoredSecret};
pub use token::{Scope, Token};
pub(crate) use version::{ClassContainer, Module, Version};
