//! What was measured of one thing: durations, and the failures among them.

use std::time::Duration;

/// Durations of what succeeded, in the order of their size, and why the others did not.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    durations: Vec<Duration>,
    failures: Vec<String>,
}

impl Sample {
    /// As many attempts as `results`.
    pub(crate) fn of(results: impl IntoIterator<Item = Result<Duration, String>>) -> Self {
        let mut sample = Self::default();
        for result in results {
            match result {
                Ok(duration) => sample.durations.push(duration),
                Err(failure) => sample.failures.push(failure),
            }
        }
        sample.durations.sort_unstable();
        sample
    }

    /// Takes in another round of the same.
    pub(crate) fn merge(&mut self, other: Self) {
        self.durations.extend(other.durations);
        self.durations.sort_unstable();
        self.failures.extend(other.failures);
    }

    /// Number of attempts.
    pub(crate) fn count(&self) -> usize {
        self.durations.len() + self.failures.len()
    }

    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// The smallest duration that at least `percent` of those that succeeded did not exceed;
    /// `None` where none did.
    pub(crate) fn percentile(&self, percent: usize) -> Option<Duration> {
        let rank = (self.durations.len() * percent).div_ceil(100);
        self.durations.get(rank.saturating_sub(1)).copied()
    }

    pub(crate) fn max(&self) -> Option<Duration> {
        self.durations.last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(values: &[u64]) -> Sample {
        Sample::of(values.iter().map(|value| Ok(Duration::from_millis(*value))))
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sample = milliseconds(&[40, 10, 30, 20]);
        let percentile = |percent| sample.percentile(percent).unwrap().as_millis();
        assert_eq!(
            (percentile(50), percentile(75), percentile(76), percentile(95)),
            (20, 30, 40, 40)
        );
        assert_eq!(sample.max().unwrap().as_millis(), 40);
    }

    #[test]
    fn failures_count_as_attempts_and_not_as_durations() {
        let mut sample = Sample::of([Err("503".to_owned())]);
        assert_eq!(sample.percentile(50), None);
        sample.merge(milliseconds(&[5]));
        assert_eq!((sample.count(), sample.failures().len()), (2, 1));
        assert_eq!(sample.percentile(50).unwrap().as_millis(), 5);
    }
}
