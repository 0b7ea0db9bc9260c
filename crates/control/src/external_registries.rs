//! Registries of others: which are known, and the credentials they are asked with.

use http::StatusCode;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use store::Transaction;

use crate::containers::Containers;
use crate::envelope::Failure;
use crate::plan::RegistryAccess;
use crate::records::{
    ExternalRegistry, PrivateCredential, RegistryAuth, RegistryKind, SecretScope,
};
use crate::secret_stores::text_for;
use crate::state::{Read, State, bytes, key};
use crate::wire::RegistryView;

/// The user name by which Google's registries take a service account's key, in base64.
const GOOGLE_KEY: &str = "_json_key_base64";

/// The body of `POST /containers/registries`.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "RegistryWish")]
pub(crate) struct Wanted {
    domain: String,
    #[serde(default)]
    is_public: bool,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    auth: Option<WireAuth>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "RegistryAuth")]
struct WireAuth {
    public_credential: String,
    private_credential: WirePrivate,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "RegistryPassword")]
enum WirePrivate {
    Stored { store_id: String, secret_name: String },
    Own(String),
}

impl Containers {
    /// Remembers a registry; images of its host are pulled with its credentials from now on.
    ///
    /// # Errors
    /// It is known already, is our own, or its credentials make no sense.
    pub(crate) fn add_registry(
        &self,
        own: &[String],
        wanted: &Value,
    ) -> Result<ExternalRegistry, Failure> {
        let registry = parse(&self.state, own, wanted)?;
        if self.state.find_external_registry(&registry.domain)?.is_some() {
            let message = "IMAGE_REGISTRY_ALREADY_EXISTS";
            return Err(Failure::new(StatusCode::CONFLICT, 1000, message));
        }
        let key = key::external_registry(&registry.domain);
        let write = Transaction::new().if_absent(key.as_str()).put(key.as_str(), bytes(&registry));
        self.state.commit(&write)?;
        self.tell_registries();
        Ok(registry)
    }

    /// Forgets a registry with its credentials; what it was.
    ///
    /// # Errors
    /// It is not known.
    pub(crate) fn remove_registry(&self, domain: &str) -> Result<ExternalRegistry, Failure> {
        let found = self.state.find_external_registry(domain)?;
        let Read { value: registry, revision } = found
            .ok_or_else(|| Failure::new(StatusCode::NOT_FOUND, 1000, "IMAGE_REGISTRY_NOT_FOUND"))?;
        let key = key::external_registry(domain);
        let write = Transaction::new().if_unchanged(key.as_str(), Some(revision));
        self.state.commit(&write.delete(key.as_str()))?;
        self.tell_registries();
        Ok(registry)
    }

    /// Tells who pulls images with what. A registry whose secret is gone is asked without.
    pub(crate) fn tell_registries(&self) {
        match accesses(&self.state) {
            Ok(all) => self.platform.set_registries(all),
            Err(failure) => tracing::error!(?failure, "registries keep their old credentials"),
        }
    }
}

fn accesses(state: &State) -> Result<Vec<RegistryAccess>, Failure> {
    let mut all = Vec::new();
    for registry in state.external_registries()? {
        match access(state, &registry) {
            Ok(access) => all.extend(access),
            Err(failure) => {
                tracing::error!(
                    registry.domain,
                    ?failure,
                    "a registry is asked without credentials"
                );
            }
        }
    }
    Ok(all)
}

fn access(state: &State, registry: &ExternalRegistry) -> Result<Option<RegistryAccess>, Failure> {
    let Some(auth) = &registry.auth else { return Ok(None) };
    let password = match &auth.private_credential {
        PrivateCredential::Stored { store_id, secret_name } => {
            text_for(state, store_id, secret_name, SecretScope::Containers)?
                .ok_or_else(|| no_secret(store_id, secret_name))?
        }
        PrivateCredential::Own(sealed) => {
            let opened = state.sealer.open(&ExternalRegistry::place(&registry.domain), sealed);
            opened.map_err(|error| Failure::internal(error.to_string()))?
        }
    };
    let username = match registry.kind {
        RegistryKind::GoogleArtifactRegistry => GOOGLE_KEY.to_owned(),
        RegistryKind::DockerHub | RegistryKind::Basic => auth.public_credential.clone(),
    };
    Ok(Some(RegistryAccess { host: registry.domain.clone(), username, password }))
}

fn no_secret(store_id: &str, name: &str) -> Failure {
    invalid(format!(
        "the Secrets Store {store_id} has no secret \"{name}\" with the scope \"containers\""
    ))
}

fn invalid(why: impl std::fmt::Display) -> Failure {
    Failure::bad_request(format!("VALIDATE_INPUT: {why}"))
}

fn parse(state: &State, own: &[String], wanted: &Value) -> Result<ExternalRegistry, Failure> {
    let wanted: Wanted = serde_json::from_value(wanted.clone()).map_err(invalid)?;
    let Wanted { domain, is_public, kind, auth } = wanted;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    if domain.is_empty() || !domain.chars().all(allowed) {
        return Err(invalid(format!("\"{domain}\" is no host such as ghcr.io or localhost:5000")));
    }
    if own.contains(&domain) {
        let message = "IMAGE_REGISTRY_NOT_ALLOWED: this registry is the platform's own";
        return Err(Failure::bad_request(message));
    }
    let kind = match kind.as_deref() {
        None => RegistryKind::Basic,
        Some("DockerHub") => RegistryKind::DockerHub,
        Some("GAR") => RegistryKind::GoogleArtifactRegistry,
        Some("ECR") => {
            return Err(invalid(
                "`berth serve` does not ask AWS for ECR's passwords, which last for twelve hours; let a \
                 credential helper keep them in Docker's config.json of the user who runs it",
            ));
        }
        Some(other) => return Err(invalid(format!("the kind \"{other}\" is not known"))),
    };
    let auth = match (is_public, auth) {
        (true, None) => None,
        (false, Some(auth)) => Some(parse_auth(state, &domain, auth)?),
        (true, Some(_)) => return Err(invalid("a public registry has no `auth`")),
        (false, None) => return Err(invalid("`auth` is missing")),
    };
    let registry = ExternalRegistry { domain, kind, auth, created_at: Timestamp::now() };
    // A secret that is not there would be missed at the first pull.
    access(state, &registry)?;
    Ok(registry)
}

fn parse_auth(state: &State, domain: &str, auth: WireAuth) -> Result<RegistryAuth, Failure> {
    let WireAuth { public_credential, private_credential } = auth;
    if public_credential.is_empty() {
        return Err(invalid("auth.public_credential is empty"));
    }
    let private_credential = match private_credential {
        WirePrivate::Stored { store_id, secret_name } => {
            PrivateCredential::Stored { store_id, secret_name }
        }
        WirePrivate::Own(text) if text.is_empty() => {
            return Err(invalid("auth.private_credential is empty"));
        }
        WirePrivate::Own(text) => {
            PrivateCredential::Own(state.sealer.seal(&ExternalRegistry::place(domain), &text))
        }
    };
    Ok(RegistryAuth { public_credential, private_credential })
}

/// A registry as clients are shown it: without what nobody else may know.
pub(crate) fn shown(registry: &ExternalRegistry) -> RegistryView {
    let auth = registry.auth.as_ref();
    let stored = auth.and_then(|auth| match &auth.private_credential {
        PrivateCredential::Stored { store_id, secret_name } => {
            Some(format!("{store_id}:{secret_name}"))
        }
        PrivateCredential::Own(_) => None,
    });
    RegistryView {
        domain: registry.domain.clone(),
        created_at: registry.created_at,
        is_public: auth.is_none(),
        kind: match registry.kind {
            RegistryKind::DockerHub => Some("DockerHub"),
            RegistryKind::GoogleArtifactRegistry => Some("GAR"),
            RegistryKind::Basic => None,
        },
        public_credential: auth.map(|auth| auth.public_credential.clone()),
        secrets_store_ref: stored,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake::state;
    use crate::secret_stores::{NewSecret, create_secrets, create_store};

    fn parsed(state: &State, wanted: Value) -> Result<ExternalRegistry, Failure> {
        parse(state, &["berth.example".to_owned()], &wanted)
    }

    #[test]
    fn credentials_come_from_the_store_or_are_kept() {
        let (state, _folder) = state();
        let store = create_store(&state, "s").unwrap().id;
        let secret = NewSecret {
            name: "hub".into(),
            value: "hush".into(),
            scopes: vec![SecretScope::Containers],
            comment: None,
        };
        create_secrets(&state, &store, vec![secret]).unwrap();
        let wanted = json!({"domain": "docker.io", "is_public": false, "kind": "DockerHub",
            "auth": {"public_credential": "me",
                "private_credential": {"store_id": store, "secret_name": "hub"}}});
        let registry = parsed(&state, wanted).unwrap();
        let given = access(&state, &registry).unwrap().unwrap();
        assert_eq!((&*given.username, &*given.password), ("me", "hush"));
        assert_eq!(shown(&registry).secrets_store_ref, Some(format!("{store}:hub")));

        let wanted = json!({"domain": "eu-docker.pkg.dev", "kind": "GAR",
            "auth": {"public_credential": "a@b", "private_credential": "a2V5"}});
        let registry = parsed(&state, wanted).unwrap();
        assert!(!serde_json::to_string(&registry).unwrap().contains("a2V5"));
        let given = access(&state, &registry).unwrap().unwrap();
        assert_eq!((&*given.username, &*given.password), (GOOGLE_KEY, "a2V5"));
        assert!(!format!("{given:?}").contains("a2V5"));
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let (state, _folder) = state();
        let auth = json!({"public_credential": "a", "private_credential": "b"});
        let none = json!({"public_credential": "a",
            "private_credential": {"store_id": "s", "secret_name": "gone"}});
        for (wanted, text) in [
            (json!({"domain": "a.dkr.ecr.b.amazonaws.com", "kind": "ECR", "auth": auth}), "ECR"),
            (json!({"domain": "berth.example", "auth": auth}), "NOT_ALLOWED"),
            (json!({"domain": "https://ghcr.io", "auth": auth}), "no host"),
            (json!({"domain": "ghcr.io"}), "`auth` is missing"),
            (json!({"domain": "ghcr.io", "kind": "X", "auth": auth}), "\"X\""),
            (json!({"domain": "ghcr.io", "auth": none}), "no secret \"gone\""),
            (json!({"domain": "ghcr.io", "is_public": true, "auth": auth}), "public"),
        ] {
            let failure = parsed(&state, wanted).unwrap_err();
            assert!(failure.message().contains(text), "{failure:?}");
        }
        assert!(parsed(&state, json!({"domain": "ghcr.io", "is_public": true})).is_ok());
    }
}
