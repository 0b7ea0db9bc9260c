//! The database's schema, one step after another.

use rusqlite::{Connection, TransactionBehavior};

use crate::StoreError;

/// Each step leads from the schema of its index to the next; none is ever changed.
const STEPS: [&str; 1] = ["
    CREATE TABLE records (
        key TEXT PRIMARY KEY NOT NULL,
        value BLOB NOT NULL,
        revision INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE revision (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        last INTEGER NOT NULL
    ) STRICT;
    INSERT INTO revision (only_row, last) VALUES (1, 0);
"];

/// Brings a database to the newest schema; what fails leaves it at the one before.
pub(crate) fn run(connection: &mut Connection) -> Result<(), StoreError> {
    let failed = |source| StoreError::Database { action: "bring to its newest schema", source };
    let known = u32::try_from(STEPS.len()).unwrap_or(u32::MAX);
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found: u32 =
        transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for step in &STEPS[found as usize..] {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(failed)?;
    transaction.commit().map_err(failed)
}
