//! How fast instances may be started: a token bucket, pure, with its clock as argument.

use std::time::Instant;

/// The most starts an application may ask for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StartRate {
    /// In the long run, each second.
    pub per_second: f64,
    /// At once.
    pub burst: u32,
}

impl Default for StartRate {
    /// Far more than one machine starts in earnest: a guard against loops, not a quota.
    fn default() -> Self {
        Self { per_second: 200.0, burst: 2_000 }
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
    fn a_burst_passes_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = Bucket::new(StartRate { per_second: 2.0, burst: 3 }, start);
        assert_eq!((0..5).filter(|_| bucket.take(start)).count(), 3);
        assert!(bucket.take(start + Duration::from_millis(500)));
        assert!(!bucket.take(start + Duration::from_millis(500)));
    }
}
