//! The Workers' addresses: plain, and with TLS where it is asked for.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent::Network;
use edge::{Acme, AcmeError, Certificates, Edge, Front, Serving};
use tokio_util::task::AbortOnDropHandle;

use super::{AccessLog, Routes};
use crate::args::PlatformArgs;
use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// Bound addresses that do not accept yet.
#[derive(Debug)]
pub(crate) struct Listeners {
    plain: Edge,
    tls: Option<(Edge, Certificates)>,
    redirect: bool,
    acme: Option<Acme>,
    /// The proxies that are believed.
    proxies: Vec<Network>,
    /// The ports of both.
    pub(crate) port: u16,
    pub(crate) tls_port: Option<u16>,
}

/// Both, serving.
#[derive(Debug)]
pub(crate) struct Served {
    plain: Serving,
    tls: Option<Serving>,
    /// Keeps the Workers' certificates.
    _certificates: Option<AbortOnDropHandle<()>>,
}

/// Listens for the Workers, at what was said by `option`.
pub(crate) async fn bind_workers(address: SocketAddr, option: &str) -> Result<Edge, CliError> {
    Edge::bind(address.ip(), address.port()).await.map_err(|error| {
        let in_use = matches!(error, edge::BindError::PortInUse { .. });
        not_bound("listen for the Workers", option, in_use, &error)
    })
}

/// What is wrong with an address, and what to do.
pub(crate) fn not_bound(
    attempt: &str,
    option: &str,
    in_use: bool,
    error: &dyn StdError,
) -> CliError {
    if in_use {
        CliError::attempt(Kind::Held, attempt, error)
            .hint(format!("choose another address with {option}, or stop what listens there"))
    } else {
        CliError::failure(attempt, error).hint(format!(
            "{option} wants an address of this machine, and a port that this user may listen on"
        ))
    }
}

/// Says how it goes with the certificates.
fn tell(printer: Printer) -> impl Fn(&str, Result<(), AcmeError>) + Send {
    move |host, outcome| match outcome {
        Ok(()) => printer.info(format_args!("A new certificate for {host}")),
        Err(error) => {
            let error = CliError::failure(&format!("get a certificate for {host}"), error);
            printer.warning(format_args!("{error}; it is tried again later"));
        }
    }
}

impl Listeners {
    pub(crate) async fn bind(
        args: &PlatformArgs,
        given: Option<&Certificates>,
        data: &Path,
    ) -> Result<Self, CliError> {
        let bind = async |address: SocketAddr, option: &str| {
            let edge = bind_workers(address, option).await?;
            let bound = edge.local_addr();
            let bound = bound.map_err(|error| CliError::failure("learn the address", error))?;
            Ok::<_, CliError>((edge, bound.port()))
        };
        let certificates = args.edge.certificates(given)?;
        let (plain, port) = bind(args.listen, "--listen").await?;
        let tls = match args.edge.listen_tls.zip(certificates) {
            Some((address, certificates)) => {
                Some((bind(address, "--listen-tls").await?, certificates))
            }
            None => None,
        };
        let tls_port = tls.as_ref().map(|((_, port), _)| *port);
        let tls = tls.map(|((edge, _), certificates)| (edge, certificates));
        let (redirect, acme) = (args.edge.redirect_to_tls, args.edge.acme(data));
        let proxies = args.edge.trusted_proxies.clone();
        Ok(Self { plain, tls, redirect, acme, proxies, port, tls_port })
    }

    pub(crate) fn serve(
        self,
        routes: Routes,
        log: Option<&AccessLog>,
        printer: &Printer,
    ) -> Result<Served, CliError> {
        let hosts = routes.hosts();
        let mut front = Front::new(Arc::new(move |head| routes.find(head)));
        if let Some(log) = log.cloned() {
            front = front.observed(Arc::new(move |event| log.tell(None, &event)));
        }
        if !self.proxies.is_empty() {
            let proxies = self.proxies;
            let is_one = move |address| proxies.iter().any(|network| network.contains(address));
            front = front.trusting(Arc::new(is_one));
        }
        let tls = match self.tls {
            Some((edge, certificates)) => {
                let front = front.clone().with_tls(&certificates);
                let front = front.map_err(|error| CliError::failure("serve TLS", error))?;
                let serving = edge.serve_sites(front);
                let told = tell(printer.clone());
                let kept = self.acme.map(|acme| acme.keep(&certificates, hosts, told));
                let kept = kept.transpose().map_err(|error| {
                    CliError::failure("get certificates", error)
                        .hint("--acme-directory and --acme-ca say whom to ask")
                })?;
                Some((serving, kept))
            }
            None => None,
        };
        let (tls, kept) = tls.unzip();
        if let Some(port) = self.tls_port.filter(|_| self.redirect) {
            front = front.redirecting(port);
        }
        Ok(Served { plain: self.plain.serve_sites(front), tls, _certificates: kept.flatten() })
    }
}

impl Served {
    /// Lets requests in flight finish for at most `grace`.
    pub(crate) async fn shutdown(self, grace: Duration) {
        let tls = async {
            if let Some(tls) = self.tls {
                tls.shutdown(grace).await;
            }
        };
        tokio::join!(self.plain.shutdown(grace), tls);
    }
}
