//! What the owner does to the running program: signals, the kill, its share of the CPU.

use std::time::Duration;

use model::instance::SIGTERM;

use super::Runner;
use crate::docker_api::parse_signal;

/// How long the sandbox's init may take over a signal.
const SIGNAL_PATIENCE: Duration = Duration::from_secs(5);

impl Runner {
    /// What the image it was started from names, else SIGTERM.
    pub(super) fn stop_signal(&self) -> i32 {
        if let Some(signal) = self.application.plain().and_then(|plain| plain.stop_signal) {
            return signal;
        }
        let settings = self.application.settings();
        let image = self.creation.as_ref().map(|creation| &creation.image);
        let image = image.or(settings.image.as_ref());
        let named = image.and_then(|image| image.config.stop_signal.as_deref());
        named.and_then(parse_signal).unwrap_or(SIGTERM)
    }

    pub(super) async fn signal(&self, signal: i32) {
        let Some(running) = &self.running else { return };
        match tokio::time::timeout(SIGNAL_PATIENCE, running.sandbox.signal(signal)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, signal, "a signal was not delivered"),
            Err(_) => tracing::warn!(signal, "a signal was not delivered in time"),
        }
    }

    pub(super) async fn kill(&self) {
        let Some(running) = &self.running else { return };
        if let Err(error) = running.sandbox.kill().await {
            tracing::error!(%error, "failed to kill an instance past its deadline");
        }
    }

    /// The program is ready, or had its time: from now on its share of the CPU holds.
    pub(super) fn end_full_speed(&mut self) {
        self.full_speed_until = None;
        let Some(running) = &self.running else { return };
        let limits =
            self.application.settings().of_version(self.version).application.instance_type.limits();
        if let Err(error) = running.sandbox.set_cpu_quota(Some(limits.vcpu)) {
            tracing::warn!(%error, "an instance's CPU quota could not be set");
        }
    }
}
