//! A store in one SQLite file.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fs_err::os::unix::fs::OpenOptionsExt as _;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, TransactionBehavior, params};

use crate::transaction::end_of;
use crate::{CommitError, Record, Revision, Store, StoreError, Transaction, Write, migrations};

/// How long to wait for another process that writes, such as a backup.
const BUSY: Duration = Duration::from_secs(10);

/// How long a copy pauses while somebody else has the database locked.
const RETRY: Duration = Duration::from_millis(10);

/// Records in one file, readable by its owner alone.
#[derive(Debug)]
pub struct Sqlite(Mutex<Connection>);

impl Sqlite {
    /// Opens the file, makes it if it is missing, and brings it to the newest schema.
    ///
    /// # Errors
    /// The file cannot be used, or was written by a newer Berth.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // SQLite would make it with the umask's permissions, and its helpers take the file's.
        fs_err::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)?;
        let failed = |source| StoreError::Database { action: "open", source };
        let mut connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        // WAL: readers never wait for a writer. FULL: what was answered survives a power cut.
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        migrations::run(&mut connection)?;
        Ok(Self(Mutex::new(connection)))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A transaction that a panic ends is rolled back when it is dropped.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies a SQLite database, the control plane's or any other, as it is at one moment, to a new file;
/// whoever writes it goes on meanwhile, in this process or in another.
///
/// # Errors
/// There is no such database, or the new file is there already or cannot be written.
pub fn copy_database(from: &Path, to: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::Database { action: "copy", source };
    // Nothing of it is changed: what a killed writer has left is its successor's to clear up.
    let from =
        Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    from.busy_timeout(BUSY).map_err(failed)?;
    fs_err::OpenOptions::new().create_new(true).write(true).mode(0o600).open(to)?;
    let mut copy = Connection::open(to).map_err(failed)?;
    let backup = rusqlite::backup::Backup::new(&from, &mut copy).map_err(failed)?;
    // In one step, so that no writer makes it begin again.
    backup.run_to_completion(i32::MAX, RETRY, None).map_err(failed)
}

impl Store for Sqlite {
    fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        self.connection()
            .prepare_cached("SELECT key, value, revision FROM records WHERE key = ?1")
            .and_then(|mut query| query.query_row([key], record).optional())
            .map_err(|source| StoreError::Database { action: "read", source })
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let connection = self.connection();
        // Keys are compared as bytes, which is what SQLite does with texts unless told otherwise.
        let read = || {
            let mut query = connection.prepare_cached(
                "SELECT key, value, revision FROM records
                 WHERE key >= ?1 AND (?2 IS NULL OR key > ?2) AND (?3 IS NULL OR CAST(key AS BLOB) < ?3)
                 ORDER BY key LIMIT ?4",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = query.query_map(params![prefix, after, end_of(prefix), limit], record)?;
            rows.collect::<Result<Vec<_>, _>>()
        };
        read().map_err(|source| StoreError::Database { action: "list", source })
    }

    fn commit(&self, transaction: &Transaction) -> Result<Revision, CommitError> {
        let failed = |source| StoreError::Database { action: "write", source };
        let mut connection = self.connection();
        let writing =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        for precondition in &transaction.preconditions {
            let there = writing
                .prepare_cached("SELECT revision FROM records WHERE key = ?1")
                .and_then(|mut query| {
                    query.query_row([precondition.key()], |row| row.get(0)).optional()
                })
                .map_err(failed)?;
            precondition.check(there.map(Revision))?;
        }
        let revision: u64 = writing
            .query_row("UPDATE revision SET last = last + 1 RETURNING last", [], |row| row.get(0))
            .map_err(failed)?;
        for write in &transaction.writes {
            self::write(&writing, write, revision).map_err(failed)?;
        }
        writing.commit().map_err(failed)?;
        Ok(Revision(revision))
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record { key: row.get(0)?, value: row.get(1)?, revision: Revision(row.get(2)?) })
}

fn write(connection: &Connection, write: &Write, revision: u64) -> rusqlite::Result<()> {
    match write {
        Write::Put(key, value) => connection
            .prepare_cached(
                "INSERT OR REPLACE INTO records (key, value, revision) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![key, value, revision]),
        Write::Delete(key) => {
            connection.prepare_cached("DELETE FROM records WHERE key = ?1")?.execute([key])
        }
    }
    .map(|_rows| ())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_was_committed_is_there_when_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sqlite");
        let first = Sqlite::open(&path).unwrap();
        let revision = first.commit(&Transaction::new().put("a", "1")).unwrap();
        drop(first);
        let second = Sqlite::open(&path).unwrap();
        let expected = Record { key: "a".into(), value: b"1".to_vec(), revision };
        assert_eq!(second.get("a").unwrap(), Some(expected));
        assert!(second.commit(&Transaction::new().put("b", "2")).unwrap() > revision);
    }

    #[test]
    fn nobody_else_may_read_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sqlite");
        let store = Sqlite::open(&path).unwrap();
        store.commit(&Transaction::new().put("a", "1")).unwrap();
        for file in fs_err::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            let mode = file.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", file.path().display());
        }
    }

    #[test]
    fn a_file_of_a_newer_berth_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sqlite");
        drop(Sqlite::open(&path).unwrap());
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        drop(connection);
        let error = Sqlite::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
    }

    #[test]
    fn a_copy_holds_one_moment_and_replaces_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("control.sqlite")).unwrap();
        store.commit(&Transaction::new().put("a", "1")).unwrap();
        let (from, copy) =
            (folder.path().join("control.sqlite"), folder.path().join("copy.sqlite"));
        copy_database(&from, &copy).unwrap();
        store.commit(&Transaction::new().put("a", "2")).unwrap();
        assert_eq!(Sqlite::open(&copy).unwrap().get("a").unwrap().unwrap().value, b"1");
        assert!(copy_database(&from, &copy).is_err());
        let none = folder.path().join("none.sqlite");
        assert!(copy_database(&none, &folder.path().join("other")).is_err() && !none.exists());
    }

    #[test]
    fn no_database_is_an_error_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sqlite");
        fs_err::write(&path, "x".repeat(4096)).unwrap();
        let error = Sqlite::open(&path).unwrap_err();
        assert!(error.to_string().contains("file is not a database"), "{error}");
    }
}
