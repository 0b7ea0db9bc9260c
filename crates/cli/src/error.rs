//! What a command can fail with: a text, its causes, a hint what to do next, and an exit code.

use std::error::Error as StdError;
use std::fmt;
use std::process::ExitCode;

/// Whose fault a failure is; decides the exit code (`berth --help` lists them).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Failure,
    Usage,
    Config,
    Build,
    Host,
    Held,
    Interrupted,
}

/// An error as a person reads it.
#[derive(Debug)]
pub(crate) struct CliError {
    pub(crate) kind: Kind,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
}

impl CliError {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), hint: None }
    }

    /// "failed to {attempt}", with the error and what caused it below.
    pub(crate) fn failure(attempt: &str, error: impl StdError) -> Self {
        Self::attempt(Kind::Failure, attempt, error)
    }

    pub(crate) fn attempt(kind: Kind, attempt: &str, error: impl StdError) -> Self {
        Self { causes: chain(&error), ..Self::new(kind, format!("failed to {attempt}")) }
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "interrupted")
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure, of another kind unless somebody interrupted.
    pub(crate) fn of_kind(mut self, kind: Kind) -> Self {
        if !matches!(self.kind, Kind::Interrupted) {
            self.kind = kind;
        }
        self
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::Failure => 1,
            Kind::Usage => 2,
            Kind::Config => 3,
            Kind::Build => 4,
            Kind::Host => 5,
            Kind::Held => 6,
            Kind::Interrupted => 130,
        })
    }

    /// Message, causes and hint, for a printer to style.
    pub(crate) fn parts(&self) -> (&str, &[String], Option<&str>) {
        (&self.message, &self.causes, self.hint.as_deref())
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

/// An error's text and those of its sources; a source whose text its parent repeats is left out.
pub(crate) fn chain(error: &dyn StdError) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !texts.iter().any(|said| said.contains(&text)) {
            texts.push(text);
        }
        source = error.source();
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_listed_outermost_first_and_once() {
        let inner = std::io::Error::other("inner");
        assert_eq!(chain(&Outer(inner)), ["outer", "inner"]);
        assert_eq!(chain(&std::io::Error::other(std::io::Error::other("same"))), ["same"]);
    }
}
