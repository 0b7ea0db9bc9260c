//! The places an application has for running instances, given out in the order they are asked for.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use model::DurableObjectId;
use model::limits::CAPACITY_PAUSE;
use tokio::sync::oneshot;

/// Who has a place and who waits for one. `P` is a place.
#[derive(Debug)]
pub(super) struct Capacity<P> {
    taken: u32,
    waiting: VecDeque<oneshot::Sender<P>>,
    /// When objects began to wait; forgotten after a pause.
    waited: HashMap<DurableObjectId, Instant>,
}

/// The answer to who asks for a place.
#[derive(Debug)]
pub(super) enum Answer<P> {
    /// It has one.
    Taken,
    /// It may wait for its turn.
    Wait(oneshot::Receiver<P>),
    /// None is free, and it has waited before, or none will ever be.
    None,
}

impl<P> Default for Capacity<P> {
    fn default() -> Self {
        Self { taken: 0, waiting: VecDeque::new(), waited: HashMap::new() }
    }
}

impl<P> Capacity<P> {
    /// Takes one of `most` places for an object, or queues for it.
    pub(super) fn ask(&mut self, most: u32, object: &DurableObjectId, now: Instant) -> Answer<P> {
        self.waiting.retain(|waiting| !waiting.is_closed());
        if self.taken < most && self.waiting.is_empty() {
            self.taken += 1;
            return Answer::Taken;
        }
        self.waited.retain(|_, since| now.saturating_duration_since(*since) < CAPACITY_PAUSE);
        if most == 0 || self.waited.contains_key(object) {
            return Answer::None;
        }
        self.waited.insert(object.clone(), now);
        let (turn, wait) = oneshot::channel();
        self.waiting.push_back(turn);
        Answer::Wait(wait)
    }

    /// A place beyond all limits: for an instance that runs already.
    pub(super) fn take(&mut self) {
        self.taken += 1;
    }

    /// Gives a place back.
    pub(super) fn give_back(&mut self) {
        self.taken -= 1;
    }

    /// The next in turn, if there is a place for it, which it has now.
    pub(super) fn next(&mut self, most: u32) -> Option<oneshot::Sender<P>> {
        while self.taken < most {
            let next = self.waiting.pop_front()?;
            if !next.is_closed() {
                self.taken += 1;
                return Some(next);
            }
        }
        None
    }

    /// How many places are taken.
    #[cfg(test)]
    pub(super) fn taken(&self) -> u32 {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(n: u8) -> DurableObjectId {
        DurableObjectId::try_from(format!("{n:02x}").repeat(32)).unwrap()
    }

    fn wait(capacity: &mut Capacity<()>, n: u8, now: Instant) -> oneshot::Receiver<()> {
        match capacity.ask(1, &object(n), now) {
            Answer::Wait(turn) => turn,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn places_are_given_in_the_order_they_were_asked_for() {
        let (mut capacity, now) = (Capacity::default(), Instant::now());
        assert!(matches!(capacity.ask(1, &object(1), now), Answer::Taken));
        let (mut first, gone) = (wait(&mut capacity, 2, now), wait(&mut capacity, 3, now));
        let mut last = wait(&mut capacity, 4, now);
        assert!(capacity.next(1).is_none(), "none is free");
        drop(gone);
        capacity.give_back();
        assert!(matches!(capacity.ask(1, &object(5), now), Answer::Wait(_)), "no one jumps it");
        capacity.next(1).unwrap().send(()).unwrap();
        assert!(first.try_recv().is_ok() && last.try_recv().is_err());
        capacity.give_back();
        capacity.next(1).unwrap().send(()).unwrap();
        assert!(last.try_recv().is_ok(), "who has gone is passed over");
        assert_eq!(capacity.taken(), 1);
    }

    #[test]
    fn an_object_waits_once_and_again_only_after_a_pause() {
        let (mut capacity, now) = (Capacity::default(), Instant::now());
        capacity.take();
        drop(wait(&mut capacity, 2, now));
        assert!(matches!(capacity.ask(1, &object(2), now), Answer::None));
        drop(wait(&mut capacity, 3, now));
        drop(wait(&mut capacity, 2, now + CAPACITY_PAUSE));
        assert!(matches!(capacity.ask(0, &object(4), now), Answer::None), "nothing to wait for");
    }

    #[test]
    fn a_raised_limit_is_for_those_who_wait() {
        let (mut capacity, now) = (Capacity::default(), Instant::now());
        capacity.take();
        let mut turn = wait(&mut capacity, 2, now);
        capacity.next(2).unwrap().send(()).unwrap();
        assert!(turn.try_recv().is_ok());
    }
}
