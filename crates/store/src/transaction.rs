//! What changes together, and under which conditions.

use crate::{CommitError, Record, Revision};

/// What must hold for a transaction to have an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// There is no record under this key.
    Absent(String),
    /// The record under this key was last written then.
    At(String, Revision),
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// A record gets this value, whether it was there or not.
    Put(String, Vec<u8>),
    /// There is no record any more; it may not have been there.
    Delete(String),
}

/// Changes that happen together, or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    pub(crate) preconditions: Vec<Precondition>,
    pub(crate) writes: Vec<Write>,
}

impl Transaction {
    /// Without conditions and changes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only if there is nothing under `key`.
    #[must_use]
    pub fn if_absent(mut self, key: impl Into<String>) -> Self {
        self.preconditions.push(Precondition::Absent(key.into()));
        self
    }

    /// Only if a record is still the one that was read: `None` means that there was none.
    #[must_use]
    pub fn if_unchanged(mut self, key: impl Into<String>, read: Option<Revision>) -> Self {
        let key = key.into();
        self.preconditions.push(match read {
            Some(revision) => Precondition::At(key, revision),
            None => Precondition::Absent(key),
        });
        self
    }

    /// Writes a record.
    #[must_use]
    pub fn put(mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.writes.push(Write::Put(key.into(), value.into()));
        self
    }

    /// Removes a record.
    #[must_use]
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.writes.push(Write::Delete(key.into()));
        self
    }
}

impl Precondition {
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Absent(key) | Self::At(key, _) => key,
        }
    }

    /// Compares with what is there.
    pub(crate) fn check(&self, there: Option<Revision>) -> Result<(), CommitError> {
        let holds = match self {
            Self::Absent(_) => there.is_none(),
            Self::At(_, revision) => there == Some(*revision),
        };
        if holds { Ok(()) } else { Err(CommitError::Conflict { key: self.key().to_owned() }) }
    }
}

/// The first key that does not begin with `prefix` and comes after all that do; `None` when none does.
pub(crate) fn end_of(prefix: &str) -> Option<Vec<u8>> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// Whether a record belongs to a list.
pub(crate) fn is_listed(record: &Record, prefix: &str, after: Option<&str>) -> bool {
    record.key.starts_with(prefix) && after.is_none_or(|after| record.key.as_str() > after)
}
