//! Secrets of the Secrets Store that Workers bind.

use super::Workers;
use crate::envelope::Failure;
use crate::records::{BindingKind, Script, SecretScope, Version};
use crate::secret_stores;

impl Workers {
    /// The text of a secret that a Worker binds; `None` if it is gone.
    pub(super) fn stored_secret(
        &self,
        store_id: &str,
        name: &str,
    ) -> Result<Option<String>, Failure> {
        secret_stores::text_for(&self.state, store_id, name, SecretScope::Workers)
    }

    /// Whether the secrets that a version binds are there, for Workers.
    pub(super) fn check_stored_secrets(&self, version: &Version) -> Result<(), Failure> {
        for binding in &version.bindings {
            let BindingKind::StoredSecret { store_id, secret_name } = &binding.kind else {
                continue;
            };
            if self.stored_secret(store_id, secret_name)?.is_none() {
                return Err(Failure::validation(format!(
                    "the binding \"{}\" is of the secret \"{secret_name}\" of the Secrets Store \
                     {store_id}, which has none of that name with the scope \"workers\": make it with \
                     `wrangler secrets-store secret create {store_id} --name {secret_name} --scopes \
                     workers --remote`",
                    binding.name
                )));
            }
        }
        Ok(())
    }

    /// Lets the Workers that bind a secret find what it is now. One that does not follow serves on as
    /// before, and is told of.
    pub(crate) async fn follow_secret(&self, store_id: &str, name: &str) {
        let scripts = match self.state.scripts() {
            Ok(scripts) => scripts,
            Err(failure) => return tracing::error!(?failure, "Workers keep an old secret"),
        };
        for script in scripts {
            let _turn = self.turns.of(&script.name).await;
            let followed = match self.binds_secret(&script, store_id, name) {
                Ok(true) => self.run(&script.name).await,
                other => other.map(drop),
            };
            if let Err(failure) = followed {
                tracing::error!(script = script.name, ?failure, "a Worker keeps an old secret");
            }
        }
    }

    /// Whether what serves of a Worker binds a secret.
    fn binds_secret(&self, script: &Script, store: &str, name: &str) -> Result<bool, Failure> {
        let beside = script.beside.map(|beside| beside.version);
        for version in script.current.into_iter().chain(beside) {
            let version = self.state.version(script, version)?;
            let mut bindings = version.bindings.iter();
            if bindings.any(|binding| match &binding.kind {
                BindingKind::StoredSecret { store_id, secret_name } => {
                    store_id == store && secret_name == name
                }
                _ => false,
            }) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
