//! `berth registry serve`: the registry over this machine's images, until it is told to stop.

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use control::{Access, Api, ApiConfig};
use fs_err as fs;
use http_body_util::BodyExt as _;
use image::{ImageStore, PullOptions};
use model::InstanceType;
use registry::{BindError, Credential, Listener, Options, Other, Registry, SigningKey};

use super::{api_token, home, key};
use crate::args::{ServeArgs, follow, listener_tls};
use crate::commands::snapshots::images_in_use;
use crate::dev::signals::stop_token;
use crate::error::{CliError, Kind};
use crate::paths;
use crate::printer::Printer;

/// Requests in flight have this long when it is told to stop; an upload that is cut can be resumed.
const GRACE: Duration = Duration::from_secs(30);

pub(crate) async fn run(args: ServeArgs, printer: &Printer) -> Result<(), CliError> {
    check(&args)?;
    let home = home(&args.place);
    fs::create_dir_all(home.join("registry"))
        .map_err(|error| CliError::failure("make the registry's folder", error))?;
    let key = key(&args.place)?;
    let _lock = lock(&home.join("registry/lock"))?;
    let scheme = args.tls.scheme();
    let certificates = args.tls.certificates()?;
    let _followed = follow(certificates.as_ref(), printer);
    let listener = Listener::bind(args.listen, listener_tls(certificates.as_ref())?).await;
    let listener = listener.map_err(|error| not_bound(&error))?;
    let address =
        listener.local_addr().map_err(|error| CliError::failure("learn the address", error))?;
    let hosts = hosts(address, &args.hosts);
    let store = ImageStore::open(paths::Shared::under(&home).images)
        .map_err(|error| CliError::failure("open the image store", error))?;
    let registry = Registry::new(&store, &hosts, options(&args, key.clone()))
        .map_err(|error| CliError::failure("open the repositories", error))?;
    let stop = stop_token()?;
    let api = args.api.then(|| api(&args, &key, &hosts));
    let serving = listener.serve(registry, api);
    printer.data(format_args!("Registry on {scheme}://{address}"));
    if args.api {
        printer.data(format_args!("API on {scheme}://{address}/client/v4"));
    }
    if !args.anonymous {
        printer.info(format_args!(
            "Log in as v1 with what `berth registry credentials --pull --push` prints; \
             repositories are {address}/{}/…",
            args.place.account
        ));
    }
    stop.cancelled().await;
    printer.info("Stopping: requests in flight are finished…");
    if !serving.shutdown(GRACE).await {
        printer.warning("some requests were cut off; their uploads can be resumed");
    }
    Ok(())
}

/// What would let strangers in is refused.
fn check(args: &ServeArgs) -> Result<(), CliError> {
    let ip = args.listen.ip();
    if args.anonymous && !ip.is_loopback() {
        let text = format!("--anonymous is for loopback, and {ip} can be reached from elsewhere");
        return Err(
            CliError::new(Kind::Usage, text).hint("leave --anonymous out, or listen on 127.0.0.1")
        );
    }
    args.tls.check(ip)
}

/// One registry works on a folder: uploads have one writer.
fn lock(path: &std::path::Path) -> Result<File, CliError> {
    let failed = |error| CliError::failure("lock the registry's folder", error);
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(failed)?.into_parts().0;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let text = format!("another registry serves {}", path.display());
            Err(CliError::new(Kind::Held, text).hint("stop it, or give this one its own --data"))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn not_bound(error: &BindError) -> CliError {
    match error {
        BindError::InUse { .. } => CliError::new(Kind::Held, error.to_string())
            .hint("choose another with --listen, or stop what listens there"),
        error => CliError::failure("listen", error),
    }
}

/// Names by which clients on this machine, and those told so, know the registry.
pub(crate) fn hosts(address: SocketAddr, named: &[String]) -> Vec<String> {
    let port = address.port();
    let mut hosts = vec![address.to_string()];
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        hosts.extend(["localhost", "127.0.0.1", "[::1]"].map(|name| format!("{name}:{port}")));
    }
    hosts.extend(named.iter().cloned());
    hosts.sort();
    hosts.dedup();
    hosts
}

fn options(args: &ServeArgs, key: SigningKey) -> Options {
    Options {
        key,
        anonymous: args.anonymous,
        quota: args.quota,
        image_limit: InstanceType::Standard4.limits().disk_bytes(),
        immutable_tags: args.immutable_tags,
        mirrors: args.proxies.iter().cloned().collect(),
        pull: PullOptions::default(),
        roots: Arc::new(images_in_use),
    }
}

/// The API that wrangler asks for credentials.
fn api(args: &ServeArgs, key: &SigningKey, hosts: &[String]) -> Other {
    let api = Api::new(ApiConfig {
        account: args.place.account.clone(),
        registry_hosts: hosts.to_vec(),
        registry: Arc::new(Issuer(key.clone())),
        access: Access::One(api_token(key)),
        serving: None,
    });
    Arc::new(move |request| {
        let api = api.clone();
        Box::pin(async move {
            api.answer(request).await.map(|body| body.map_err(|never| match never {}).boxed())
        })
    })
}

/// The registry's credentials, for the API.
pub(crate) struct Issuer(pub(crate) SigningKey);

impl control::RegistryCredentials for Issuer {
    fn issue(
        &self,
        account: &str,
        permissions: &[control::Permission],
        minutes: u32,
    ) -> control::RegistryCredential {
        let own = |permission: &control::Permission| match permission {
            control::Permission::Pull => registry::Permission::Pull,
            control::Permission::Push => registry::Permission::Push,
        };
        let permissions: Vec<_> = permissions.iter().map(own).collect();
        let Credential { username, password } =
            Credential::issue(&self.0, account, &permissions, minutes);
        control::RegistryCredential { username: username.to_owned(), password }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_on_loopback_is_known_by_each_of_its_names() {
        let hosts = hosts("127.0.0.1:5000".parse().unwrap(), &["r.example".to_owned()]);
        assert_eq!(hosts, ["127.0.0.1:5000", "[::1]:5000", "localhost:5000", "r.example"]);
        let hosts = super::hosts("192.0.2.1:443".parse().unwrap(), &[]);
        assert_eq!(hosts, ["192.0.2.1:443"]);
    }
}
