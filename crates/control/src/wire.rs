//! What the API is asked with and what it answers, as types: the JSON follows from them, and so do the
//! schemas of the OpenAPI document. Names are Cloudflare's.

mod account;
mod berth;
mod bindings;
mod containers;
mod rollouts;
mod secrets;
mod versions;
mod workers;

pub(crate) use account::{
    Account, AccountName, AuditAction, AuditActor, AuditLine, AuditRequest, ContainersAccount,
    ContainersDefaults, ContainersLimits, Membership, TokenState, User, Zone, ZoneRoute,
};
pub(crate) use berth::{
    InstanceUsage, PreparedExec, StopWish, StoppedInstance, StoppedInstances, UnpackedAt, Usage,
};
pub(crate) use bindings::{BindingView, Bindings};
pub(crate) use containers::{
    ApplicationHealth, ApplicationView, ApplicationWish, CurrentPlacement, HealthCounts, ImageWish,
    InstanceShown, Instances, ObjectShown, PlacementStatus, PreparedImage, RegistryView, SshTicket,
};
pub(crate) use rollouts::{
    RolloutMove, RolloutProgress, RolloutStepView, RolloutView, RolloutWish, StepSize,
};
pub(crate) use secrets::{
    NewStore, SecretText, SecretTexts, SecretView, SecretsWish, StoreView, StoredSecretView,
};
pub(crate) use versions::{
    CopiedVersion, DeployedShare, DeploymentView, DeploymentWish, Deployments, LatestWish,
    ShareWish, VersionContainer, VersionMember, VersionMetadata, VersionResources, VersionRuntime,
    VersionScript, VersionSettings, VersionView, Versions,
};
pub(crate) use workers::{
    AccountSubdomain, AssetsSession, AssetsUploaded, ConsumerName, CronWish, DomainsWish,
    IncomingReference, ListedScript, NamespaceView, References, RouteWish, Schedules,
    ScriptSettings, ScriptSettingsWish, Service, ServiceEnvironment, ServiceReferences,
    ServiceScript, Subdomain, SubdomainWish, TailPair, TailView, TailWish, TailedScript,
    UploadedScript, WorkerSubdomain, WorkerView,
};

use schemars::JsonSchema;
use serde::Serialize;

/// An object without anything in it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Empty {}
