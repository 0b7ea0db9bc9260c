//! SIGINT, SIGTERM and SIGHUP as one token that is cancelled.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::CliError;

/// A token that the first of these signals cancels. A second one changes nothing: what is left to do
/// then has a deadline of its own, and cutting it short would leave things behind.
pub(crate) fn stop_token() -> Result<CancellationToken, CliError> {
    let stop = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut signals =
            signal(kind).map_err(|error| CliError::failure("wait for signals", error))?;
        let stop = stop.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                stop.cancel();
            }
        });
    }
    Ok(stop)
}
