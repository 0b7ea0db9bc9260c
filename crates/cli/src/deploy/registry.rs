//! The platform's registry: credentials for it that last for a while, and what is done with them.

use image::{
    Credentials, DOCKER_HUB, Digest, ImageStore, PushOptions, Reference, RegistryError,
    RemoteRegistry,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;

use crate::api::{Client, Request, Target, failed};
use crate::dev::progress::ImageProgress;
use crate::error::{CliError, Kind};

/// How long the credentials last; a push that goes on longer keeps its own alive.
const MINUTES: u32 = 60;

/// The platform's registry, of one account.
pub(crate) struct PlatformRegistry {
    host: String,
    account: String,
    options: PushOptions,
}

#[derive(Deserialize)]
struct Granted {
    username: String,
    password: String,
}

impl PlatformRegistry {
    /// Asks for credentials with these permissions: `pull`, `push`.
    ///
    /// # Errors
    /// The platform does not give them.
    pub(crate) async fn open(
        client: &Client,
        target: &Target,
        permissions: &[&str],
    ) -> Result<Self, CliError> {
        let host = utf8_percent_encode(&target.registry, NON_ALPHANUMERIC);
        let path = client.path(&format!("/containers/registries/{host}/credentials"));
        let wanted = json!({"expiration_minutes": MINUTES, "permissions": permissions});
        let granted: Granted = client
            .ask(Request::post(path).json(&wanted))
            .await
            .map_err(failed(&format!("ask for credentials of the registry {}", target.registry)))?;
        let mut options = PushOptions::default();
        let Granted { username, password } = granted;
        options.credentials.insert(target.registry.clone(), Credentials { username, password });
        // Who is asked without TLS knowingly serves the registry without it, too.
        if target.is_plain_http() {
            options.insecure.insert(target.registry.clone());
        }
        let (host, account) = (target.registry.clone(), client.account().to_owned());
        Ok(Self { host, account, options })
    }

    /// A repository of the account.
    pub(crate) fn repository(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.host, self.account)
    }

    /// What an image is called there that has this name here.
    ///
    /// # Errors
    /// It is another registry's, or named by its digest.
    pub(crate) fn own_name(&self, name: &Reference) -> Result<Reference, CliError> {
        own_name(name, &self.host, &self.account)
    }

    /// Gives an image that is here a name of the registry's, and pushes it. Returns the digest that it
    /// has there.
    ///
    /// # Errors
    /// The image is not here, the registry does not take it, or somebody interrupted.
    pub(crate) async fn push(
        &self,
        store: &ImageStore,
        name: Reference,
        image: Digest,
        progress: ImageProgress,
    ) -> Result<Digest, CliError> {
        let (store, options) = (store.clone(), self.options.clone());
        let push = move || push(&store, &name, &image, &options, &progress);
        let pushed = tokio::task::spawn_blocking(push).await;
        pushed.map_err(|error| CliError::failure("push an image", error))?
    }

    /// What the registry answers.
    ///
    /// # Errors
    /// "failed to {attempt}": it cannot be asked, or says no.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        attempt: &str,
        question: impl FnOnce(&RemoteRegistry) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, CliError> {
        let (host, options) = (self.host.clone(), self.options.clone());
        let ask = move || question(&RemoteRegistry::new(&host, &options)?);
        let answer = tokio::task::spawn_blocking(ask).await;
        let answer = answer.map_err(|error| CliError::failure(attempt, error))?;
        answer.map_err(|error| {
            let missing = error.is_missing();
            let error = CliError::failure(attempt, error);
            match missing {
                true => error.hint("`berth containers images list` shows what is there"),
                false => error.hint(format!("check that {} is the platform's registry", self.host)),
            }
        })
    }
}

fn push(
    store: &ImageStore,
    name: &Reference,
    image: &Digest,
    options: &PushOptions,
    progress: &ImageProgress,
) -> Result<Digest, CliError> {
    store.tag(name, image).map_err(|error| CliError::failure("name an image", error))?;
    store.push(name, options, progress).map_err(|error| {
        if error.is_cancelled() {
            return CliError::interrupted();
        }
        let hint = error.hint();
        let error = CliError::failure("push an image", error);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}

/// `app:1`, and `<host>/<account>/app:1` itself, are the latter.
fn own_name(name: &Reference, host: &str, account: &str) -> Result<Reference, CliError> {
    let Some(tag) = name.tag().filter(|_| name.digest().is_none()) else {
        let text = format!("{} is named by its digest", name.familiar());
        return Err(CliError::new(Kind::Usage, text).hint("name it by a tag, such as app:1"));
    };
    let repository = match name.registry() {
        registry if registry == host => {
            let repository = name.repository();
            let below = repository.strip_prefix(account).and_then(|rest| rest.strip_prefix('/'));
            below.unwrap_or(repository).to_owned()
        }
        DOCKER_HUB => name.familiar_repository(),
        other => {
            let text = format!("{} belongs to the registry {other}", name.familiar());
            return Err(CliError::new(Kind::Usage, text)
                .hint("`berth images push` pushes it there, `berth images tag` renames it"));
        }
    };
    let own = format!("{host}/{account}/{repository}:{tag}").parse::<Reference>();
    own.map_err(|error| CliError::attempt(Kind::Usage, "name an image of the registry", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Result<String, CliError> {
        let name = text.parse().unwrap();
        own_name(&name, "localhost:8788", "local").map(|name| name.to_string())
    }

    #[test]
    fn a_local_name_is_one_below_the_account() {
        for (here, there) in [
            ("app:1", "app:1"),
            ("app", "app:latest"),
            ("owner/app:1", "owner/app:1"),
            ("localhost:8788/local/app:1", "app:1"),
            ("localhost:8788/app:1", "app:1"),
            ("localhost:8788/local2/app:1", "local2/app:1"),
        ] {
            assert_eq!(named(here).unwrap(), format!("localhost:8788/local/{there}"), "{here}");
        }
    }

    #[test]
    fn images_of_others_and_digests_have_no_name_there() {
        let digest = format!("app@sha256:{}", "0".repeat(64));
        for wrong in ["ghcr.io/owner/app:1", &digest] {
            let error = named(wrong).unwrap_err();
            assert_eq!(error.kind, Kind::Usage, "{error}");
        }
    }
}
