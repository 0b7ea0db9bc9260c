//! From workerd's two output streams and its tail events to [`crate::Event`]s.

mod attribution;
mod line;
mod pump;
mod reader;
mod stack;
mod tail;

pub(crate) use pump::{Pump, PumpEnd};
pub(crate) use stack::SourceMaps;
pub(crate) use tail::{TailSink, Told};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::event::Event;

/// Hands events to whoever reads them, never waiting: a terminal that stands still must not stop
/// the Worker.
#[derive(Debug, Clone)]
pub(crate) struct Events {
    sender: mpsc::Sender<Event>,
    dropped: Arc<AtomicU64>,
}

impl Events {
    pub(crate) fn channel(capacity: usize) -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Self { sender, dropped: Arc::default() }, receiver)
    }

    pub(crate) fn send(&self, event: Event) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 && self.sender.try_send(Event::Dropped(dropped)).is_err() {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        if self.sender.try_send(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_reader_learns_how_much_it_missed() {
        let (events, mut reader) = Events::channel(2);
        for n in 0..5 {
            events.send(Event::Started { pid: n, took: std::time::Duration::ZERO });
        }
        for _ in 0..2 {
            assert!(matches!(reader.recv().await, Some(Event::Started { .. })));
        }
        events.send(Event::Started { pid: 9, took: std::time::Duration::ZERO });
        assert_eq!(reader.recv().await, Some(Event::Dropped(3)));
        assert!(matches!(reader.recv().await, Some(Event::Started { pid: 9, .. })));
    }
}
