//! `build`: a Dockerfile and a folder become an image in the store, without any daemon.

use std::io::Read as _;

use agent::engine::Transfer;
use image::{BuildRequest, Platform, Reference, RunNetwork};

use super::args::BuildArgs;
use super::{Ended, output, session};
use crate::commands::build::workplace::Workplace;
use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// Longest Dockerfile from standard input.
const MOST_DOCKERFILE: u64 = 16 * 1024 * 1024;

pub(super) async fn run(args: BuildArgs, printer: &Printer) -> Ended {
    let tags = args.tag.iter().map(|tag| tag.parse::<Reference>()).collect::<Result<Vec<_>, _>>();
    let tags = tags.map_err(|error| CliError::attempt(Kind::Usage, "read a name", error))?;
    let host = Platform::host();
    if let Some(platform) = args.platform.as_deref().filter(|wanted| !host.is_named_by(wanted)) {
        let text = format!("failed to build for {platform}: this machine runs {host}");
        return Err(CliError::new(Kind::Usage, text));
    }
    // Held until the build is done: the Dockerfile from standard input is in it.
    let folder = tempfile::tempdir()
        .map_err(|error| CliError::failure("make a folder for the Dockerfile", error))?;
    let request = request(&args, folder.path())?;
    let workplace = Workplace::open(printer).await?;
    let step = session::run_step(&workplace.runtime(), Vec::new());
    let built = async {
        let images = session::images_with(&args.mirrors, step, Vec::new())?;
        let show = output::show(printer, args.quiet);
        session::told(show, move |messages| {
            let digest = images.build(&request, &tags, messages)?;
            let id = images.id_of(&digest)?;
            if args.push {
                for tag in &tags {
                    images.push(&tag.to_string(), &Transfer::default(), messages)?;
                }
            }
            Ok(id.to_string())
        })
        .await
    };
    let built = built.await;
    workplace.close().await;
    let id = built.map_err(|error| error.of_kind(Kind::Build))?;
    if let Some(path) = &args.iidfile {
        fs_err::write(path, &id)
            .map_err(|error| CliError::failure("write the image's id", error))?;
    }
    if args.quiet {
        printer.data(id);
    }
    Ok(0)
}

fn request(args: &BuildArgs, folder: &std::path::Path) -> Result<BuildRequest, CliError> {
    let dockerfile = match args.file.as_deref() {
        Some(file) if file.as_os_str() == "-" => {
            let mut text = Vec::new();
            let read = std::io::stdin().take(MOST_DOCKERFILE).read_to_end(&mut text);
            read.map_err(|error| CliError::failure("read the Dockerfile", error))?;
            let path = folder.join("Dockerfile");
            fs_err::write(&path, text)
                .map_err(|error| CliError::failure("keep the Dockerfile", error))?;
            path
        }
        Some(file) => file.to_owned(),
        None => args.context.join("Dockerfile"),
    };
    if args.context.as_os_str() == "-" {
        let text = "a build context from standard input is not supported";
        return Err(CliError::new(Kind::Usage, text).hint("name a folder"));
    }
    let mut request = BuildRequest::new(dockerfile, &args.context);
    for argument in &args.build_args {
        match argument.split_once('=') {
            Some((name, value)) => _ = request.build_args.insert(name.to_owned(), value.to_owned()),
            // Without a value it is the caller's own, if there is one.
            None => {
                if let Ok(value) = std::env::var(argument) {
                    request.build_args.insert(argument.clone(), value);
                }
            }
        }
    }
    request.target.clone_from(&args.target);
    request.no_cache = args.no_cache;
    request.always_pull = args.pull;
    request.network = match args.network.as_deref() {
        None | Some("default") => RunNetwork::Default,
        Some("none") => RunNetwork::None,
        Some("host") => RunNetwork::Host,
        Some(other) => {
            return Err(CliError::new(Kind::Usage, format!("`{other}` is no network of a build"))
                .hint("it is `default`, `none` or `host`"));
        }
    };
    request.allow_host_network = request.network == RunNetwork::Host;
    for label in &args.labels {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        request.labels.insert(key.to_owned(), value.to_owned());
    }
    request.pull.mirrors = args.mirrors.by_host();
    Ok(request)
}
