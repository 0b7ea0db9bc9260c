//! Workers and what outlives their versions.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::records::Cron;
use crate::upload::WireTailConsumer;

/// A Worker of a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ListedScript {
    /// Its name.
    pub(crate) id: String,
    pub(crate) tag: String,
    pub(crate) migration_tag: Option<String>,
    pub(crate) created_on: Timestamp,
    pub(crate) modified_on: Timestamp,
}

/// A Worker whose new version serves.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct UploadedScript {
    /// Its name.
    pub(crate) id: String,
    pub(crate) tag: String,
    pub(crate) etag: String,
    /// The version's id, as 32 hex digits.
    pub(crate) deployment_id: String,
    pub(crate) startup_time_ms: u64,
    pub(crate) created_on: Timestamp,
    pub(crate) modified_on: Timestamp,
    pub(crate) migration_tag: Option<String>,
    pub(crate) handlers: Vec<&'static str>,
}

/// A Worker as a service.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Service {
    /// Its name.
    pub(crate) id: String,
    pub(crate) default_environment: ServiceEnvironment,
}

/// The environment that every service has.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ServiceEnvironment {
    pub(crate) environment: &'static str,
    pub(crate) script: ServiceScript,
}

/// The Worker in it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ServiceScript {
    pub(crate) id: String,
    pub(crate) tag: String,
    pub(crate) migration_tag: Option<String>,
    pub(crate) last_deployed_from: &'static str,
}

/// A Worker with its address.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WorkerView {
    /// Its tag.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) created_on: Timestamp,
    pub(crate) updated_on: Timestamp,
    /// Where it answers, with the port. Beyond Cloudflare.
    pub(crate) url: String,
    pub(crate) subdomain: WorkerSubdomain,
}

/// Its own host.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WorkerSubdomain {
    pub(crate) enabled: bool,
    pub(crate) previews_enabled: bool,
    /// Without a port.
    pub(crate) url: String,
}

/// Whether a Worker is to have a host of its own.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct SubdomainWish {
    pub(crate) enabled: bool,
}

/// Whether a Worker has a host of its own.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Subdomain {
    pub(crate) enabled: bool,
    pub(crate) previews_enabled: bool,
}

/// The domain below which Workers have hosts.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AccountSubdomain {
    pub(crate) subdomain: String,
}

/// A Durable Object namespace.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct NamespaceView {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) class: String,
    pub(crate) script: String,
    pub(crate) use_sqlite: bool,
}

/// A Worker, and one that is told of what happens in it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TailPair {
    pub(crate) producer: TailedScript,
    pub(crate) consumer: TailedScript,
}

/// One of both.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TailedScript {
    pub(crate) script: String,
}

/// Who binds a Worker; without anything if nobody does.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct References {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) services: Option<ServiceReferences>,
}

/// Bindings from and to a Worker.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ServiceReferences {
    pub(crate) incoming: Vec<IncomingReference>,
    /// Always empty.
    pub(crate) outgoing: Vec<IncomingReference>,
    pub(crate) pages_function: bool,
}

/// A binding of another Worker.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct IncomingReference {
    pub(crate) service: String,
    pub(crate) environment: &'static str,
    /// The binding's name.
    pub(crate) name: String,
}

/// What is to hold for every version. A field that is left out stays as it is.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the document alone reads it: a body is answered as it came")]
pub(crate) struct ScriptSettingsWish {
    /// Accepted: logs are always shown.
    observability: Option<Value>,
    /// Workers whose `tail()` is told of what happens in this one.
    tail_consumers: Option<Vec<WireTailConsumer>>,
}

/// What holds for every version.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ScriptSettings {
    pub(crate) logpush: bool,
    pub(crate) tail_consumers: Option<Vec<ConsumerName>>,
    pub(crate) tags: Vec<String>,
}

/// A tail consumer.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ConsumerName {
    pub(crate) service: String,
}

/// A route, as a pattern of URLs.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct RouteWish {
    pub(crate) pattern: String,
}

/// Custom domains.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct DomainsWish {
    pub(crate) origins: Vec<DomainWish>,
}

/// One of them.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct DomainWish {
    pub(crate) hostname: String,
}

/// A cron trigger.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct CronWish {
    pub(crate) cron: String,
}

/// Cron triggers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Schedules {
    pub(crate) schedules: Vec<Cron>,
}

/// What a tail is to show.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct TailWish {
    /// Cloudflare's: `sampling_rate`, `outcome`, `method`, `header`, `client_ip`, `query`.
    #[serde(default)]
    pub(crate) filters: Vec<Value>,
}

/// A tail.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TailView {
    pub(crate) id: String,
    /// Where its WebSocket is opened.
    pub(crate) url: String,
    pub(crate) expires_at: Timestamp,
}

/// An upload of static files that has begun.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AssetsSession {
    /// The token that files are uploaded with.
    pub(crate) jwt: String,
    /// The hashes of what is missing, in portions.
    pub(crate) buckets: Vec<Vec<String>>,
}

/// A portion that was uploaded.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AssetsUploaded {
    /// The token that the version names; `null` while something is missing.
    pub(crate) jwt: Option<String>,
}
