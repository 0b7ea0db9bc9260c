//! What of an instance is on disk, for an agent that comes after.

use model::instance::State;

use super::{Record, Runner};

impl Runner {
    /// Writes or removes what an agent that comes after finds.
    pub(super) fn persist(&self) {
        let directory = self.node.state_dir();
        match &self.running {
            Some(running) if self.state.is_live() => {
                let outbound = self.outbound.borrow().clone();
                let record = Record {
                    name: self.name.clone(),
                    application: self.application.settings().unique_key.clone(),
                    image: running.files.image.clone(),
                    restored: running.files.restored,
                    mounts: running.files.mounts.clone(),
                    version: self.version,
                    instance: self.subject.instance,
                    state: self.state.clone(),
                    started: self.started,
                    internet: outbound.internet,
                    routed: self.routed,
                    hosts: (*outbound.hosts).clone(),
                    env: running.process.env.clone(),
                    cwd: running.process.cwd.clone(),
                    user: running.process.user.clone(),
                    sandbox: running.sandbox.handle(),
                };
                if let Err(error) = record.write(&directory) {
                    tracing::error!(%error, "an instance would not survive a restart of the agent");
                }
            }
            Some(_) => Record::remove(&directory, &self.name),
            None if self.recorded && matches!(self.state, State::Removed { .. }) => {
                Record::remove(&directory, &self.name);
            }
            None => {}
        }
        if matches!(self.state, State::Removed { .. }) && self.running.is_some() {
            self.node.give_up_log(self.subject.instance);
            if self.layered {
                let _ = fs_err::remove_dir_all(self.node.layers_dir(self.subject.instance));
            }
        }
    }
}
