//! What a client of the API presents when it opens an instance's WebSocket: once, and soon.
//!
//! Tickets live in memory: a client asks for another when this process ends. A ticket lets nobody in, it
//! only leads to the server that asks for a key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use uuid::Uuid;

/// How long a ticket may be presented.
const LIFETIME: Duration = Duration::from_secs(120);
/// Most tickets at once; the oldest makes room.
const MOST: usize = 1_000;

/// Tickets by their texts; clones are the same ones.
#[derive(Clone, Default)]
pub(crate) struct Tickets(Arc<Mutex<HashMap<String, Ticket>>>);

struct Ticket {
    /// The id of the instance that it leads to.
    instance: String,
    expires_at: Instant,
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tickets(***)")
    }
}

impl Tickets {
    fn lock(&self, now: Instant) -> MutexGuard<'_, HashMap<String, Ticket>> {
        let mut tickets = self.0.lock().expect("no holder of this lock panics");
        tickets.retain(|_, ticket| now < ticket.expires_at);
        tickets
    }

    /// Makes one for an instance.
    pub(crate) fn make(&self, instance: &str, now: Instant) -> String {
        let text = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let ticket = Ticket { instance: instance.to_owned(), expires_at: now + LIFETIME };
        let mut tickets = self.lock(now);
        if tickets.len() >= MOST {
            let oldest = tickets.iter().min_by_key(|(_, ticket)| ticket.expires_at);
            let oldest = oldest.map(|(text, _)| text.clone());
            if let Some(oldest) = oldest {
                tickets.remove(&oldest);
            }
        }
        tickets.insert(text.clone(), ticket);
        text
    }

    /// Takes one; whether it was one for this instance.
    pub(crate) fn take(&self, text: &str, instance: &str, now: Instant) -> bool {
        let taken = self.lock(now).remove(text);
        taken.is_some_and(|ticket| ticket.instance == instance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_leads_to_its_instance_once_and_soon() {
        let tickets = Tickets::default();
        let now = Instant::now();
        let ticket = tickets.make("a", now);
        assert!(tickets.take(&ticket, "a", now));
        assert!(!tickets.take(&ticket, "a", now), "only once");
        let ticket = tickets.make("a", now);
        assert!(!tickets.take(&ticket, "b", now), "to no other");
        let ticket = tickets.make("a", now);
        assert!(!tickets.take(&ticket, "a", now + LIFETIME), "not later");
        assert!(!tickets.take("", "a", now));
    }

    #[test]
    fn the_oldest_ticket_makes_room() {
        let tickets = Tickets::default();
        let now = Instant::now();
        let first = tickets.make("a", now);
        let later = now + Duration::from_secs(1);
        let later_ones: Vec<_> = (0..MOST).map(|_| tickets.make("a", later)).collect();
        let last = later_ones.last().unwrap();
        assert!(!tickets.take(&first, "a", later) && tickets.take(last, "a", later));
    }
}
