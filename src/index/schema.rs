//! Tables, settings and the check of an existing database.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::database::IndexSettings;
use super::error::IndexError;
use super::{chunks, lookup};
use crate::base::RepositoryId;

/// Marks the file as this room's ("snpi").
const APPLICATION_ID: i64 = 0x736e_7069;
/// Counts up with every change of the tables; another number means the database is made anew.
const SCHEMA_VERSION: i64 = 3;
/// How long a statement waits for another process.
const BUSY_WAIT_SECONDS: u64 = 30;
/// How large the write-ahead log may stay on disk once it is empty.
const LOG_KEEP_MAX_BYTES: i64 = 64 << 20;
/// How large the write-ahead log grows before its pages move into the file: each move costs two syncs.
const LOG_MOVE_BYTES: i64 = 32 << 20;
/// How many blocks are looked at when a database is opened.
const SAMPLE_COUNT: i64 = 16;
/// Statements kept prepared.
const STATEMENT_COUNT_MAX: usize = 64;

/// `blocks` has its large column last, so that reading the others stays on the row's first page.
const TABLES: &str = "
CREATE TABLE repository(id BLOB NOT NULL);
CREATE TABLE counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE indexes(number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE);
CREATE TABLE index_packs(pack INTEGER NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY(pack, number)) WITHOUT ROWID;
CREATE INDEX index_packs_by_number ON index_packs(number);
CREATE TABLE packs(pack INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,
    directory INTEGER NOT NULL, content INTEGER NOT NULL, first_n INTEGER NOT NULL,
    chunk_count INTEGER NOT NULL, raw INTEGER NOT NULL);
CREATE TABLE pending(id BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE intents(pack INTEGER PRIMARY KEY);
CREATE TABLE owners(pack INTEGER NOT NULL, handle INTEGER NOT NULL, PRIMARY KEY(pack, handle)) WITHOUT ROWID;
CREATE TABLE blocks(first_n INTEGER PRIMARY KEY, pack INTEGER NOT NULL, offset INTEGER NOT NULL,
    stored INTEGER NOT NULL, raw INTEGER NOT NULL, depth INTEGER NOT NULL,
    bases BLOB NOT NULL, lengths BLOB NOT NULL, ids BLOB NOT NULL);
CREATE TABLE chunks_0(key INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY(key, n)) WITHOUT ROWID;
CREATE TABLE chunks_1(key INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY(key, n)) WITHOUT ROWID;
CREATE TABLE chunks_2(key INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY(key, n)) WITHOUT ROWID;
CREATE TABLE sieve_parts(level INTEGER NOT NULL, part INTEGER NOT NULL, bits BLOB NOT NULL,
    PRIMARY KEY(level, part));
CREATE TABLE jobs(number INTEGER PRIMARY KEY, job BLOB NOT NULL UNIQUE);
CREATE TABLE file_states(job INTEGER NOT NULL, path BLOB NOT NULL, fingerprint BLOB NOT NULL,
    content BLOB NOT NULL, PRIMARY KEY(job, path)) WITHOUT ROWID;
CREATE TABLE objects(kind TEXT NOT NULL, id BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY(kind, id));
CREATE TABLE verified(pack BLOB PRIMARY KEY, seconds INTEGER NOT NULL, nanoseconds INTEGER NOT NULL,
    ok INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE runs(number INTEGER PRIMARY KEY, command TEXT NOT NULL,
    started_seconds INTEGER NOT NULL, started_nanoseconds INTEGER NOT NULL,
    ended_seconds INTEGER NOT NULL, ended_nanoseconds INTEGER NOT NULL,
    outcome TEXT NOT NULL, summary TEXT NOT NULL);
CREATE TABLE feature_runs(run INTEGER PRIMARY KEY, rows INTEGER NOT NULL);
CREATE TABLE feature_pages(run INTEGER NOT NULL, first INTEGER NOT NULL, rows BLOB NOT NULL,
    PRIMARY KEY(run, first)) WITHOUT ROWID;
CREATE TABLE kin(key BLOB PRIMARY KEY, node BLOB NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX kin_by_use ON kin(used);
INSERT INTO counters VALUES ('next_ordinal', 0), ('next_pack', 1), ('next_handle', 1),
    ('rows_0', 0), ('rows_1', 0), ('kin_used', 0), ('sieve_generation', 0),
    ('sieve_lines_1', 0), ('sieve_room_1', 0), ('sieve_lines_2', 0), ('sieve_room_2', 0);
";

/// Makes the tables in the empty file at `path`.
pub(super) fn create(
    path: &Path,
    repository: RepositoryId,
    settings: &IndexSettings,
) -> Result<Connection, IndexError> {
    let mut connection = connect(path)?;
    connection.pragma_update(None, "page_size", settings.page_size_bytes)?;
    configure(&connection, settings)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES)?;
    transaction.execute("INSERT INTO repository VALUES (?1)", params![repository.0])?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()?;
    checkpoint(&connection)?;
    Ok(connection)
}

/// Opens the database at `path`; `None` when it is another repository's, or of another schema.
pub(super) fn open(
    path: &Path,
    repository: RepositoryId,
    settings: &IndexSettings,
) -> Result<Option<Connection>, IndexError> {
    let mut connection = connect(path)?;
    if pragma_integer(&connection, "application_id")? != APPLICATION_ID
        || pragma_integer(&connection, "user_version")? != SCHEMA_VERSION
    {
        return Ok(None);
    }
    configure(&connection, settings)?;
    let owner: Vec<u8> = connection.query_row("SELECT id FROM repository", [], |row| row.get(0))?;
    if owner != repository.0 {
        return Ok(None);
    }
    check_size(&connection, path)?;
    check_sample(&mut connection)?;
    Ok(Some(connection))
}

fn connect(path: &Path) -> Result<Connection, IndexError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW,
    )?;
    connection.busy_timeout(Duration::from_secs(BUSY_WAIT_SECONDS))?;
    Ok(connection)
}

/// A page that fails `cell_size_check` is reported when it is read, not when a cell runs over its end.
fn configure(connection: &Connection, settings: &IndexSettings) -> Result<(), IndexError> {
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update_and_check(None, "mmap_size", 0, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_KEEP_MAX_BYTES, |_| Ok(()))?;
    let log_pages = LOG_MOVE_BYTES / i64::from(settings.page_size_bytes.max(512));
    connection.pragma_update_and_check(None, "wal_autocheckpoint", log_pages, |_| Ok(()))?;
    set_cache_size(connection, settings.cache_bytes)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_COUNT_MAX);
    Ok(())
}

/// Bounds the page cache; SQLite counts negative numbers as KiB.
pub(super) fn set_cache_size(connection: &Connection, cache_bytes: u64) -> Result<(), IndexError> {
    let kibibytes = i64::try_from(cache_bytes / 1024).unwrap_or(i64::MAX).max(64);
    connection.pragma_update(None, "cache_size", -kibibytes)?;
    Ok(())
}

/// Moves the write-ahead log into the file; returns whether nobody was in the way.
fn checkpoint(connection: &Connection) -> Result<bool, IndexError> {
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(busy == 0)
}

fn pragma_integer(connection: &Connection, name: &str) -> Result<i64, IndexError> {
    Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
}

/// Compares the file's length with its head, which catches a file that was cut off. Pages still in the log
/// excuse a short file until the log was moved; when another process is in the way, that one has the file in
/// good order.
fn check_size(connection: &Connection, path: &Path) -> Result<(), IndexError> {
    let expected = pragma_integer(connection, "page_count")? * pragma_integer(connection, "page_size")?;
    let is_whole = || -> Result<bool, IndexError> {
        let found = fs::metadata(path).map_err(IndexError::folder(path))?.len();
        Ok(i64::try_from(found).unwrap_or(i64::MAX) >= expected)
    };
    if is_whole()? || !checkpoint(connection)? || is_whole()? {
        return Ok(());
    }
    Err(IndexError::Inconsistent { what: "file is shorter than its head says" })
}

/// Looks at the ends of every counter and at blocks spread over the whole range; its cost does not depend on
/// the size.
fn check_sample(connection: &mut Connection) -> Result<(), IndexError> {
    let transaction = connection.transaction()?;
    let next_ordinal = counter(&transaction, "next_ordinal")?;
    let last_block = transaction.query_row("SELECT coalesce(max(first_n), -1) FROM blocks", [], integer)?;
    let last_pack = transaction.query_row("SELECT coalesce(max(pack), 0) FROM packs", [], integer)?;
    if last_block >= next_ordinal || last_pack >= counter(&transaction, "next_pack")? {
        return Err(IndexError::Inconsistent { what: "a counter lags behind" });
    }
    for sample in 0..SAMPLE_COUNT {
        let ordinal = last_block / (SAMPLE_COUNT - 1) * sample + last_block % (SAMPLE_COUNT - 1);
        let Some(block) = lookup::block_at(&transaction, ordinal)? else { continue };
        let Some(id) = block.id(0) else {
            return Err(IndexError::Inconsistent { what: "a block without chunks" });
        };
        if !chunks::ordinals(&transaction, chunks::key_of(id.as_bytes()))?.contains(&block.first_n) {
            return Err(IndexError::Inconsistent { what: "a chunk that cannot be found" });
        }
        let pack =
            transaction.query_row("SELECT 1 FROM packs WHERE pack = ?1", [block.pack], integer).optional()?;
        if pack.is_none() {
            return Err(IndexError::Inconsistent { what: "a block without pack" });
        }
    }
    Ok(())
}

fn integer(row: &rusqlite::Row<'_>) -> rusqlite::Result<i64> {
    row.get(0)
}

/// Returns a counter of the table `counters`.
pub(super) fn counter(connection: &Connection, name: &str) -> Result<i64, IndexError> {
    let mut statement = connection.prepare_cached("SELECT value FROM counters WHERE name = ?1")?;
    Ok(statement.query_row([name], integer)?)
}

/// Sets a counter of the table `counters`.
pub(super) fn set_counter(connection: &Connection, name: &str, value: i64) -> Result<(), IndexError> {
    let mut statement = connection.prepare_cached("UPDATE counters SET value = ?2 WHERE name = ?1")?;
    statement.execute(params![name, value])?;
    Ok(())
}
