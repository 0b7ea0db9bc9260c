//! Reads everything one process says, until it ends.

use std::time::{Duration, Instant, SystemTime};

use tokio::io::AsyncRead;
use tokio::sync::{mpsc, oneshot};

use super::attribution::Attribution;
use super::line::Line;
use super::reader::LineReader;
use super::{Events, SourceMaps, Told};
use crate::event::{Event, Level};

/// How long after an exception a repetition of it is recognised as one.
const REPEATS: Duration = Duration::from_secs(5);
/// How many of workerd's complaints are kept for the error of a start that fails.
const KEPT: usize = 20;

/// What is left when both streams have ended.
#[derive(Debug, Default)]
pub(crate) struct PumpEnd {
    /// workerd's complaints, if the process never served; they were not sent as events.
    pub(crate) complaints: Vec<String>,
}

/// One process's output on its way to events.
#[derive(Debug)]
pub(crate) struct Pump {
    events: Events,
    maps: SourceMaps,
    queue: Attribution,
    /// Whether lines wait for tail events.
    attribute: bool,
    /// Sockets that have to listen before the process serves, and who waits for that.
    sockets: usize,
    ready: Option<oneshot::Sender<()>>,
    complaints: Vec<(Level, String)>,
    /// First lines of recent exceptions.
    exceptions: Vec<(Instant, String)>,
}

impl Pump {
    /// Events go to `events`; `ready` is told when `sockets` sockets listen.
    pub(crate) fn new(
        events: Events,
        maps: SourceMaps,
        attribute: bool,
        sockets: usize,
        ready: oneshot::Sender<()>,
    ) -> Self {
        Self {
            events,
            maps,
            queue: Attribution::default(),
            attribute,
            sockets,
            ready: Some(ready),
            complaints: Vec::new(),
            exceptions: Vec::new(),
        }
    }

    /// Pumps until both streams end.
    pub(crate) async fn run(
        mut self,
        stdout: impl AsyncRead + Unpin,
        stderr: impl AsyncRead + Unpin,
        mut tails: Option<mpsc::Receiver<Told>>,
    ) -> PumpEnd {
        let mut stdout = Some(LineReader::new(stdout));
        let mut stderr = Some(LineReader::new(stderr));
        while stdout.is_some() || stderr.is_some() {
            let deadline = self.queue.deadline();
            tokio::select! {
                line = next(&mut stdout), if stdout.is_some() => match line {
                    Some(line) => self.line(&line),
                    None => stdout = None,
                },
                line = next(&mut stderr), if stderr.is_some() => match line {
                    Some(line) => self.line(&line),
                    None => stderr = None,
                },
                Some(told) = receive(&mut tails), if tails.is_some() => match told {
                    Told::Line(tail) => self.queue.tail(Instant::now(), tail),
                    Told::Whole(event) => self.whole(event),
                },
                () = until(deadline), if deadline.is_some() => {}
            }
            while let Some(event) = self.queue.next(Instant::now()) {
                self.events.send(event);
            }
        }
        self.queue.drain().for_each(|event| self.events.send(event));
        PumpEnd { complaints: self.complaints.into_iter().map(|(_, message)| message).collect() }
    }

    fn line(&mut self, line: &[u8]) {
        let now = Instant::now();
        match Line::parse(line) {
            Line::Listening { .. } => self.listening(now),
            Line::Console { time, level, message } => {
                let message = self.maps.map(&message).into_owned();
                match time {
                    Some(time) if self.attribute => self.queue.line(now, time, level, message),
                    time => {
                        let time = time.unwrap_or_else(SystemTime::now);
                        let origin = crate::event::Origin::default();
                        self.queue.other(now, Event::Log { time, level, message, origin });
                    }
                }
            }
            Line::Uncaught { time, context, stack } => {
                let first = stack.lines().next().unwrap_or_default().to_owned();
                self.exceptions.retain(|(since, _)| now < *since + REPEATS);
                self.exceptions.push((now, first));
                let stack = self.maps.map(&stack).into_owned();
                self.queue.other(now, Event::Exception { time, stack, context });
            }
            Line::Failed { time, description } => self.failed(now, time, description),
            Line::Runtime { level, message } => {
                let message = self.maps.map(&message).into_owned();
                self.runtime(now, level, message);
            }
            Line::Noise => {}
        }
    }

    /// It has no place among the lines.
    fn whole(&mut self, mut event: Box<serde_json::Value>) {
        // Indexing would add what is missing.
        let exceptions = event.get_mut("exceptions").and_then(serde_json::Value::as_array_mut);
        for exception in exceptions.into_iter().flatten() {
            if let Some(stack) = exception.get_mut("stack") {
                let mapped = stack.as_str().map(|stack| self.maps.map(stack).into_owned());
                *stack = mapped.into();
            }
        }
        self.events.send(Event::Handled(event));
    }

    fn listening(&mut self, now: Instant) {
        self.sockets = self.sockets.saturating_sub(1);
        if self.sockets > 0 {
            return;
        }
        if let Some(ready) = self.ready.take() {
            // The one who waits may have given up.
            let _ = ready.send(());
            for (level, message) in std::mem::take(&mut self.complaints) {
                self.queue.other(now, Event::Runtime { level, message });
            }
        }
    }

    /// An exception without a stack, unless it was told with its stack just now.
    fn failed(&mut self, now: Instant, time: SystemTime, description: String) {
        let first = description.lines().next().unwrap_or_default();
        let told = self
            .exceptions
            .iter()
            .any(|(since, said)| now < *since + REPEATS && (said == first || said.contains(first)));
        if !told {
            let context = "Uncaught".to_owned();
            self.queue.other(now, Event::Exception { time, stack: description, context });
        }
    }

    fn runtime(&mut self, now: Instant, level: Level, message: String) {
        if self.ready.is_none() {
            self.queue.other(now, Event::Runtime { level, message });
        } else if self.complaints.len() < KEPT {
            self.complaints.push((level, message));
        }
    }
}

async fn next<R: AsyncRead + Unpin>(reader: &mut Option<LineReader<R>>) -> Option<Vec<u8>> {
    reader.as_mut()?.next().await
}

async fn receive(tails: &mut Option<mpsc::Receiver<Told>>) -> Option<Told> {
    tails.as_mut()?.recv().await
}

async fn until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline.into()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXCEPTION: &str = r#"{"timestamp":"5","level":"info","source":"workerd/io/worker.c++:1","message":"uncaught exception; source = Uncaught (in response); stack = Error: boom\n    at x"}"#;
    const REPEAT: &str = r#"{"timestamp":"5","level":"error","source":"listen/mod.rs:1","message":"Uncaught exception: workerd/jsg/value.h:1: failed: remote.jsg.Error: boom"}"#;
    const OTHER: &str = r#"{"timestamp":"5","level":"error","source":"listen/mod.rs:1","message":"Uncaught exception: failed: jsg.TypeError: no handler"}"#;
    const LISTEN: &str = r#"{"event":"listen","socket":"http","port":0}"#;

    async fn pump(lines: &[&str]) -> (PumpEnd, Vec<Event>, bool) {
        let (events, mut receiver) = Events::channel(100);
        let (sender, mut ready) = oneshot::channel();
        let pump = Pump::new(events, SourceMaps::default(), false, 1, sender);
        let end = pump.run(lines.join("\n").as_bytes(), &b""[..], None).await;
        let mut events = Vec::new();
        while let Some(event) = receiver.recv().await {
            events.push(event);
        }
        (end, events, ready.try_recv().is_ok())
    }

    #[tokio::test]
    async fn an_exception_is_told_once() {
        let (_, events, ready) = pump(&[LISTEN, EXCEPTION, REPEAT, OTHER]).await;
        let stacks: Vec<_> = events
            .iter()
            .map(|event| match event {
                Event::Exception { stack, .. } => stack.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(stacks, ["Error: boom\n    at x", "TypeError: no handler"]);
        assert!(ready);
    }

    #[tokio::test]
    async fn complaints_of_a_process_that_never_serves_are_for_its_error() {
        let (end, events, ready) = pump(&["cannot start"]).await;
        assert_eq!((end.complaints, events.len(), ready), (vec!["cannot start".into()], 0, false));
        let (end, events, ready) = pump(&["odd", LISTEN]).await;
        assert_eq!((end.complaints.len(), events.len(), ready), (0, 1, true));
    }
}
