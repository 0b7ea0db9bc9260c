//! What runs once `berth serve` is ready, until its end.

use std::sync::Arc;
use std::time::Duration;

use registry::Serving;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error::CliError;
use crate::printer::Printer;
use crate::serve::{Folders, LogWriter, Node, Served, restores};

/// Requests in flight have this long at the end.
const GRACE: Duration = Duration::from_secs(30);

/// All that answers, and what it was started with.
pub(super) struct Running<'a> {
    pub(super) folders: &'a Folders,
    pub(super) api: Serving,
    pub(super) edge: Served,
    pub(super) node: Arc<Node>,
    pub(super) log: Option<LogWriter>,
    /// What `/readyz` says.
    pub(super) ready: watch::Sender<bool>,
    /// Time between SIGTERM and SIGKILL of an instance.
    pub(super) stop_grace: Duration,
    /// Whether instances end with it.
    pub(super) stop_instances: bool,
}

/// Why it ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Stop,
    /// It starts again with what was restored.
    Restore,
}

impl Running<'_> {
    /// Waits until it is told to stop, or something is restored, and ends in order.
    ///
    /// # Errors
    /// What was restored cannot be taken up.
    pub(super) async fn until_its_end(
        self,
        stop: &CancellationToken,
        printer: &Printer,
    ) -> Result<(), CliError> {
        let folders = self.folders;
        let end = tokio::select! {
            () = stop.cancelled() => End::Stop,
            () = restores::wanted(folders, printer) => End::Restore,
        };
        self.close(end, printer).await;
        match end {
            End::Stop => Ok(()),
            End::Restore => restores::take_up(folders, stop.is_cancelled()),
        }
    }

    async fn close(self, end: End, printer: &Printer) {
        let (text, instances) = match end {
            End::Stop => (
                "Stopping: requests in flight are finished…",
                self.stop_instances.then_some(self.stop_grace),
            ),
            // What they would still save is replaced.
            End::Restore => (
                "Restoring: requests in flight are finished, and all instances end…",
                Some(self.stop_grace.min(GRACE)),
            ),
        };
        printer.info(text);
        self.ready.send_replace(false);
        self.api.shutdown(GRACE).await;
        self.edge.shutdown(GRACE).await;
        self.node.close(instances).await;
        if let Some(writer) = self.log {
            let _ = tokio::task::spawn_blocking(|| writer.finish()).await;
        }
    }
}
