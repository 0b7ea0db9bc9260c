//! What happened to instances lately: followed from the agent's events, asked for by rollouts.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use agent::{AgentEvent, Events, Subject};
use control::plan::InstanceFailure;
use model::InstanceId;

use super::history::History;
use crate::dev::instances;
use crate::printer::Printer;

/// Failures that are remembered: a rollout asks for those of the last minutes.
const KEPT: usize = 1000;

/// What is remembered; clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// With the name of the application.
    failures: VecDeque<(Arc<str>, InstanceFailure)>,
    silent: HashMap<InstanceId, u16>,
}

impl Health {
    /// Follows what happens, prints it and keeps it in the history, for as long as there is an agent.
    pub(crate) fn follow(mut events: Events, history: History, printer: Printer) -> Self {
        let health = Self::default();
        let seen = health.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                instances::print(&printer, &event, &Mutex::default());
                history.note(&event);
                seen.note(&event);
            }
        });
        health
    }

    /// Failures of an application's instances, the oldest first.
    pub(crate) fn failures(&self, application: &str) -> Vec<InstanceFailure> {
        let seen = self.seen();
        let own = seen.failures.iter().filter(|(name, _)| &**name == application);
        own.map(|(_, failure)| failure.clone()).collect()
    }

    /// A port of an instance that was waited for in vain.
    pub(crate) fn silent_port(&self, instance: InstanceId) -> Option<u16> {
        self.seen().silent.get(&instance).copied()
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().expect("no holder of this lock panics")
    }

    fn note(&self, event: &AgentEvent) {
        let mut seen = self.seen();
        match event {
            AgentEvent::NotListening { subject, port } => {
                seen.silent.insert(subject.instance, *port);
            }
            AgentEvent::StartFailed { subject, reason } => {
                seen.fail(subject, format!("failed to {reason}"));
            }
            AgentEvent::Exited { subject, status, expected, .. } => {
                seen.silent.remove(&subject.instance);
                if status.out_of_memory {
                    seen.fail(subject, "ended: out of memory".into());
                } else if !expected && status.code != 0 {
                    seen.fail(subject, format!("ended with exit code {}", status.code));
                }
            }
            _ => {}
        }
    }
}

impl Seen {
    fn fail(&mut self, subject: &Subject, reason: String) {
        if self.failures.len() == KEPT {
            self.failures.pop_front();
        }
        let failure = InstanceFailure {
            id: subject.instance.to_string(),
            object: subject.object.clone(),
            at: Instant::now(),
            reason,
        };
        self.failures.push_back((Arc::clone(&subject.application), failure));
    }
}
