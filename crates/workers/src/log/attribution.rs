//! Joins console lines (exact text, on stdout, at once) with tail events (which object and which
//! event, over a socket, at about the same time).
//!
//! Each source alone lacks what the other has. A line waits a moment for its tail event; one that
//! gets none is the default entry point's, whose tail is off ([`crate::config`]'s `tail.mjs`).

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;

use super::line::{at, console_level};
use crate::event::{Event, Level, Origin, Trigger};

/// How long a line waits for its tail event.
const LINE_WAITS: Duration = Duration::from_millis(50);
/// How long a tail event waits for its line.
const TAIL_WAITS: Duration = Duration::from_secs(1);
/// Largest difference of the two's clocks; printing a large object takes its time.
const CLOCKS_DIFFER: Duration = Duration::from_secs(1);

/// What `tail.mjs` posts for each console line.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TailEvent {
    entrypoint: Option<String>,
    object: Option<String>,
    trigger: String,
    time: u64,
    level: String,
    /// The arguments, as far as JSON can hold them.
    message: serde_json::Value,
}

/// The two queues.
#[derive(Debug, Default)]
pub(crate) struct Attribution {
    lines: VecDeque<(Instant, Waiting)>,
    tails: VecDeque<(Instant, TailEvent)>,
}

#[derive(Debug)]
enum Waiting {
    Line {
        time: SystemTime,
        level: Level,
        message: String,
        origin: Option<Origin>,
    },
    /// Anything else keeps its place among the lines.
    Other(Event),
}

impl Attribution {
    /// A console line arrived.
    pub(crate) fn line(&mut self, now: Instant, time: SystemTime, level: Level, message: String) {
        let tail = self
            .tails
            .iter()
            .position(|(_, tail)| tail.matches(time, level, &message))
            .and_then(|at| self.tails.remove(at));
        let origin = tail.map(|(_, tail)| tail.origin());
        self.lines.push_back((now, Waiting::Line { time, level, message, origin }));
    }

    /// Something else happened, after the lines so far.
    pub(crate) fn other(&mut self, now: Instant, event: Event) {
        self.lines.push_back((now, Waiting::Other(event)));
    }

    /// A tail event arrived.
    pub(crate) fn tail(&mut self, now: Instant, tail: TailEvent) {
        let line = self.lines.iter_mut().find_map(|(_, waiting)| match waiting {
            Waiting::Line { time, level, message, origin: origin @ None }
                if tail.matches(*time, *level, message) =>
            {
                Some(origin)
            }
            _ => None,
        });
        match line {
            Some(origin) => *origin = Some(tail.origin()),
            None => self.tails.push_back((now, tail)),
        }
    }

    /// The next event that is ready, in the order of arrival.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Event> {
        while self.tails.front().is_some_and(|(since, _)| now >= *since + TAIL_WAITS) {
            self.tails.pop_front();
        }
        let (since, first) = self.lines.front()?;
        let waits = matches!(first, Waiting::Line { origin: None, .. });
        if waits && now < *since + LINE_WAITS {
            return None;
        }
        self.lines.pop_front().map(|(_, waiting)| waiting.into_event())
    }

    /// When [`Self::next`] is worth asking again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.lines.front().map(|(since, _)| *since + LINE_WAITS)
    }

    /// Everything that is left, as it is.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Event> {
        self.lines.drain(..).map(|(_, waiting)| waiting.into_event())
    }
}

impl Waiting {
    fn into_event(self) -> Event {
        match self {
            Self::Other(event) => event,
            Self::Line { time, level, message, origin } => {
                Event::Log { time, level, message, origin: origin.unwrap_or_default() }
            }
        }
    }
}

impl TailEvent {
    /// Whether this is that line. The first argument, if it is a plain text, begins the line.
    fn matches(&self, time: SystemTime, level: Level, message: &str) -> bool {
        let differ = at(self.time).map_or(Duration::MAX, |tail| {
            tail.duration_since(time).unwrap_or_else(|error| error.duration())
        });
        let begins = match self.message.get(0) {
            Some(serde_json::Value::String(first)) => {
                // `%s` and its like are filled in only on stdout; JSON has no words for other objects.
                let end = first.find('%').unwrap_or(first.len());
                first.starts_with("[object ") || message.starts_with(&first[..end])
            }
            _ => true,
        };
        console_level(&self.level) == level && differ <= CLOCKS_DIFFER && begins
    }

    fn origin(self) -> Origin {
        let trigger = match self.trigger.as_str() {
            "fetch" => Trigger::Fetch,
            "jsrpc" => Trigger::Rpc,
            "alarm" => Trigger::Alarm,
            "scheduled" => Trigger::Scheduled,
            _ => Trigger::Other,
        };
        Origin { entrypoint: self.entrypoint, object: self.object, trigger: Some(trigger) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(first: &str, class: &str) -> TailEvent {
        TailEvent {
            entrypoint: Some(class.to_owned()),
            object: Some("00ff".to_owned()),
            trigger: "alarm".to_owned(),
            time: 1000,
            level: "log".to_owned(),
            message: serde_json::json!([first, {}]),
        }
    }

    fn line(queue: &mut Attribution, now: Instant, message: &str) {
        queue.line(now, at(1001).expect("a small number"), Level::Log, message.to_owned());
    }

    fn class(event: Option<Event>) -> Option<Option<String>> {
        match event? {
            Event::Log { origin, .. } => Some(origin.entrypoint),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_line_gets_its_object_whichever_comes_first() {
        let (mut queue, now) = (Attribution::default(), Instant::now());
        line(&mut queue, now, "first { a: 1 }");
        assert_eq!(queue.next(now), None);
        queue.tail(now, tail("first", "A"));
        assert_eq!(class(queue.next(now)), Some(Some("A".to_owned())));
        queue.tail(now, tail("second", "B"));
        line(&mut queue, now, "second");
        assert_eq!(class(queue.next(now)), Some(Some("B".to_owned())));
    }

    #[test]
    fn a_line_without_a_tail_event_is_the_default_entry_points_after_a_moment() {
        let (mut queue, now) = (Attribution::default(), Instant::now());
        line(&mut queue, now, "hello");
        queue.tail(now, tail("other", "A"));
        assert_eq!(queue.next(now), None);
        assert_eq!(class(queue.next(now + LINE_WAITS)), Some(None));
    }

    #[test]
    fn order_is_kept() {
        let (mut queue, now) = (Attribution::default(), Instant::now());
        line(&mut queue, now, "one");
        queue.other(now, Event::Dropped(1));
        line(&mut queue, now, "two");
        queue.tail(now, tail("two", "A"));
        assert_eq!(queue.next(now), None, "\"one\" still waits");
        assert_eq!(class(queue.next(now + LINE_WAITS)), Some(None));
        assert_eq!(queue.next(now + LINE_WAITS), Some(Event::Dropped(1)));
        assert_eq!(class(queue.next(now + LINE_WAITS)), Some(Some("A".to_owned())));
    }
}
