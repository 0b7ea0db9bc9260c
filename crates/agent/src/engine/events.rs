//! What happens in the engine, for `docker events`: kept for a while, told to whoever listens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::Inner;
use super::error::EngineError;
use super::filters::Filters;
use super::reply::{Answer, growing};
use crate::docker_api::path::Query;

/// Events kept for those who ask since when.
const KEPT: usize = 256;

/// One event.
#[derive(Debug, Clone)]
pub(super) struct Event {
    kind: &'static str,
    action: &'static str,
    id: String,
    attributes: BTreeMap<String, String>,
    at: jiff::Timestamp,
}

/// All of them.
#[derive(Debug)]
pub(super) struct EngineEvents {
    send: broadcast::Sender<Arc<Event>>,
    past: Mutex<VecDeque<Arc<Event>>>,
}

impl Default for EngineEvents {
    fn default() -> Self {
        Self { send: broadcast::Sender::new(KEPT), past: Mutex::default() }
    }
}

impl EngineEvents {
    /// Tells of something that happened to a container or an image.
    pub(super) fn tell(
        &self,
        kind: &'static str,
        action: &'static str,
        id: &str,
        attributes: BTreeMap<String, String>,
    ) {
        let at = jiff::Timestamp::now();
        let event = Arc::new(Event { kind, action, id: id.to_owned(), attributes, at });
        let mut past = self.past.lock().expect("no holder of this lock panics");
        if past.len() == KEPT {
            past.pop_front();
        }
        past.push_back(Arc::clone(&event));
        // Under the lock, so that nobody who begins to listen now misses it or hears it twice.
        let _ = self.send.send(event);
    }

    fn listen(&self) -> (Vec<Arc<Event>>, broadcast::Receiver<Arc<Event>>) {
        let past = self.past.lock().expect("no holder of this lock panics");
        (past.iter().cloned().collect(), self.send.subscribe())
    }
}

impl Event {
    fn json(&self) -> Value {
        let nanoseconds = i64::try_from(self.at.as_nanosecond()).unwrap_or(i64::MAX);
        json!({
            "status": self.action,
            "id": self.id,
            "from": self.attributes.get("image"),
            "Type": self.kind,
            "Action": self.action,
            "Actor": {"ID": self.id, "Attributes": self.attributes},
            "scope": "local",
            "time": self.at.as_second(),
            "timeNano": nanoseconds,
        })
    }

    fn fits(&self, filters: &Filters) -> bool {
        let name = self.attributes.get("name").map(String::as_str).unwrap_or_default();
        filters.fits("type", |kind| kind == self.kind)
            && filters.fits("event", |action| action == self.action)
            && filters.fits("container", |of| {
                self.kind == "container" && (name == of || self.id.starts_with(of))
            })
            && filters.fits("image", |of| {
                self.attributes.get("image").is_some_and(|image| image == of)
                    || self.kind == "image" && name == of
            })
            && filters.labels(&self.attributes)
    }
}

/// `GET /events?since&until&filters`
pub(super) fn stream(engine: &Inner, query: Query<'_>) -> Answer {
    let filters = Filters::parse(query.get("filters").as_deref())?;
    filters.only(&["type", "event", "container", "image", "label"])?;
    let since = moment(query, "since")?;
    let until = moment(query, "until")?;
    let (send, reply) = growing("application/json");
    let (past, mut next) = engine.events.listen();
    tokio::spawn(async move {
        let line = |event: &Event| Bytes::from(format!("{}\n", event.json()));
        let old = |event: &&Arc<Event>| {
            since.is_some_and(|since| event.at >= since)
                && until.is_none_or(|until| event.at <= until)
        };
        for event in past.iter().filter(old).filter(|event| event.fits(&filters)) {
            if send.send(line(event)).await.is_err() {
                return;
            }
        }
        let end = async {
            match until {
                Some(until) => {
                    let left = until.duration_since(jiff::Timestamp::now());
                    tokio::time::sleep(left.try_into().unwrap_or_default()).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::pin!(end);
        loop {
            let event = tokio::select! {
                event = next.recv() => event,
                () = send.closed() => return,
                () = &mut end => return,
            };
            match event {
                Ok(event) if event.fits(&filters) => {
                    if send.send(line(&event)).await.is_err() {
                        return;
                    }
                }
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    });
    Ok(reply)
}

/// A time as the Docker API has it: seconds since 1970, with or without a fraction, or RFC 3339.
pub(super) fn moment(query: Query<'_>, key: &str) -> Result<Option<jiff::Timestamp>, EngineError> {
    let Some(text) = query.get(key).filter(|text| !text.is_empty() && text != "0") else {
        return Ok(None);
    };
    parse_moment(&text)
        .map(Some)
        .ok_or_else(|| EngineError::BadParameter(format!("invalid value for \"{key}\": {text}")))
}

fn parse_moment(text: &str) -> Option<jiff::Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if let Ok(seconds) = seconds.parse::<i64>() {
        let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
        return jiff::Timestamp::new(seconds, digits.parse().ok()?).ok();
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_seconds_or_rfc_3339() {
        let at = |text: &str| parse_moment(text).map(|at| at.as_millisecond());
        assert_eq!(at("1700000000"), Some(1_700_000_000_000));
        assert_eq!(at("1700000000.25"), Some(1_700_000_000_250));
        assert_eq!(at("2023-11-14T22:13:20Z"), Some(1_700_000_000_000));
        assert_eq!(at("soon"), None);
        assert_eq!(at("99999999999999999"), None);
    }

    #[tokio::test]
    async fn whoever_listens_hears_what_comes_and_what_was() {
        let events = EngineEvents::default();
        events.tell("container", "start", "abc", BTreeMap::new());
        let (past, mut next) = events.listen();
        assert_eq!(past.len(), 1);
        events.tell("container", "die", "abc", BTreeMap::from([("exitCode".into(), "3".into())]));
        let event = next.recv().await.unwrap();
        assert_eq!(event.json()["Actor"]["Attributes"]["exitCode"], "3");
        let only = |text| Filters::parse(Some(text)).unwrap();
        assert!(event.fits(&only(r#"{"event":["die"],"container":["ab"]}"#)));
        assert!(!event.fits(&only(r#"{"event":["start"]}"#)));
    }
}
