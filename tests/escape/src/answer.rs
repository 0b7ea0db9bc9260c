//! What became of attempts.

use std::collections::BTreeSet;

/// One attempt and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The attempt, in words.
    pub attempt: String,
    /// What it gave, or the errno.
    pub result: Result<String, i32>,
}

/// Those of one run of the attacker, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers(pub Vec<Answer>);

impl Answers {
    /// Parses what the attacker printed for those attempts.
    ///
    /// # Panics
    /// An attempt has no answer: it ended the attacker.
    #[must_use]
    pub fn parse(attempts: &[&str], text: &str) -> Self {
        let mut answers = Vec::new();
        for (attempt, line) in attempts.iter().zip(text.lines()) {
            let (said, result) = line.split_once('\t').unwrap_or((line, ""));
            assert_eq!(said, *attempt, "the answers are in order");
            let result = match result.strip_prefix("errno ") {
                Some(errno) => Err(errno.parse().expect("an errno is a number")),
                None => Ok(result.trim_start_matches("ok").trim_start().to_owned()),
            };
            answers.push(Answer { attempt: said.to_owned(), result });
        }
        assert_eq!(answers.len(), attempts.len(), "every attempt has an answer:\n{text}");
        Self(answers)
    }

    /// Asserts that none succeeded, and each failed for one of these reasons: an attempt that fails
    /// for another did not meet the guard.
    ///
    /// # Panics
    /// One did.
    #[track_caller]
    pub fn refused(&self, reasons: &[i32]) {
        let other = |answer: &&Answer| !answer.result.as_ref().is_err_and(|e| reasons.contains(e));
        let found: Vec<&Answer> = self.0.iter().filter(other).collect();
        assert!(found.is_empty(), "not refused with one of {reasons:?}: {found:#?}");
    }

    /// Asserts that all succeeded.
    ///
    /// # Panics
    /// One did not.
    #[track_caller]
    pub fn possible(&self) {
        let failed: Vec<&Answer> = self.0.iter().filter(|answer| answer.result.is_err()).collect();
        assert!(failed.is_empty(), "the control shows nothing: {failed:#?}");
    }

    /// The result of an attempt.
    ///
    /// # Panics
    /// It was not made.
    pub fn of(&self, attempt: &str) -> &Result<String, i32> {
        let answer = self.0.iter().find(|answer| answer.attempt == attempt);
        &answer.unwrap_or_else(|| panic!("no attempt `{attempt}`")).result
    }

    /// The only result.
    ///
    /// # Panics
    /// There are several.
    pub fn only(&self) -> &Result<String, i32> {
        assert_eq!(self.0.len(), 1, "one attempt was made");
        &self.0[0].result
    }

    /// The errnos that came back.
    #[must_use]
    pub fn errnos(&self) -> BTreeSet<i32> {
        self.0.iter().filter_map(|answer| answer.result.clone().err()).collect()
    }
}
