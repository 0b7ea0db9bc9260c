//! Cron expressions as Cloudflare reads them: five fields, UTC, names, `L`, `W` and `#`; days of
//! the week count from 1 for Sunday.

use std::time::SystemTime;

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

mod runner;

pub(crate) use runner::run;

/// A checked expression.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    cron: croner::Cron,
}

/// Why an expression is none.
#[derive(Debug, thiserror::Error)]
#[error("invalid cron expression \"{expression}\": {reason}")]
pub struct CronError {
    expression: String,
    reason: String,
}

impl Schedule {
    /// Reads an expression such as `*/2 * * * *` or `0 9 * * MON-FRI`.
    ///
    /// # Errors
    /// It is not five fields, or a field is out of range.
    pub fn parse(expression: &str) -> Result<Self, CronError> {
        let error = |reason: String| CronError { expression: expression.to_owned(), reason };
        let fields = expression.split_whitespace().count();
        if fields != 5 {
            let fields =
                if fields == 1 { "1 field".to_owned() } else { format!("{fields} fields") };
            return Err(error(format!(
                "it has {fields}, not 5 (minute, hour, day of the month, month, day of the week)"
            )));
        }
        let cron = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .alternative_weekdays(true)
            .build()
            .parse(expression)
            .map_err(|reason| error(reason.to_string()))?;
        Ok(Self { text: expression.to_owned(), cron })
    }

    /// The expression as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first minute after `time` that matches; `None` if there is none (30 February).
    #[must_use]
    pub fn next_after(&self, time: SystemTime) -> Option<SystemTime> {
        let time = Timestamp::try_from(time).ok()?.to_zoned(TimeZone::UTC);
        let next = self.cron.find_next_occurrence(&time, false).ok()?;
        Some(next.timestamp().into())
    }
}
