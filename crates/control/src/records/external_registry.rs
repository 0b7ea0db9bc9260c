//! Registries of others, with what they ask who pulls.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::seal::Sealed;

/// A registry that images are pulled from with credentials, or expressly without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExternalRegistry {
    /// Its host as it stands in names of images.
    pub(crate) domain: String,
    pub(crate) kind: RegistryKind,
    /// `None` for a registry that asks nobody.
    pub(crate) auth: Option<RegistryAuth>,
    pub(crate) created_at: Timestamp,
}

/// Whose registry it is: they take different credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RegistryKind {
    DockerHub,
    /// Google Artifact Registry, by the key of a service account.
    #[serde(rename = "GAR")]
    GoogleArtifactRegistry,
    /// Any other one that takes a name and a password.
    Basic,
}

/// What it is asked with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RegistryAuth {
    /// The user's name, or the service account's address.
    pub(crate) public_credential: String,
    pub(crate) private_credential: PrivateCredential,
}

/// The password, or the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PrivateCredential {
    /// A secret of the Secrets Store.
    Stored { store_id: String, secret_name: String },
    /// Its own text.
    Own(Sealed),
}

impl ExternalRegistry {
    /// Where its own text may be read: it is encrypted for that place.
    pub(crate) fn place(domain: &str) -> String {
        format!("registries/{domain}")
    }
}
