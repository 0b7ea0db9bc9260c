//! `berth docker serve`: the Engine API on a socket, until somebody stops it.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use agent::Network;
use agent::engine::{Engine, EngineConfig};

use super::args::ServeArgs;
use super::session;
use crate::dev::containers::placement;
use crate::dev::lock::Lock;
use crate::dev::signals;
use crate::error::{CliError, Kind};
use crate::paths;
use crate::printer::Printer;

/// The engine's folder in `BERTH_HOME`.
const FOLDER: &str = "docker";
/// Sandboxes kept ready.
const PARKED: usize = 4;
/// What containers get between SIGTERM and SIGKILL when this ends.
const GRACE: Duration = Duration::from_secs(10);

pub(super) async fn run(args: &ServeArgs, printer: &Printer) -> Result<(), CliError> {
    let stop = signals::stop_token()?;
    let allow = args.egress_allow.iter().map(|text| text.parse::<Network>());
    let allow = allow.collect::<Result<Vec<_>, _>>();
    let allow =
        allow.map_err(|error| CliError::attempt(Kind::Usage, "read --egress-allow", error))?;
    let dir = paths::home().join(FOLDER);
    fs_err::create_dir_all(&dir)
        .map_err(|error| CliError::failure("make the engine's folder", error))?;
    let _lock = Lock::take(&dir.join("lock")).map_err(|error| match error.kind {
        Kind::Held => {
            CliError::new(Kind::Held, "another `berth docker serve` runs in this BERTH_HOME")
                .hint("use that one, or set another BERTH_HOME")
        }
        _ => error,
    })?;
    let socket = args.socket.clone().unwrap_or_else(super::default_socket);
    is_free(&socket)?;
    let runtime = session::open_runtime(&format!("{FOLDER}/i"), PARKED, printer).await?;
    let step = session::run_step(&runtime, allow.clone());
    let config = EngineConfig {
        dir: dir.join("a"),
        images: session::images_with(&args.mirrors, step, allow)?,
        placement: placement(),
        version: env!("CARGO_PKG_VERSION"),
    };
    let engine = Engine::open(config, runtime.clone())
        .await
        .map_err(|error| CliError::failure("open the engine", error))?;
    let server = engine
        .serve(&socket)
        .map_err(|error| CliError::failure("open the engine's socket", error))?;
    printer.data(format_args!("Listening on unix://{}", socket.display()));
    printer.info(format_args!("export DOCKER_HOST=unix://{}", socket.display()));
    stop.cancelled().await;
    printer.info("Stopping");
    drop(server);
    engine.close(GRACE).await;
    runtime.close().await;
    Ok(())
}

/// A socket that somebody serves is left alone.
fn is_free(socket: &Path) -> Result<(), CliError> {
    if let Some(folder) = socket.parent() {
        fs_err::create_dir_all(folder)
            .map_err(|error| CliError::failure("make the socket's folder", error))?;
    }
    match fs_err::symlink_metadata(socket) {
        Err(_) => Ok(()),
        Ok(_) if UnixStream::connect(socket).is_err() && is_socket(socket) => Ok(()),
        Ok(_) => {
            let text = format!("{} is there already and in use", socket.display());
            Err(CliError::new(Kind::Held, text).hint("choose another with `--socket PATH`"))
        }
    }
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    fs_err::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}
