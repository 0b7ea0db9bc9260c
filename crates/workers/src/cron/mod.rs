//! Cron expressions as Cloudflare reads them: five fields, UTC, names, `L`, `W` and `#`; days of
//! the week count from 1 for Sunday.

use std::time::SystemTime;

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

mod runner;
mod runs;

pub(crate) use runner::run;
pub(crate) use runs::Runs;

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

/// The five fields, in order, and the longest step that each can take.
const FIELDS: [(&str, u32); 5] =
    [("minute", 59), ("hour", 23), ("day of the month", 30), ("month", 11), ("day of the week", 6)];

impl Schedule {
    /// Reads an expression such as `*/2 * * * *` or `0 9 * * MON-FRI`.
    ///
    /// Cloudflare's `L-3` (days before the last of a month) and ranges over the end (`FRI-MON`) are
    /// refused, because they are not implemented.
    ///
    /// # Errors
    /// It is not five fields, or a field is out of range.
    pub fn parse(expression: &str) -> Result<Self, CronError> {
        let error = |reason: String| CronError { expression: expression.to_owned(), reason };
        let fields: Vec<&str> = expression.split_whitespace().collect();
        if fields.len() != FIELDS.len() {
            let fields = match fields.len() {
                1 => "1 field".to_owned(),
                n => format!("{n} fields"),
            };
            return Err(error(format!(
                "it has {fields}, not 5 (minute, hour, day of the month, month, day of the week)"
            )));
        }
        for (field, (name, longest)) in fields.iter().zip(FIELDS) {
            check(field, longest)
                .map_err(|reason| error(format!("{name} \"{field}\": {reason}")))?;
        }
        let mut fields = fields;
        // The last day of a week, which the library knows as a number only.
        if fields[4].eq_ignore_ascii_case("L") {
            fields[4] = "7";
        }
        let cron = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .alternative_weekdays(true)
            .sloppy_ranges(true)
            .build()
            .parse(&fields.join(" "))
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

    /// The last minute up to `time` that matches.
    pub(crate) fn last_before(&self, time: SystemTime) -> Option<SystemTime> {
        let time = Timestamp::try_from(time).ok()?.to_zoned(TimeZone::UTC);
        let last = self.cron.find_previous_occurrence(&time, true).ok()?;
        Some(last.timestamp().into())
    }
}

/// Refuses what the library reads and Cloudflare does not.
fn check(field: &str, longest_step: u32) -> Result<(), String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "*,-/#".contains(c);
    if let Some(odd) = field.chars().find(|c| !known(*c)) {
        return Err(format!("'{odd}' has no meaning here"));
    }
    if field.starts_with(['L', 'l']) && field[1..].starts_with('-') {
        return Err("days before the last one are not supported".to_owned());
    }
    let elements: Vec<&str> = field.split(',').collect();
    for element in &elements {
        // July is the one name that ends like "the last".
        let last_or_nth = element.contains('#')
            || (element.ends_with(['L', 'W', 'l', 'w']) && !element.eq_ignore_ascii_case("JUL"));
        if elements.len() > 1 && last_or_nth {
            return Err(format!("{element} cannot be in a list"));
        }
        let (range, step) = element.split_once('/').map_or((*element, None), |(r, s)| (r, Some(s)));
        if range.is_empty() {
            return Err("a value is missing".to_owned());
        }
        let step =
            step.map(|step| step.parse::<u32>().ok().filter(|n| (1..=longest_step).contains(n)));
        if step == Some(None) {
            return Err(format!("a step is a number from 1 to {longest_step}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
