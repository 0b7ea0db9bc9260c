//! After `101 Switching Protocols`: bytes both ways until either side ends.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

/// Carries bytes between a client and a process until one of them closes or `stop` is cancelled.
pub(crate) async fn run(client: OnUpgrade, process: OnUpgrade, stop: CancellationToken) {
    let (client, process) = match tokio::try_join!(client, process) {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "upgrade");
            return;
        }
    };
    let (mut client, mut process) = (TokioIo::new(client), TokioIo::new(process));
    tokio::select! {
        copied = tokio::io::copy_bidirectional(&mut client, &mut process) => {
            if let Err(error) = copied {
                tracing::debug!(%error, "tunnel");
            }
        }
        () = stop.cancelled() => {}
    }
}
