//! Cron expressions as Cloudflare reads them: five fields, UTC, names, `L`, `W` and `#`.

use std::time::SystemTime;

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
        let _ = expression;
        Err(CronError { expression: expression.to_owned(), reason: String::new() })
    }

    /// The expression as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first minute after `time` that matches; `None` if there is none (30 February).
    #[must_use]
    pub fn next_after(&self, time: SystemTime) -> Option<SystemTime> {
        let _ = (&self.cron, time);
        None
    }
}
