//! `berth serve`: the platform on this machine, until it is told to stop.

mod check;
mod running;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use clap::ArgMatches;
use control::{
    Access, Api, ApiConfig, Scope, Sealer, Serving, SshHostKey, Tokens, planned_applications,
};
use edge::Certificates;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use image::{ImageStore, PullOptions};
use model::InstanceType;
use project::config::Secret;
use registry::{Listener, Options, Other, Registry, SigningKey, TlsConfig};
use store::{Sqlite, Store};
use tokio::sync::watch;

use running::Running;

use super::registry::{Issuer, hosts};
use crate::args::{PlatformArgs, follow, listener_tls};
use crate::backup;
use crate::commands::doctor::{self, Needs};
use crate::commands::snapshots::images_in_use;
use crate::dev::session::install_toolchain;
use crate::dev::signals::stop_token;
use crate::docker;
use crate::error::{CliError, Kind};
use crate::printer::{Printer, style, styled};
use crate::serve::{
    AccessLog, Address, Folders, Listeners, Node, NodeConfig, Routes, Settings, default_file,
    not_bound,
};

/// `given` is the command line that `args` were parsed from.
pub(crate) async fn run(
    args: PlatformArgs,
    given: &ArgMatches,
    printer: &Printer,
) -> Result<(), CliError> {
    if args.print_config {
        printer.data(default_file().trim_end());
        return Ok(());
    }
    let is_check = args.check;
    let settings = Settings::gather(args, given)?;
    if is_check {
        return check::run(&settings, printer).await;
    }
    if let Some(file) = &settings.file {
        printer.info(format_args!("Settings of {}", file.display()));
    }
    serve(settings.args, printer).await
}

async fn serve(args: PlatformArgs, printer: &Printer) -> Result<(), CliError> {
    args.tls.check(args.api.ip())?;
    args.edge.check()?;
    doctor::require(Needs::WorkerAndContainers)?;
    let folders = Folders::under(&args.place.data()?);
    folders.make()?;
    let _held = folders.hold()?;
    backup::finish(&folders)?;
    let stop = stop_token()?;
    let certificates = args.tls.certificates()?;
    let _followed = follow(certificates.as_ref(), printer);
    let edge = Listeners::bind(&args, certificates.as_ref(), &folders.data).await?;
    let (listener, addresses) = bind(&args, &edge, certificates.as_ref()).await?;
    let log = args.edge.access_log.as_deref().map(|path| AccessLog::open(path, printer));
    let (log, log_writer) = log.transpose()?.unzip();
    let toolchain = stop.run_until_cancelled(install_toolchain(printer, &folders.shared)).await;
    let toolchain = toolchain.ok_or_else(CliError::interrupted)??;
    let store = records(&folders)?;
    let tokens = Tokens::new(Arc::clone(&store));
    let routes = Routes::default();
    let config = NodeConfig {
        folders: folders.clone(),
        workerd: toolchain.workerd.clone(),
        applications: planned_applications(&store, args.stop_grace)
            .map_err(|error| CliError::new(Kind::Failure, error))?,
        egress_allow: args.egress_allow.clone(),
        mirrors: args.mirrors.by_host(),
        concurrency: args.edge.worker_concurrency.map(NonZeroUsize::get),
        log: log.clone(),
    };
    let node = Arc::new(Node::open(config, routes.clone(), printer).await?);

    let key = SigningKey::open(&folders.data.join("registry/key"))
        .map_err(|error| CliError::failure("open the registry's signing key", error))?;
    let hosts = hosts(addresses.api, &args.hosts);
    let (sealer, ssh_host_key) = keys(&folders)?;
    let access = Access::Tokens(tokens.clone());
    let platform = Serving {
        store,
        sealer: Arc::new(sealer),
        ssh_host_key,
        blobs: folders.blobs.clone(),
        platform: node.clone(),
        domain: args.domain.clone(),
        port: addresses.edge,
        stop_grace: args.stop_grace,
        limits: args.limits.of_account(),
    };
    let api = api(&args, &hosts, key.clone(), access, platform);
    api.remove_leftovers();
    let registry = registry(&folders, &hosts, key, args.limits.images)?;
    let (ready, is_ready) = watch::channel(false);
    let is_tls = args.tls.scheme() == "https";
    let serving = listener.serve(registry, Some(other(api.clone(), is_ready, is_tls)));
    api.start().await.map_err(|error| CliError::new(Kind::Failure, error))?;
    let edge = edge.serve(routes, log.as_ref(), printer)?;
    address(addresses.api, &args).write(&folders)?;
    ready.send_replace(true);
    say_where(&args, &addresses, &tokens, printer)?;

    let running = Running {
        folders: &folders,
        api: serving,
        edge,
        node,
        log: log_writer,
        ready,
        stop_grace: args.stop_grace,
        stop_instances: args.stop_instances,
    };
    running.until_its_end(&stop, printer).await
}

fn records(folders: &Folders) -> Result<Arc<dyn Store>, CliError> {
    let store = Sqlite::open(&folders.database)
        .map_err(|error| CliError::failure("open the records", error))?;
    Ok(Arc::new(store))
}

fn keys(folders: &Folders) -> Result<(Sealer, SshHostKey), CliError> {
    let sealer = Sealer::open_with(&folders.secrets_key()?)
        .map_err(|error| CliError::failure("open the secrets", error))?;
    let ssh_host_key = SshHostKey::with_file(&folders.ssh_host_key)
        .map_err(|error| CliError::failure("open the SSH host key", error))?;
    Ok((sealer, ssh_host_key))
}

fn api(
    args: &PlatformArgs,
    hosts: &[String],
    key: SigningKey,
    access: Access,
    platform: Serving,
) -> Api {
    Api::new(ApiConfig {
        account: args.place.account.clone(),
        registry_hosts: hosts.to_vec(),
        registry: Arc::new(Issuer(key)),
        access,
        serving: Some(platform),
    })
}

async fn bind(
    args: &PlatformArgs,
    edge: &Listeners,
    certificates: Option<&Certificates>,
) -> Result<(Listener, Addresses), CliError> {
    let listener = bind_api(args, listener_tls(certificates)?).await?;
    let unknown = |error| CliError::failure("learn the address", error);
    let addresses = Addresses {
        edge: edge.port,
        edge_tls: edge.tls_port,
        api: listener.local_addr().map_err(unknown)?,
    };
    Ok((listener, addresses))
}

async fn bind_api(args: &PlatformArgs, tls: Option<Arc<TlsConfig>>) -> Result<Listener, CliError> {
    Listener::bind(args.api, tls).await.map_err(|error| {
        let in_use = matches!(error, registry::BindError::InUse { .. });
        not_bound("listen for the API", "--api", in_use, &error)
    })
}

/// What was bound.
struct Addresses {
    /// The port of the Workers, and the one with TLS.
    edge: u16,
    edge_tls: Option<u16>,
    api: SocketAddr,
}

fn registry(
    folders: &Folders,
    hosts: &[String],
    key: SigningKey,
    quota: u64,
) -> Result<Registry, CliError> {
    let store = ImageStore::open(&folders.shared.images)
        .map_err(|error| CliError::failure("open the image store", error))?;
    let options = Options {
        key,
        anonymous: false,
        quota,
        image_limit: InstanceType::Standard4.limits().disk_bytes(),
        immutable_tags: false,
        mirrors: BTreeMap::new(),
        pull: PullOptions::default(),
        roots: Arc::new(images_in_use),
    };
    Registry::new(&store, hosts, options)
        .map_err(|error| CliError::failure("open the repositories", error))
}

/// Everything at the API's address that is not the registry.
fn other(api: Api, ready: watch::Receiver<bool>, is_tls: bool) -> Other {
    Arc::new(move |mut request| {
        if is_tls {
            request.extensions_mut().insert(control::Tls);
        }
        let (api, is_ready) = (api.clone(), *ready.borrow());
        Box::pin(async move {
            let get = request.method() == Method::GET;
            let response = match request.uri().path() {
                "/healthz" if get => plain(StatusCode::OK, "ok\n"),
                "/readyz" if get && is_ready => plain(StatusCode::OK, "ready\n"),
                "/readyz" if get => plain(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
                _ => api.answer(request).await,
            };
            response.map(|body| body.map_err(|never| match never {}).boxed())
        })
    })
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<bytes::Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

/// Where everything is; at the first start, the token that may do everything.
fn say_where(
    args: &PlatformArgs,
    addresses: &Addresses,
    tokens: &Tokens,
    printer: &Printer,
) -> Result<(), CliError> {
    let Addresses { edge, edge_tls, api } = addresses;
    let failed = |error| CliError::failure("make the first token", error);
    if tokens.list().map_err(failed)?.is_empty() {
        let (_, text) = tokens.create("admin", &[Scope::Admin], None).map_err(failed)?;
        printer.info("Put this into your project's .env; the token is shown this once:");
        for line in address(*api, args).with_token(Secret::new(text)).dot_env() {
            printer.data(line);
        }
        if let Some(line) = docker::name::dot_env_line(&args.place.data()?) {
            printer.data(line);
        }
    }
    printer.data(format_args!("API and registry on {}://{api}", args.tls.scheme()));
    if let Some(port) = edge_tls {
        printer.data(format_args!("Workers with TLS on https://<worker>.{}:{port}", args.domain));
    }
    printer.data(format_args!(
        "{} {}",
        styled(style::SUCCESS, "Ready on"),
        styled(style::SUCCESS, format_args!("http://<worker>.{}:{edge}", args.domain))
    ));
    Ok(())
}

/// Where clients reach the API and the registry.
fn address(api: SocketAddr, args: &PlatformArgs) -> Address {
    let host = args.hosts.first().cloned().unwrap_or_else(|| api.to_string());
    // Docker's clients take `localhost` without TLS.
    let registry = match &*args.hosts {
        [] if api.ip().is_loopback() => format!("localhost:{}", api.port()),
        _ => host.clone(),
    };
    let url = format!("{}://{host}/client/v4", args.tls.scheme());
    Address { url, account: args.place.account.clone(), registry }
}
