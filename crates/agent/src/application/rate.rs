//! How fast instances may be started: a token bucket, pure, with its clock as argument.

use std::time::Instant;

use model::limits::{START_BURST_SECONDS, STARTS_PER_SECOND};

/// The most starts an application may ask for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StartRate {
    /// In the long run, each second.
    pub per_second: f64,
    /// At once.
    pub burst: u32,
}

impl StartRate {
    /// That many starts each second in the long run, and at once what is allowed in
    /// [`START_BURST_SECONDS`], one at least.
    #[must_use]
    pub fn per_second(per_second: f64) -> Self {
        let burst = (per_second * START_BURST_SECONDS).ceil().clamp(1.0, f64::from(u32::MAX));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to what fits"
        )]
        let burst = burst as u32;
        Self { per_second, burst }
    }
}

impl Default for StartRate {
    fn default() -> Self {
        Self::per_second(STARTS_PER_SECOND)
    }
}

#[derive(Debug)]
pub(super) struct Bucket {
    rate: StartRate,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    pub(super) fn new(rate: StartRate, now: Instant) -> Self {
        Self { rate, tokens: f64::from(rate.burst), filled: now }
    }

    /// Takes one start out, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = f64::from(self.rate.burst).min(self.tokens + passed * self.rate.per_second);
        self.filled = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_rate_allows_ten_seconds_starts_at_once_and_one_at_least() {
        assert_eq!(StartRate::default(), StartRate { per_second: 200.0, burst: 2_000 });
        assert_eq!(StartRate::per_second(0.01).burst, 1);
        assert_eq!(StartRate::per_second(0.25).burst, 3);
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = Bucket::new(StartRate { per_second: 2.0, burst: 3 }, start);
        assert_eq!((0..5).filter(|_| bucket.take(start)).count(), 3);
        assert!(bucket.take(start + Duration::from_millis(500)));
        assert!(!bucket.take(start + Duration::from_millis(500)));
    }
}
