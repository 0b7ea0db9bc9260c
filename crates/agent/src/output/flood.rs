//! How many lines a second are told to readers: a program that prints without end must not keep
//! every console and the agent busy. Pure, with its clock as argument.

use std::time::Instant;

/// Lines a second that are told in the long run.
const RATE: f64 = 1000.0;
/// Lines told at once after a quiet time.
const BURST: f64 = 5000.0;

/// A bucket of tokens, one for each line.
#[derive(Debug)]
pub(super) struct Flood {
    tokens: f64,
    filled: Instant,
    skipped: u64,
}

/// Whether a line is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// It is not.
    No,
    /// It is.
    Yes,
    /// It is, and that many before it were not.
    After(u64),
}

impl Flood {
    pub(super) fn new(now: Instant) -> Self {
        Self { tokens: BURST, filled: now, skipped: 0 }
    }

    /// Decides over one line.
    pub(super) fn line(&mut self, now: Instant) -> Shown {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = BURST.min(self.tokens + passed * RATE);
        self.filled = now;
        if self.tokens < 1.0 {
            self.skipped += 1;
            return Shown::No;
        }
        self.tokens -= 1.0;
        match std::mem::take(&mut self.skipped) {
            0 => Shown::Yes,
            skipped => Shown::After(skipped),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_cut_and_says_how_much() {
        let start = Instant::now();
        let mut flood = Flood::new(start);
        let shown = (0..7000).filter(|_| flood.line(start) != Shown::No).count();
        assert_eq!(shown, 5000);
        let later = start + Duration::from_secs(1);
        assert_eq!(flood.line(later), Shown::After(2000));
        assert_eq!(flood.line(later), Shown::Yes);
    }

    #[test]
    fn an_ordinary_program_loses_nothing() {
        let start = Instant::now();
        let mut flood = Flood::new(start);
        for second in 0..20 {
            let now = start + Duration::from_secs(second);
            assert!((0..900).all(|_| flood.line(now) == Shown::Yes));
        }
    }
}
