//! How many of a thing that takes long to make are to be ready: more when some were missed, fewer again
//! when for a while none were.

use std::time::{Duration, Instant};

/// How many times as many a pool may keep in a time of bursts as in a quiet one.
const GROWTH: usize = 8;

/// A time without a miss, after which half of what was added goes.
pub(crate) const QUIET: Duration = Duration::from_secs(30);

/// The demand for one kind of thing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand {
    least: usize,
    wanted: usize,
    /// When it last grew or shrank; `None` when there is nothing to shrink.
    changed: Option<Instant>,
}

impl Demand {
    /// Between `least` and [`GROWTH`] times that.
    pub(crate) fn new(least: usize) -> Self {
        Self { least, wanted: least, changed: None }
    }

    /// One was asked for, and none was ready.
    pub(crate) fn missed(&mut self, now: Instant) {
        self.wanted = (self.wanted * 2).min(self.least * GROWTH);
        self.changed = Some(now);
    }

    /// How many are to be ready.
    pub(crate) fn wanted(&mut self, now: Instant) -> usize {
        while let Some(changed) = self.changed
            && now.saturating_duration_since(changed) >= QUIET
        {
            self.wanted = (self.wanted / 2).max(self.least);
            self.changed = (self.wanted > self.least).then(|| changed + QUIET);
        }
        self.wanted
    }

    /// Whether one more is wanted at once, even beside starts that are under way: half of them are gone.
    pub(crate) fn is_urgent(&self, ready: usize) -> bool {
        ready * 2 < self.wanted
    }

    /// Whether it will be less some time from now without anything having happened.
    pub(crate) fn will_shrink(&self) -> bool {
        self.changed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_makes_it_grow_up_to_a_bound() {
        let now = Instant::now();
        let mut demand = Demand::new(8);
        assert_eq!(demand.wanted(now), 8);
        demand.missed(now);
        assert_eq!(demand.wanted(now), 16);
        assert!(demand.is_urgent(7) && !demand.is_urgent(8));
        (0..100).for_each(|_| demand.missed(now));
        assert_eq!(demand.wanted(now), 64);
    }

    #[test]
    fn without_misses_it_shrinks_by_half_at_a_time_to_where_it_began() {
        let now = Instant::now();
        let mut demand = Demand::new(8);
        (0..3).for_each(|_| demand.missed(now));
        let after = |quiet: u32| now + QUIET * quiet;
        assert_eq!(demand.wanted(after(1) - Duration::from_millis(1)), 64);
        assert_eq!(demand.wanted(after(1)), 32);
        assert_eq!(demand.wanted(after(2)), 16);
        assert!(demand.will_shrink());
        assert_eq!(demand.wanted(after(40)), 8);
        assert!(!demand.will_shrink());
        demand.missed(after(41));
        assert_eq!(demand.wanted(after(41)), 16);
    }

    #[test]
    fn a_pool_that_keeps_nothing_goes_on_keeping_nothing() {
        let now = Instant::now();
        let mut demand = Demand::new(0);
        demand.missed(now);
        assert_eq!(demand.wanted(now), 0);
    }
}
