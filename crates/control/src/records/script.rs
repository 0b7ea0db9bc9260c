//! A Worker with everything that outlives its versions.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A Worker: what Cloudflare calls a script (or a service).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Script {
    /// Its name, unique in the account.
    pub(crate) name: String,
    /// 32 hex digits that no other script has or had: what belongs to a script is kept under it, so
    /// that a new one of the same name inherits nothing.
    pub(crate) tag: String,
    /// When it was first uploaded.
    pub(crate) created_on: Timestamp,
    /// When a version was last uploaded.
    pub(crate) modified_on: Timestamp,
    /// The last migration that was applied.
    pub(crate) migration_tag: Option<String>,
    /// Its Durable Object classes.
    pub(crate) classes: Vec<Class>,
    /// The number of its newest version.
    pub(crate) versions: u32,
    /// How often it was deployed.
    pub(crate) deployments: u32,
    /// What serves; of two versions the older one.
    pub(crate) current: Option<Uuid>,
    /// The newer one of two.
    #[serde(default)]
    pub(crate) beside: Option<Beside>,
    /// When `scheduled()` runs.
    pub(crate) crons: Vec<Cron>,
    /// Patterns of URLs that it serves beside its own host, such as `example.com/*`.
    pub(crate) routes: Vec<String>,
    /// The same, of its custom domains.
    #[serde(default)]
    pub(crate) domains: Vec<String>,
    /// Whether it is served at `<name>.<domain>`.
    pub(crate) subdomain: bool,
    /// Names of Workers whose `tail()` is told of what happens in it; as with Cloudflare no setting of
    /// a version.
    #[serde(default)]
    pub(crate) tail_consumers: Vec<String>,
}

impl Script {
    /// A script that has no version yet.
    pub(crate) fn new(name: &str, now: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            tag: Uuid::new_v4().simple().to_string(),
            created_on: now,
            modified_on: now,
            migration_tag: None,
            classes: Vec::new(),
            versions: 0,
            deployments: 0,
            current: None,
            beside: None,
            crons: Vec::new(),
            routes: Vec::new(),
            domains: Vec::new(),
            subdomain: false,
            tail_consumers: Vec::new(),
        }
    }

    /// Its class of that name.
    pub(crate) fn class(&self, name: &str) -> Option<&Class> {
        self.classes.iter().find(|class| class.name == name)
    }
}

/// A Durable Object class and its namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Class {
    /// Its name in the code; migrations may rename it.
    pub(crate) name: String,
    /// 32 hex digits; names its storage and its containers, whatever the class is called.
    pub(crate) namespace_id: String,
    /// Whether its storage is SQLite.
    pub(crate) sqlite: bool,
}

/// A cron trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Cron {
    pub(crate) cron: String,
    pub(crate) created_on: Timestamp,
    pub(crate) modified_on: Timestamp,
}

/// A version that serves a part of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Beside {
    pub(crate) version: Uuid,
    /// Of ten thousand requests.
    pub(crate) share: u32,
}

/// All requests, in the unit of [`Beside::share`].
pub(crate) const ALL_REQUESTS: u32 = 10_000;

/// One change of what serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deployment {
    pub(crate) id: Uuid,
    /// Counts from 1.
    pub(crate) number: u32,
    pub(crate) version: Uuid,
    /// As [`Script::beside`].
    #[serde(default)]
    pub(crate) beside: Option<Beside>,
    pub(crate) created_on: Timestamp,
    /// Who did it: the name of a token.
    pub(crate) author: String,
    /// `wrangler`, `berth`, `secret_change` …
    pub(crate) source: String,
    /// What they say about it.
    #[serde(default)]
    pub(crate) message: Option<String>,
}
