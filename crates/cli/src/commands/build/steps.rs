//! The `RUN` steps of one build. A build whose steps are all cached needs no sandboxes, so they are
//! made ready when the first step runs.

use agent::Network;
use image::{RunRequest, RunStep, RunStepError, Stream};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::workplace::Workplace;
use crate::dev::run_step::SandboxRunStep;
use crate::printer::Printer;

#[derive(Debug)]
pub(super) struct Steps {
    /// Where the sandboxes live, once there are any.
    workplace: OnceCell<Workplace>,
    allow: Vec<Network>,
    printer: Printer,
    handle: Handle,
}

impl Steps {
    /// For a build that this runtime's thread waits for.
    pub(super) fn new(allow: Vec<Network>, printer: &Printer) -> Self {
        let printer = printer.clone();
        Self { workplace: OnceCell::new(), allow, printer, handle: Handle::current() }
    }

    /// Leaves nothing of the steps.
    pub(super) async fn close(&self) {
        if let Some(workplace) = self.workplace.get() {
            workplace.close().await;
        }
    }
}

impl RunStep for Steps {
    fn run(
        &self,
        request: &RunRequest<'_>,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, RunStepError> {
        let open = self.workplace.get_or_try_init(|| Workplace::open(&self.printer));
        let opened = self.handle.block_on(open).map_err(|error| error.to_string())?;
        let (allow, handle) = (self.allow.clone(), self.handle.clone());
        SandboxRunStep { runtime: opened.runtime(), allow, handle }.run(request, output)
    }
}
