//! `/secrets_store/…`.

use http::Response;

use super::{Asked, Deployed, body};
use crate::envelope::{Body, Failure, page, success};
use crate::records::{SecretStore, StoredSecret};
use crate::route::SecretStoresRoute;
use crate::secret_stores as stores;
use crate::wire::{NewStore, StoreView, StoredSecretView};

pub(super) async fn answer(
    deployed: &Deployed,
    account: &str,
    route: SecretStoresRoute,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    let state = &deployed.workers.state;
    match route {
        SecretStoresRoute::Stores => {
            let all = state.secret_stores()?;
            Ok(page(&all.iter().map(|one| store(account, one)).collect::<Vec<_>>()))
        }
        SecretStoresRoute::CreateStore => {
            let NewStore { name } = body::json(asked.body).await?;
            Ok(success(&store(account, &stores::create_store(state, &name)?)))
        }
        SecretStoresRoute::DeleteStore(id) => {
            Ok(success(&store(account, &stores::delete_store(state, &id)?)))
        }
        SecretStoresRoute::Secrets(id) => {
            state.secret_store(&id)?;
            let search = asked.query("search").unwrap_or_default();
            let all = state.stored_secrets(&id)?;
            let found = all.iter().filter(|one| one.name.contains(&search));
            Ok(page(&found.map(secret).collect::<Vec<_>>()))
        }
        SecretStoresRoute::CreateSecrets(id) => {
            let wanted = body::json(asked.body).await?;
            let made = stores::create_secrets(state, &id, wanted)?;
            for secret in &made {
                deployed.follow_secret(secret).await;
            }
            Ok(page(&made.iter().map(secret).collect::<Vec<_>>()))
        }
        SecretStoresRoute::Secret(id, one) => {
            Ok(success(&secret(&state.stored_secret(&id, &one)?.value)))
        }
        SecretStoresRoute::ChangeSecret(id, one) => {
            let change = body::json(asked.body).await?;
            let changed = stores::change_secret(state, &id, &one, change)?;
            deployed.follow_secret(&changed).await;
            Ok(success(&secret(&changed)))
        }
        SecretStoresRoute::DuplicateSecret(id, one) => {
            let copy = body::json(asked.body).await?;
            let made = stores::duplicate_secret(state, &id, &one, copy)?;
            deployed.follow_secret(&made).await;
            Ok(success(&secret(&made)))
        }
        SecretStoresRoute::DeleteSecret(id, one) => {
            let gone = stores::delete_secret(state, &id, &one)?;
            deployed.follow_secret(&gone).await;
            Ok(success(&secret(&gone)))
        }
    }
}

impl Deployed {
    /// What uses a secret goes on with what it is now.
    async fn follow_secret(&self, secret: &StoredSecret) {
        self.workers.follow_secret(&secret.store_id, &secret.name).await;
        self.containers.tell_registries();
    }
}

fn store(account: &str, store: &SecretStore) -> StoreView {
    StoreView {
        id: store.id.clone(),
        account_id: account.to_owned(),
        name: store.name.clone(),
        created: store.created,
        modified: store.modified,
    }
}

/// A secret, without its text.
fn secret(secret: &StoredSecret) -> StoredSecretView {
    StoredSecretView {
        id: secret.id.clone(),
        store_id: secret.store_id.clone(),
        name: secret.name.clone(),
        comment: secret.comment.clone().unwrap_or_default(),
        scopes: secret.scopes.clone(),
        status: "active",
        created: secret.created,
        modified: secret.modified,
    }
}
