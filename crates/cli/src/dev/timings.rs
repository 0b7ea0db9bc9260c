//! `--timings`: where the time of each cold start went, and of all of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use agent::{Phase, StartTimings};

use super::lines::duration;

/// Widest name of a phase.
const NAME: usize = 32;
/// Of the bar beside a phase.
const BAR: usize = 24;

/// All cold starts of a session.
#[derive(Debug, Default)]
pub(crate) struct Timings {
    phases: BTreeMap<Phase, Vec<Duration>>,
    totals: Vec<Duration>,
}

impl Timings {
    /// Takes in one start; its table.
    pub(crate) fn add(&mut self, start: &StartTimings) -> String {
        for (phase, took) in &start.0 {
            self.phases.entry(*phase).or_default().push(*took);
        }
        let total = start.total();
        self.totals.push(total);
        let mut table = format!("cold start: {}\n", duration(total));
        for (phase, took) in &start.0 {
            let bar = "▇".repeat(share(*took, total));
            let line = format!("    {phase:<NAME$} {:>7}  {bar}", duration(*took));
            let _ = writeln!(table, "{}", line.trim_end());
        }
        table
    }

    /// The table of all starts; none without any.
    pub(crate) fn summary(&self) -> Option<String> {
        if self.totals.is_empty() {
            return None;
        }
        let count = self.totals.len();
        let mut table =
            format!("{count} cold starts, from workerd's first question to the first byte\n");
        let head = ["p50", "p95", "max"].map(|name| format!("{name:>8}")).concat();
        let _ = writeln!(table, "    {:<NAME$}{head}", "");
        let mut row = |name: &dyn std::fmt::Display, durations: &[Duration]| {
            let mut sorted = durations.to_vec();
            sorted.sort_unstable();
            let figures = [50, 95, 100].map(|percent| {
                let figure = duration(percentile(&sorted, percent));
                format!("{figure:>8}")
            });
            let _ = writeln!(table, "    {name:<NAME$}{}", figures.concat());
        };
        for (phase, durations) in &self.phases {
            row(phase, durations);
        }
        row(&"all", &self.totals);
        Some(table)
    }
}

/// How long a bar is.
fn share(part: Duration, whole: Duration) -> usize {
    let whole = whole.as_micros().max(1);
    let cells = part.as_micros() * BAR as u128 / whole;
    usize::try_from(cells).unwrap_or(BAR).min(BAR)
}

/// The smallest that as many percent do not exceed; `sorted` has some.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).clamp(1, sorted.len());
    sorted[rank - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(executed: u64, listening: u64) -> StartTimings {
        let ms = Duration::from_millis;
        StartTimings(vec![(Phase::Executed, ms(executed)), (Phase::Listening, ms(listening))])
    }

    #[test]
    fn a_start_is_a_small_table() {
        let table = Timings::default().add(&start(3, 1));
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "cold start: 4.0ms");
        assert_eq!(lines[1], "    mounted and executed               3.0ms  ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇");
        assert_eq!(lines[2], "    held until it listened             1.0ms  ▇▇▇▇▇▇");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn the_summary_has_percentiles_of_each_phase_and_of_all() {
        let mut timings = Timings::default();
        assert_eq!(timings.summary(), None);
        for listening in [1, 2, 9] {
            timings.add(&start(3, listening));
        }
        let summary = timings.summary().unwrap();
        let words: Vec<Vec<&str>> =
            summary.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0][..3], ["3", "cold", "starts,"]);
        assert_eq!(words[1], ["p50", "p95", "max"]);
        assert_eq!(words[3][4..], ["2.0ms", "9.0ms", "9.0ms"]);
        assert_eq!(words[4], ["all", "5.0ms", "12ms", "12ms"]);
    }
}
