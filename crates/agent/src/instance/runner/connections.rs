//! The owner's part in outbound connections: who takes them, and that there is a way to him.

use std::sync::Arc;

use runtime::Sandbox;

use super::Runner;
use crate::egress::Egress;

impl Runner {
    /// Begins to take the program's outbound connections.
    pub(super) fn take_connections(&mut self, sandbox: &Sandbox) {
        let (rules, authority) = (Arc::clone(&self.node.rules), Arc::clone(&self.node.certificate));
        let reports = (self.subject.clone(), self.node.events.clone());
        match Egress::start(sandbox, rules, authority, self.outbound.clone(), reports) {
            Ok(egress) => self.egress = Some(egress),
            Err(error) => tracing::error!(%error, "an instance's connections end nowhere"),
        }
    }

    /// Gives a program that runs a route outwards, if it should have one and has none.
    pub(super) async fn route(&mut self) {
        let Some(running) = &self.running else { return };
        if self.routed || !self.state.is_live() || !self.outbound.borrow().wants_route() {
            return;
        }
        let sandbox = running.sandbox.clone();
        match sandbox.route_egress().await {
            Ok(()) => {
                self.routed = true;
                self.take_connections(&sandbox);
            }
            Err(error) => tracing::error!("failed to {error}"),
        }
    }
}
