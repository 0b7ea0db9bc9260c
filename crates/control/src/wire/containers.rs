//! Container applications, their instances, and registries of others.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::DurableObjectId;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::plan::InstanceStatus;

/// An application as it is wanted. What is not here is refused, or kept where it asks for nothing.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the document alone reads it: what is wanted is kept as it came")]
pub(crate) struct ApplicationWish {
    /// Of an application that is to be made.
    name: Option<String>,
    /// `durable_object`: each object chooses what it starts. All others mean the same here.
    scheduling_policy: Option<String>,
    /// 0: instances start with a request.
    instances: Option<u32>,
    /// 20 where it is left out.
    max_instances: Option<u32>,
    durable_objects: Option<ObjectsWish>,
    configuration: Option<ConfigurationWish>,
    constraints: Option<BTreeMap<String, Value>>,
    affinities: Option<BTreeMap<String, Value>>,
    observability: Option<BTreeMap<String, Value>>,
    /// Seconds that an instance has run at least before a rollout replaces it.
    rollout_active_grace_period: Option<u64>,
}

/// Whose instances they are.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "as above")]
pub(crate) struct ObjectsWish {
    namespace_id: String,
}

/// What instances run. `instance_type` says by a name what `vcpu`, `memory_mib` and `disk` say by
/// numbers.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "as above")]
pub(crate) struct ConfigurationWish {
    image: Option<String>,
    instance_type: Option<String>,
    vcpu: Option<f64>,
    memory_mib: Option<u64>,
    memory: Option<String>,
    disk: Option<DiskWish>,
    observability: Option<BTreeMap<String, Value>>,
    wrangler_ssh: Option<SshWish>,
    authorized_keys: Option<Vec<KeyWish>>,
    trusted_user_ca_keys: Option<Vec<KeyWish>>,
}

/// A disk.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "as above")]
pub(crate) struct DiskWish {
    size_mb: Option<u64>,
    size: Option<String>,
}

/// Whether instances can be entered.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "as above")]
pub(crate) struct SshWish {
    enabled: bool,
    /// Without effect: no port is opened.
    port: Option<u16>,
}

/// A key of SSH, in OpenSSH's form.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "as above")]
pub(crate) struct KeyWish {
    name: Option<String>,
    public_key: String,
}

/// An image to be got ahead of its first start.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "as above")]
pub(crate) struct ImageWish {
    image: String,
}

/// Where such an image is.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PreparedImage {
    pub(crate) image: String,
    /// `pending`, `ready` or `error`.
    pub(crate) status: &'static str,
    /// Of one that is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_digest: Option<String>,
    /// Why it cannot be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// An application: what was wanted, and what is.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ApplicationView {
    /// As the client wants it. What follows stands in place of what it says by the same names.
    #[serde(flatten)]
    pub(crate) wanted: Value,
    pub(crate) id: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// Grows with each change of what its instances run.
    pub(crate) version: u32,
    /// How many run or are about to, or are ending.
    pub(crate) instances: usize,
    /// What they run; `null` where their objects choose.
    pub(crate) image: Option<String>,
    pub(crate) health: ApplicationHealth,
}

/// What its instances do.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ApplicationHealth {
    pub(crate) instances: HealthCounts,
}

/// How many of them do what.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct HealthCounts {
    pub(crate) active: usize,
    pub(crate) healthy: usize,
    pub(crate) failed: usize,
    pub(crate) starting: usize,
    pub(crate) scheduling: usize,
    pub(crate) durable_objects_active: usize,
    pub(crate) assigned: usize,
    pub(crate) stopped: usize,
}

/// Instances and their objects.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Instances {
    pub(crate) instances: Vec<InstanceShown>,
    pub(crate) durable_objects: Vec<ObjectShown>,
}

/// One instance.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InstanceShown {
    pub(crate) id: String,
    pub(crate) app_version: u32,
    pub(crate) location: &'static str,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) current_placement: CurrentPlacement,
}

/// Where it is.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CurrentPlacement {
    pub(crate) status: PlacementStatus,
}

/// What it does.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PlacementStatus {
    pub(crate) container_status: InstanceStatus,
    pub(crate) health: InstanceStatus,
}

/// The Durable Object that owns an instance.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ObjectShown {
    #[schemars(with = "String")]
    pub(crate) id: DurableObjectId,
    /// Always `null`: nobody tells it.
    pub(crate) name: Option<String>,
    /// The instance's id.
    pub(crate) deployment_id: String,
    pub(crate) assigned_at: Option<Timestamp>,
}

/// A registry of others, without what nobody else may know.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RegistryView {
    pub(crate) domain: String,
    pub(crate) created_at: Timestamp,
    pub(crate) is_public: bool,
    /// `DockerHub` or `GAR`; nothing of any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) public_credential: Option<String>,
    /// The store's id and the secret's name, with a colon between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secrets_store_ref: Option<String>,
}

/// A ticket for SSH to an instance.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SshTicket {
    /// Where its WebSocket is opened.
    pub(crate) url: String,
    pub(crate) token: String,
    /// What the server proves itself by, as in `known_hosts`. Beyond Cloudflare.
    pub(crate) host_key: String,
}
