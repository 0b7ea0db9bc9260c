//! Who watches which Worker: `wrangler tail`.
//!
//! A tail is made by a request, with its filters, and lives in memory: its watcher makes another when
//! this process ends. Its address holds what nobody can guess, and is all that a watcher presents.

mod filter;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use uuid::Uuid;

use crate::envelope::Failure;
use crate::platform::Events;
pub(crate) use filter::Filters;

/// How long a tail lives.
const LIFETIME: Duration = Duration::from_secs(6 * 60 * 60);
/// Most tails of one Worker, as with Cloudflare.
const MOST: usize = 10;
/// Largest message that a watcher may send: they have little to say.
const MOST_BYTES: usize = 64 * 1024;
/// What watchers and we speak.
pub(crate) const PROTOCOL: &str = "trace-v1";

/// Tails by their ids; clones are the same ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tails(Arc<Mutex<HashMap<String, Entry>>>);

#[derive(Debug)]
struct Entry {
    tail: Tail,
    /// When it is over, whatever the clock on the wall is set to meanwhile.
    ends: Instant,
    /// Dropped when the tail is deleted: its watchers see that.
    over: watch::Sender<()>,
}

/// One tail.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    pub(crate) id: String,
    /// The Worker's name.
    pub(crate) script: String,
    /// The Worker's tag.
    pub(crate) tag: String,
    filters: Filters,
    /// When it is over, for its client.
    pub(crate) expires_at: Timestamp,
}

impl Tails {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        let mut tails = self.0.lock().expect("no holder of this lock panics");
        let now = Instant::now();
        tails.retain(|_, entry| now < entry.ends);
        tails
    }

    /// Makes one, in the place of one that nobody watches if there are too many: not every client takes
    /// away what it has made.
    ///
    /// # Errors
    /// The Worker has too many that are watched.
    pub(crate) fn make(&self, script: &str, tag: &str, filters: Filters) -> Result<Tail, Failure> {
        let mut tails = self.lock();
        let own = || tails.values().filter(|entry| entry.tail.tag == tag);
        let is_full = own().count() >= MOST;
        let unwatched = own().filter(|entry| entry.over.receiver_count() == 0);
        let oldest = unwatched.min_by_key(|entry| entry.ends);
        let replaced = oldest.filter(|_| is_full).map(|entry| entry.tail.id.clone());
        if let Some(id) = &replaced {
            tails.remove(id);
        }
        if is_full && replaced.is_none() {
            let message = format!("the Worker \"{script}\" has {MOST} tails: delete one first");
            return Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, 10073, message));
        }
        let tail = Tail {
            id: Uuid::new_v4().simple().to_string(),
            script: script.to_owned(),
            tag: tag.to_owned(),
            filters,
            expires_at: Timestamp::now() + LIFETIME,
        };
        let ends = Instant::now() + LIFETIME;
        let entry = Entry { tail: tail.clone(), ends, over: watch::Sender::new(()) };
        tails.insert(tail.id.clone(), entry);
        Ok(tail)
    }

    /// Those of a Worker.
    pub(crate) fn of(&self, script: &str) -> Vec<Tail> {
        let tails = self.lock();
        let tails = tails.values().filter(|entry| entry.tail.script == script);
        tails.map(|entry| entry.tail.clone()).collect()
    }

    /// Ends one of a Worker; whether there was one.
    pub(crate) fn remove(&self, script: &str, id: &str) -> bool {
        let mut tails = self.lock();
        let is_its = tails.get(id).is_some_and(|entry| entry.tail.script == script);
        is_its && tails.remove(id).is_some()
    }

    /// One, to be watched until the other value ends.
    pub(crate) fn find(&self, id: &str) -> Option<(Tail, watch::Receiver<()>)> {
        let tails = self.lock();
        tails.get(id).map(|entry| (entry.tail.clone(), entry.over.subscribe()))
    }
}

/// Sends a tail's watcher what happens, until the watcher goes or the tail is over.
pub(crate) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    (tail, mut over): (Tail, watch::Receiver<()>),
    mut events: Events,
) {
    // wrangler does not mask its frames, against RFC 6455.
    let config = WebSocketConfig::default()
        .accept_unmasked_frames(true)
        .max_message_size(Some(MOST_BYTES))
        .max_frame_size(Some(MOST_BYTES));
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    loop {
        let sent = tokio::select! {
            event = events.recv() => match event {
                Ok(event) => match shown(&tail, &event) {
                    Some(text) => socket.send(Message::text(text)).await,
                    None => Ok(()),
                },
                Err(RecvError::Lagged(count)) => {
                    socket.send(Message::text(overload(count).to_string())).await
                }
                Err(RecvError::Closed) => break,
            },
            message = socket.next() => match message {
                Some(Ok(message)) if !message.is_close() => Ok(()),
                _ => break,
            },
            // The sender says nothing: it goes.
            _ = over.changed() => break,
        };
        if sent.is_err() {
            break;
        }
    }
    // Who has gone already is told nothing.
    let _ = socket.close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() })).await;
}

/// An event as a watcher is sent it, if it passes the filters.
fn shown(tail: &Tail, event: &Value) -> Option<String> {
    let mut event = event.clone();
    event["scriptName"] = json!(tail.script);
    if !tail.filters.pass(&event, rand_fraction) {
        return None;
    }
    redact(&mut event);
    Some(event.to_string())
}

/// A number from 0 to 1.
fn rand_fraction() -> f64 {
    f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX)
}

/// Takes the values of headers away that let somebody in.
fn redact(event: &mut Value) {
    // Indexing would add what is missing.
    let headers = event.pointer_mut("/event/request/headers").and_then(Value::as_object_mut);
    for (name, value) in headers.into_iter().flatten() {
        let name = name.to_ascii_lowercase();
        let words = ["auth", "cookie", "jwt", "key", "secret", "token"];
        if words.iter().any(|word| name.contains(word)) {
            *value = json!("REDACTED");
        }
    }
}

/// What a watcher is told who is slower than the Worker.
fn overload(count: u64) -> Value {
    let message = format!("{count} events were left out: more happens than can be shown");
    json!({"outcome": "unknown", "logs": [], "exceptions": [], "eventTimestamp":
        Timestamp::now().as_millisecond(), "event": {"type": "overload", "message": message}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_found_until_it_is_removed_and_a_worker_has_few() {
        let tails = Tails::default();
        let make = || tails.make("w", "tag", Filters::default());
        let first = make().unwrap();
        let (found, over) = tails.find(&first.id).unwrap();
        assert_eq!(found.id, first.id);
        assert!(!tails.remove("other", &first.id) && tails.remove("w", &first.id));
        assert!(over.has_changed().is_err(), "its watchers are told");
        assert!(tails.find(&first.id).is_none());
        let watched: Vec<_> = (1..MOST).map(|_| tails.find(&make().unwrap().id).unwrap()).collect();
        let unwatched = make().unwrap();
        let last = make().unwrap();
        assert!(tails.find(&unwatched.id).is_none(), "it makes room");
        assert_eq!((tails.of("w").len(), tails.of("x").len()), (MOST, 0));
        let _watching = tails.find(&last.id).unwrap();
        assert!(make().is_err() && watched.len() < MOST);
    }

    #[test]
    fn what_lets_somebody_in_is_not_shown() {
        let tails = Tails::default();
        let tail = tails.make("w", "tag", Filters::default()).unwrap();
        let headers = json!({"Authorization": "a", "x-api-key": "b", "cookie": "c", "accept": "d"});
        let event = json!({"event": {"request": {"headers": headers}}, "logs": []});
        let shown: Value = serde_json::from_str(&shown(&tail, &event).unwrap()).unwrap();
        let expected = json!({"Authorization": "REDACTED", "x-api-key": "REDACTED",
            "cookie": "REDACTED", "accept": "d"});
        assert_eq!(shown["event"]["request"]["headers"], expected);
        assert_eq!(shown["scriptName"], "w");
        let mut alarm = json!({"event": {"scheduledTime": 1}});
        redact(&mut alarm);
        assert_eq!(alarm, json!({"event": {"scheduledTime": 1}}), "nothing is added");
    }
}
