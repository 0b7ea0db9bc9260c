//! What happened to instances lately, for people: kept in memory, as much as somebody may want to look
//! back at.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use agent::{AgentEvent, Subject};
use control::InstanceEvents;
use control::plan::{EventKind, InstanceEvent};
use jiff::Timestamp;
use tokio::sync::broadcast;

/// Events that are kept, and that a slow reader may be behind.
const KEPT: usize = 1000;

/// What is kept; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct History {
    past: Arc<Mutex<VecDeque<InstanceEvent>>>,
    coming: broadcast::Sender<InstanceEvent>,
}

impl Default for History {
    fn default() -> Self {
        Self { past: Arc::default(), coming: broadcast::Sender::new(KEPT) }
    }
}

impl History {
    /// What is kept, the oldest first, and what comes after it.
    pub(crate) fn all(&self) -> (Vec<InstanceEvent>, InstanceEvents) {
        let past = self.past.lock().expect("no holder of this lock panics");
        (past.iter().cloned().collect(), self.coming.subscribe())
    }

    /// Keeps an event, if it is one that people ask for.
    pub(crate) fn note(&self, event: &AgentEvent) {
        let Some((subject, kind, message)) = told(event) else { return };
        let event = InstanceEvent {
            at: Timestamp::now(),
            application: subject.application.to_string(),
            id: subject.instance.to_string(),
            object: subject.object.clone(),
            kind,
            message,
        };
        let mut past = self.past.lock().expect("no holder of this lock panics");
        if past.len() == KEPT {
            past.pop_front();
        }
        past.push_back(event.clone());
        // Nobody watching is no error.
        let _ = self.coming.send(event);
    }
}

/// An event in words; output has its own place.
fn told(event: &AgentEvent) -> Option<(&Subject, EventKind, String)> {
    Some(match event {
        AgentEvent::Started { subject, took } => {
            (subject, EventKind::Started, format!("started in {} ms", took.as_millis()))
        }
        AgentEvent::Adopted { subject } => {
            (subject, EventKind::Adopted, "still running".to_owned())
        }
        AgentEvent::StartFailed { subject, reason } => {
            (subject, EventKind::StartFailed, format!("failed to {reason}"))
        }
        AgentEvent::Waiting { subject, detail } => (subject, EventKind::Waiting, detail.clone()),
        AgentEvent::Refused { subject, detail, .. } => {
            (subject, EventKind::Refused, detail.clone())
        }
        AgentEvent::NotListening { subject, port } => {
            (subject, EventKind::NotListening, format!("does not listen on port {port}"))
        }
        AgentEvent::EgressDenied { subject, destination, reason } => {
            let message = format!("may not reach {destination}: {reason}");
            (subject, EventKind::EgressDenied, message)
        }
        AgentEvent::Exited { subject, status, .. } if status.out_of_memory => {
            (subject, EventKind::Failed, "ended: out of memory".to_owned())
        }
        AgentEvent::Exited { subject, status, expected, .. } => {
            let kind =
                if *expected || status.code == 0 { EventKind::Stopped } else { EventKind::Failed };
            (subject, kind, format!("ended with exit code {}", status.code))
        }
        AgentEvent::Timed { .. } | AgentEvent::Output { .. } | AgentEvent::OutputSkipped { .. } => {
            return None;
        }
    })
}

#[cfg(test)]
mod tests {
    use model::instance::ExitStatus;
    use model::{DurableObjectId, InstanceId};

    use super::*;

    fn exited(code: i32, expected: bool) -> AgentEvent {
        let object = DurableObjectId::try_from("a".repeat(64)).unwrap();
        let subject = Subject { application: "app".into(), object, instance: InstanceId::new() };
        let status = ExitStatus { code, out_of_memory: false };
        AgentEvent::Exited { subject, status, expected, last_lines: vec!["hush".into()] }
    }

    #[test]
    fn the_newest_events_are_kept_and_tell_nothing_of_the_programs_words() {
        let history = History::default();
        history.note(&exited(7, true));
        for _ in 0..KEPT {
            history.note(&exited(1, false));
        }
        let (past, mut coming) = history.all();
        assert_eq!(past.len(), KEPT);
        assert!(past.iter().all(|event| event.kind == EventKind::Failed), "the oldest is gone");
        assert_eq!(past[0].message, "ended with exit code 1");
        history.note(&exited(143, true));
        assert_eq!(coming.try_recv().unwrap().kind, EventKind::Stopped);
    }
}
