//! Starting: at once, when its turn comes, or not at all, and then people are told why.

use std::time::Instant;

use model::instance::{Event, Refusal, Rejected, State};
use tokio::sync::oneshot;

use super::Runner;
use crate::application::{Admission, Asked};
use crate::event::AgentEvent;
use crate::instance::admission;
use crate::timings::Phase;

impl Runner {
    /// The caller starts it.
    pub(super) async fn start(&mut self) -> Result<(), Rejected> {
        self.asked_to_start = Instant::now();
        self.stopwatch.note(Phase::AskedToStart);
        // A call of code that was replaced together with the image, read after it had ended.
        if self.version < self.application.oldest() {
            return Err(Rejected::NotThere);
        }
        if self.state != State::Created {
            // For the answer alone: there is nothing that may be taken or waited for.
            return self.apply(Event::Start).await;
        }
        match self.application.ask(&self.subject.object) {
            Asked::Admitted(admission) => {
                self.apply(Event::Start).await?;
                self.admission = Some(admission);
            }
            Asked::Wait(turn) => {
                self.apply(Event::Wait).await?;
                self.turn = Some(turn);
                let detail = admission::waiting(&self.application.settings());
                self.tell(|subject| AgentEvent::Waiting { subject, detail });
            }
            Asked::Refused(refusal) => self.apply(Event::Refuse(refusal)).await?,
        }
        Ok(())
    }

    /// Its turn has come.
    pub(super) async fn granted(&mut self, admission: Option<Admission>) {
        self.turn = None;
        let Some(admission) = admission else { return };
        let started = if self.application.may_start() {
            self.apply(Event::Start).await
        } else {
            self.apply(Event::Refuse(Refusal::TooManyStarts)).await
        };
        match started {
            Ok(()) if self.state.is_live() => self.admission = Some(admission),
            Ok(()) => {}
            Err(rejected) => tracing::debug!(state = %self.state, %rejected, "a turn came late"),
        }
    }

    /// It may not start: told of once in a while, because the npm class tries again 27 times.
    pub(super) fn tell_refusal(&self, refusal: Refusal) {
        if self.application.is_news(refusal) {
            let settings = self.application.settings();
            let detail = admission::refused(&settings, refusal, self.application.rate());
            self.tell(|subject| AgentEvent::Refused { subject, refusal, detail });
        }
    }
}

/// Waits for the turn, if there is one to wait for.
pub(super) async fn turn(turn: Option<&mut oneshot::Receiver<Admission>>) -> Option<Admission> {
    match turn {
        Some(turn) => turn.await.ok(),
        None => std::future::pending().await,
    }
}
