//! The owner's sandbox: started, or taken up from an earlier agent, looked after, and destroyed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::instance::{Event, State};
use model::limits::{DETACH_WINDOW, FULL_SPEED_START};
use runtime::{DestroyError, Output, Process, Sandbox};

use super::{Report, Runner};
use crate::event::AgentEvent;
use crate::instance::start::{Start, Started, exit_status};
use crate::instance::{Files, Record, Running};
use crate::node::now;
use crate::output::{OutputPump, Readers};
use crate::timings::Phase;

/// How long output may go on after the program's end before the end is told.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(1);
/// The same where somebody is attached, who may be slow.
const ATTACHED_PATIENCE: Duration = Duration::from_secs(600);

impl Runner {
    /// A start has ended, well or not.
    pub(super) async fn started(&mut self, started: Result<Started, String>) {
        let result = match started {
            Err(reason) => {
                if let Some(plain) = self.application.plain() {
                    plain.console.end();
                }
                let told = reason.clone();
                self.tell(|subject| AgentEvent::StartFailed { subject, reason: told });
                self.apply(Event::StartFailed(reason)).await
            }
            Ok(started) => {
                let Started { sandbox, output, process, files } = started;
                self.stopwatch.note(Phase::Executed);
                self.started = now();
                self.look_after(sandbox, output, process, files);
                self.route().await;
                let vcpu_wait = Instant::now() + FULL_SPEED_START;
                self.full_speed_until = Some(vcpu_wait);
                let took = self.asked_to_start.elapsed();
                self.tell(|subject| AgentEvent::Started { subject, took });
                self.apply(Event::Started).await
            }
        };
        if let Err(rejected) = result {
            tracing::debug!(state = %self.state, %rejected, "a start ended too late");
        }
    }

    /// A sandbox is gone, or what of it could be removed.
    pub(super) async fn destroyed(&mut self, result: Result<(), DestroyError>) {
        if let Err(error) = result {
            tracing::error!(%error, "failed to remove all of a sandbox");
        }
        // The exit is reported by a task of its own, which may still wait for output.
        let ended = self.running.as_ref().and_then(|running| running.sandbox.exit_status());
        if let (Some(status), true) =
            (ended, matches!(self.state, State::Removing { status: None }))
        {
            let status = exit_status(status);
            self.tell_exit(status);
            self.apply(Event::Exited(status)).await.ok();
        }
        self.apply(Event::Destroyed).await.ok();
    }

    /// Output, exit and egress of a sandbox that runs now.
    fn look_after(&mut self, sandbox: Sandbox, mut output: Output, process: Process, files: Files) {
        let directory = self.node.log_dir(self.subject.instance);
        let told = Readers {
            subject: self.subject.clone(),
            events: self.node.events.clone(),
            printed: self.printed.clone(),
        };
        let console = self.application.plain().map(|plain| Arc::clone(&plain.console));
        if let Some(console) = &console {
            console.connect(output.stdin.take());
        }
        let mut pump = OutputPump::start(output, &directory, told, console.clone());
        self.last_lines = pump.last_lines.clone();
        let waiting = sandbox.clone();
        self.work.spawn(async move {
            let status = waiting.wait().await;
            // Whoever is attached gets all of it, however slow.
            let attached = console.as_ref().is_some_and(|console| console.is_attached());
            pump.finish(if attached { ATTACHED_PATIENCE } else { OUTPUT_PATIENCE }).await;
            if let Some(console) = console {
                console.end();
            }
            Report::Exited(exit_status(status))
        });
        if self.routed {
            self.take_connections(&sandbox);
        }
        let since = Instant::now();
        let (process, files) = (Arc::new(process), Arc::new(files));
        self.running = Some(Running { sandbox, since, process, files });
    }

    /// Takes up a sandbox that an earlier agent has started.
    pub(super) fn adopt(&mut self, record: Record, sandbox: Sandbox, output: Output) {
        let Record { state, started, internet, routed, env, cwd, user, .. } = record;
        let files = Files { image: record.image, restored: record.restored, mounts: record.mounts };
        self.admission = Some(self.application.admit_running());
        self.routed = routed || internet;
        self.layered = self.node.layers_dir(self.subject.instance).exists();
        self.started = started;
        self.version = record.version;
        let process = Process { args: Vec::new(), env, cwd, user, terminal: None };
        self.look_after(sandbox, output, process, files);
        let ran_for = Duration::from_millis(now().0.saturating_sub(started.0));
        if let Some(running) = &mut self.running {
            running.since = running.since.checked_sub(ran_for).unwrap_or(running.since);
        }
        self.end_full_speed();
        self.enter(match state {
            // Nobody could adopt it while there was no agent: the time for that begins anew.
            State::Detached { stop, .. } => {
                State::Detached { until: now().after(DETACH_WINDOW), stop }
            }
            state => state,
        });
        self.tell(|subject| AgentEvent::Adopted { subject });
    }

    pub(super) fn spawn_start(&mut self) {
        let Some(creation) = self.creation.clone() else { return };
        self.routed = self.outbound.borrow().wants_route();
        self.layered = creation.is_layered();
        let start = Start {
            node: Arc::clone(&self.node),
            creation,
            subject: self.subject.clone(),
            routed: self.routed,
            preparation: self.preparation.take(),
            stopwatch: self.stopwatch.clone(),
            plain: self.application.plain().cloned(),
        };
        self.work.spawn(async move { Report::Started(Box::new(start.run().await)) });
    }

    pub(super) fn spawn_destroy(&mut self) {
        self.egress = None;
        // Without a sandbox its start is still under way: it is destroyed when that is reported.
        if let Some(running) = &self.running {
            let sandbox = running.sandbox.clone();
            self.work.spawn(async move { Report::Destroyed(sandbox.destroy().await) });
        }
    }
}
