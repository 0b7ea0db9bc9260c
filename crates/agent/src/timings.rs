//! Where the time of a cold start goes: a stopwatch that notes when its steps came, if somebody wants
//! to know. Otherwise it is not there, and noting costs a look at an `Option`.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tracing::{Span, field};

use crate::event::{AgentEvent, EventSender, Subject};

/// A part of a cold start, named after what ends it. It began where the one before it ended; the
/// first began when workerd first asked for the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// workerd and the class: until the container was created.
    Created,
    /// workerd: until it asked to start it.
    AskedToStart,
    /// Until there was a parked sandbox for it.
    Taken,
    /// Until its layers were found: none are looked up, unless it has some of its own.
    Layered,
    /// Until the root was mounted and the program executed.
    Executed,
    /// Until a port accepted the connection that was held for it.
    Listening,
    /// Until the program's first byte on that connection.
    Answered,
}

impl Phase {
    /// All, in their order.
    pub const ALL: [Self; 7] = [
        Self::Created,
        Self::AskedToStart,
        Self::Taken,
        Self::Layered,
        Self::Executed,
        Self::Listening,
        Self::Answered,
    ];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Created => "workerd: asked, then created",
            Self::AskedToStart => "workerd: created, then started",
            Self::Taken => "a parked sandbox",
            Self::Layered => "layers",
            Self::Executed => "mounted and executed",
            Self::Listening => "held until it listened",
            Self::Answered => "first byte",
        })
    }
}

/// How long the parts of one cold start took, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartTimings(pub Vec<(Phase, Duration)>);

impl StartTimings {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.0.iter().map(|(_, took)| *took).sum()
    }
}

/// Follows one instance from the first question to the first byte; clones are the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopwatch(Option<Arc<Watch>>);

#[derive(Debug)]
struct Watch {
    events: EventSender,
    subject: Subject,
    marks: Mutex<Marks>,
}

#[derive(Debug)]
struct Marks {
    last: Instant,
    timings: StartTimings,
    /// The whole start, for whoever traces.
    start: Span,
    /// The phase that is going on; what it is called is known when it ends.
    phase: Span,
}

/// A phase of `start` that begins now.
fn begin_phase(start: &Span) -> Span {
    tracing::debug_span!(parent: start, "phase", name = field::Empty)
}

impl Stopwatch {
    /// Begins now; tells the timings when the first byte has come.
    pub(crate) fn begin(events: EventSender, subject: Subject) -> Self {
        let start = tracing::debug_span!(parent: None, "cold_start", instance = %subject.instance);
        let phase = begin_phase(&start);
        let timings = StartTimings::default();
        let marks = Mutex::new(Marks { last: Instant::now(), timings, start, phase });
        Self(Some(Arc::new(Watch { events, subject, marks })))
    }

    /// The phase has ended. The first time counts, and none after a later phase.
    pub(crate) fn note(&self, phase: Phase) {
        let Some(watch) = &self.0 else { return };
        let mut marks = watch.marks.lock().expect("no holder of this lock panics");
        let noted = &mut marks.timings.0;
        if noted.last().is_some_and(|(last, _)| *last >= phase) {
            return;
        }
        let now = Instant::now();
        let took = now - marks.last;
        marks.last = now;
        marks.timings.0.push((phase, took));
        marks.phase.record("name", field::display(phase));
        marks.phase = begin_phase(&marks.start);
        if phase == Phase::Answered {
            (marks.start, marks.phase) = (Span::none(), Span::none());
        }
        let executed = |(phase, _): &(Phase, Duration)| *phase == Phase::Executed;
        // Without an execution it was adopted: that is no start.
        if phase == Phase::Answered && marks.timings.0.iter().any(executed) {
            let (subject, timings) = (watch.subject.clone(), marks.timings.clone());
            watch.events.send(AgentEvent::Timed { subject, timings });
        }
    }

    /// Whether the first byte is still to come and somebody waits for it.
    pub(crate) fn is_running(&self) -> bool {
        self.0.as_ref().is_some_and(|watch| {
            let marks = watch.marks.lock().expect("no holder of this lock panics");
            marks.timings.0.last().is_none_or(|(last, _)| *last < Phase::Answered)
        })
    }
}

/// A connection to a program whose first byte is noted.
#[derive(Debug)]
pub(crate) struct Timed {
    pub(crate) stream: TcpStream,
    pub(crate) stopwatch: Stopwatch,
}

impl AsyncRead for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.stopwatch.note(Phase::Answered);
        }
        read
    }
}

impl AsyncWrite for Timed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use model::{DurableObjectId, InstanceId};

    use super::*;

    fn phases(noted: &[Phase]) -> Option<Vec<Phase>> {
        let events = EventSender::new();
        let mut reader = events.subscribe();
        let subject = Subject {
            application: "a".into(),
            object: DurableObjectId::try_from("a".repeat(64)).unwrap(),
            instance: InstanceId::new(),
        };
        let stopwatch = Stopwatch::begin(events, subject);
        noted.iter().for_each(|phase| stopwatch.note(*phase));
        drop(stopwatch);
        let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
        match tokio.block_on(reader.next()) {
            Some(AgentEvent::Timed { timings, .. }) => {
                Some(timings.0.iter().map(|(phase, _)| *phase).collect())
            }
            _ => None,
        }
    }

    #[test]
    fn a_whole_start_is_told_once_and_in_order() {
        assert_eq!(phases(&Phase::ALL).unwrap(), Phase::ALL);
        // A second port that listens, a second answer.
        let more = [&Phase::ALL[..], &[Phase::Listening, Phase::Answered]].concat();
        assert_eq!(phases(&more).unwrap(), Phase::ALL);
    }

    #[test]
    fn a_phase_may_be_left_out_but_not_the_execution() {
        let some = [Phase::AskedToStart, Phase::Executed, Phase::Answered];
        assert_eq!(phases(&some).unwrap(), some);
        assert_eq!(phases(&[Phase::Listening, Phase::Answered]), None);
    }

    #[test]
    fn without_a_reader_nothing_is_noted() {
        let stopwatch = Stopwatch::default();
        stopwatch.note(Phase::Created);
        assert!(!stopwatch.is_running());
    }
}
