//! `berth serve --check`: whether it would start, line by line as `berth doctor` says it. Starts nothing
//! and leaves nothing.

use std::iter;
use std::net::SocketAddr;

use super::bind_api;
use crate::args::PlatformArgs;
use crate::commands::doctor::{self, Finding, Verdict};
use crate::error::{CliError, Kind};
use crate::printer::Printer;
use crate::serve::{Folders, Settings, bind_workers};

/// The exit code is that of the first line that is in the way.
pub(super) async fn run(settings: &Settings, printer: &Printer) -> Result<(), CliError> {
    let args = &settings.args;
    let data = args.place.data()?;
    // Each is held until both have been tried: they may be one and the same.
    let workers = bind_workers(args.listen, "--listen").await;
    let tls = match args.edge.listen_tls {
        Some(address) => Some((address, bind_workers(address, "--listen-tls").await)),
        None => None,
    };
    let api = bind_api(args, None).await;
    let mut tried = vec![
        ("certificate", certificate(args)),
        ("data directory", Folders::under(&data).check()),
        ("Workers", workers.map(|_| free(args.listen))),
        ("API", api.map(|_| free(args.api))),
    ];
    tried.extend(tls.map(|(address, tls)| ("Workers with TLS", tls.map(|_| free(address)))));
    let machine = doctor::findings(&data).await;
    let missing = machine.iter().filter(|finding| finding.verdict == Verdict::Missing);
    let wrong = tried.iter().filter_map(|(_, tried)| tried.as_ref().err());
    let in_the_way: Vec<Kind> =
        wrong.map(|error| error.kind).chain(missing.map(|_| Kind::Host)).collect();

    let settings = Finding::of("settings", &Ok(settings.describe()));
    let tried = tried.iter().map(|(name, tried)| Finding::of(name, tried));
    let findings: Vec<Finding> = iter::once(settings).chain(tried).chain(machine).collect();
    doctor::print(&findings, printer);
    match in_the_way.first() {
        None => Ok(()),
        Some(kind) => {
            let count = in_the_way.len();
            let s = if count == 1 { "" } else { "s" };
            Err(CliError::new(*kind, format!("{count} thing{s} in the way of `berth serve`")))
        }
    }
}

/// Whether clients may talk to the API in the way that was asked for.
fn certificate(args: &PlatformArgs) -> Result<String, CliError> {
    args.tls.check(args.api.ip())?;
    args.edge.check()?;
    args.edge.certificates(args.tls.certificates()?.as_ref())?;
    Ok(match args.tls.files() {
        [file] => format!("TLS with {}", file.display()),
        [first, ..] => {
            format!("TLS with {} and {} more", first.display(), args.tls.files().len() - 1)
        }
        [] if args.api.ip().is_loopback() => "none: the API is for this machine".to_owned(),
        [] => "none: plain HTTP, as it is asked for".to_owned(),
    })
}

fn free(address: SocketAddr) -> String {
    match address.port() {
        0 => format!("a free port of {}", address.ip()),
        _ => format!("{address} is free"),
    }
}
