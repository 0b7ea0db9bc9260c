//! State of the control plane: records under keys, changed by transactions that hold only while
//! their preconditions do.
//!
//! The trait is small enough for one SQLite file ([`Sqlite`], the default), for memory ([`Memory`],
//! in tests) and for etcd: keys with prefixes, a revision that grows with each transaction,
//! comparisons before writes. What the records mean is `control`'s business. Calls block for as long
//! as the disk takes.
#![forbid(unsafe_code)]

mod memory;
mod migrations;
mod sqlite;
mod transaction;

#[cfg(test)]
mod conformance;

pub use memory::Memory;
pub use sqlite::{Sqlite, copy_database};
pub use transaction::{Precondition, Transaction, Write};

/// When a record was last written: the number of the transaction that did it, over the whole store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its key: parts with `/` between them.
    pub key: String,
    /// Its value, whatever the writer gave.
    pub value: Vec<u8>,
    /// When it was last written.
    pub revision: Revision,
}

/// Why something could not be read or written. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database says no: a full disk, a broken file.
    #[error("{action} the control plane's database: {source}")]
    Database {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: rusqlite::Error,
    },
    /// The database's folder or file cannot be made as it must be.
    #[error("make the control plane's database: {0}")]
    File(#[from] std::io::Error),
    /// It was written by a newer Berth.
    #[error(
        "open the control plane's database: its schema is {found}, and this Berth knows {known}"
    )]
    Newer {
        /// The file's schema.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
}

/// Why a transaction had no effect at all.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A precondition does not hold: somebody else was first.
    #[error("somebody else has changed \"{key}\" meanwhile")]
    Conflict {
        /// The record it is about.
        key: String,
    },
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Records under keys.
///
/// Everything that was committed is seen by each call that begins afterwards, and survives a crash at
/// any moment.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// The record under a key.
    ///
    /// # Errors
    /// The store cannot be read.
    fn get(&self, key: &str) -> Result<Option<Record>, StoreError>;

    /// The records whose keys begin with `prefix` and come after `after`, in the order of their keys'
    /// bytes, at most `limit`.
    ///
    /// # Errors
    /// The store cannot be read.
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// Makes every write of a transaction, or none.
    ///
    /// # Errors
    /// A precondition does not hold, or the store cannot be written.
    fn commit(&self, transaction: &Transaction) -> Result<Revision, CommitError>;
}
