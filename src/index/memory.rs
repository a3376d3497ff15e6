//! What a host remembers beside the index: files of unfinished runs, fetched objects, what was verified, its
//! runs.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use super::database::{IndexDatabase, signed};
use super::error::IndexError;
use super::folder;
use crate::base::{PackId, Time};

/// Objects larger than this are not cached.
pub const CACHED_OBJECT_MAX_BYTES: usize = 4 << 20;
/// How many runs are remembered.
pub const RUN_COUNT_MAX: u64 = 1_000;

/// Where the table `counters` has when reading every pack began.
const READING_SINCE: &str = "reading_since";

/// One file of an unfinished run: path, fingerprint (what would show a change), content (what the run stored
/// of it). The database does not look into any of them.
pub type FileState = (Vec<u8>, Vec<u8>, Vec<u8>);

/// Fingerprint and content of one file, as in [`FileState`].
pub type FileMemory = (Vec<u8>, Vec<u8>);

/// While it lives, no other process of this host goes on with what this one reads.
#[derive(Debug)]
pub struct ReadingGuard(
    /// Locked until it is closed.
    #[expect(dead_code, reason = "held, never read")]
    File,
);

/// One run of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// Which command.
    pub command: String,
    /// When it began.
    pub started: Time,
    /// When it ended.
    pub ended: Time,
    /// How it ended, in a word.
    pub outcome: String,
    /// Its summary, as JSON.
    pub summary_json: String,
}

fn job_number(transaction: &Connection, job: &[u8]) -> Result<Option<i64>, IndexError> {
    let mut statement = transaction.prepare_cached("SELECT number FROM jobs WHERE job = ?1")?;
    Ok(statement.query_row([job], |row| row.get(0)).optional()?)
}

fn time_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Time> {
    Ok(Time { seconds: row.get(column)?, nanoseconds: row.get(column + 1)? })
}

impl IndexDatabase {
    /// Remembers files of an unfinished run of `job`, in place of what was said of the same paths.
    pub fn save_file_states(&self, job: &[u8], batch: &[FileState]) -> Result<(), IndexError> {
        self.write(|transaction| {
            transaction.prepare_cached("INSERT OR IGNORE INTO jobs(job) VALUES (?1)")?.execute([job])?;
            let number = job_number(transaction, job)?;
            let mut statement =
                transaction.prepare_cached("INSERT OR REPLACE INTO file_states VALUES (?1, ?2, ?3, ?4)")?;
            for (path, fingerprint, content) in batch {
                statement.execute(params![number, path, fingerprint, content])?;
            }
            Ok(())
        })
    }

    /// Returns fingerprint and content of a file, as an unfinished run of `job` left them.
    pub fn file_state(&self, job: &[u8], path: &[u8]) -> Result<Option<FileMemory>, IndexError> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT fingerprint, content FROM file_states
                 WHERE job = (SELECT number FROM jobs WHERE job = ?1) AND path = ?2",
            )?;
            Ok(statement.query_row(params![job, path], |row| row.try_into()).optional()?)
        })
    }

    /// Forgets the files of `job`.
    pub fn clear_file_states(&self, job: &[u8]) -> Result<(), IndexError> {
        self.write(|transaction| {
            if let Some(number) = job_number(transaction, job)? {
                transaction.prepare_cached("DELETE FROM file_states WHERE job = ?1")?.execute([number])?;
                transaction.prepare_cached("DELETE FROM jobs WHERE number = ?1")?.execute([number])?;
            }
            Ok(())
        })
    }

    /// Returns the stored bytes of an object as they were fetched. Whoever fetches checks them; so does
    /// whoever reads them here.
    pub fn cached_object(&self, kind: &str, id: &[u8; 32]) -> Result<Option<Vec<u8>>, IndexError> {
        self.read(|transaction| {
            let mut statement =
                transaction.prepare_cached("SELECT body FROM objects WHERE kind = ?1 AND id = ?2")?;
            Ok(statement.query_row(params![kind, id], |row| row.get(0)).optional()?)
        })
    }

    /// Keeps the stored (sealed) bytes of an object, unless they are more than [`CACHED_OBJECT_MAX_BYTES`].
    pub fn cache_object(&self, kind: &str, id: &[u8; 32], stored: &[u8]) -> Result<(), IndexError> {
        if stored.len() > CACHED_OBJECT_MAX_BYTES {
            return Ok(());
        }
        self.write(|transaction| {
            let mut statement =
                transaction.prepare_cached("INSERT OR REPLACE INTO objects VALUES (?1, ?2, ?3)")?;
            statement.execute(params![kind, id, stored])?;
            Ok(())
        })
    }

    /// Drops the cached objects of `kind` that are not among `ids`.
    pub fn retain_objects(&self, kind: &str, ids: &BTreeSet<[u8; 32]>) -> Result<(), IndexError> {
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached("SELECT id FROM objects WHERE kind = ?1")?;
            let present =
                statement.query_map([kind], |row| row.get(0))?.collect::<Result<Vec<[u8; 32]>, _>>()?;
            let mut delete = transaction.prepare_cached("DELETE FROM objects WHERE kind = ?1 AND id = ?2")?;
            for id in present.iter().filter(|id| !ids.contains(*id)) {
                delete.execute(params![kind, id])?;
            }
            Ok(())
        })
    }

    /// Remembers that every byte of `pack` was read at `at`, and whether it was good. Forgotten with the
    /// pack.
    pub fn record_verified(&self, pack: &PackId, at: Time, ok: bool) -> Result<(), IndexError> {
        self.write(|transaction| {
            let mut statement =
                transaction.prepare_cached("INSERT OR REPLACE INTO verified VALUES (?1, ?2, ?3, ?4)")?;
            statement.execute(params![pack.0, at.seconds, at.nanoseconds, ok])?;
            Ok(())
        })
    }

    /// Returns when each pack was last read whole, and whether it was good; sorted by pack.
    pub fn verified(&self) -> Result<Vec<(PackId, Time, bool)>, IndexError> {
        self.read(|transaction| {
            let mut statement = transaction
                .prepare_cached("SELECT pack, seconds, nanoseconds, ok FROM verified ORDER BY pack")?;
            let rows =
                statement.query_map([], |row| Ok((PackId(row.get(0)?), time_at(row, 1)?, row.get(3)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Begins to read every pack; `None` when another process of this host is at it. Only who has this may
    /// go on with an earlier run, and remember its own.
    pub fn begin_reading(&self) -> Result<Option<ReadingGuard>, IndexError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        Ok(folder::try_lock_reading(folder)?.map(ReadingGuard))
    }

    /// Returns since when, in seconds of this host's clock, a run reads every pack that has not ended yet.
    pub fn reading_since(&self) -> Result<Option<i64>, IndexError> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached("SELECT value FROM counters WHERE name = ?1")?;
            Ok(statement.query_row([READING_SINCE], |row| row.get(0)).optional()?)
        })
    }

    /// Remembers since when a run reads every pack; `None` when it has ended.
    pub fn set_reading_since(&self, seconds: Option<i64>) -> Result<(), IndexError> {
        self.write(|transaction| {
            match seconds {
                Some(seconds) => transaction
                    .prepare_cached("INSERT OR REPLACE INTO counters VALUES (?1, ?2)")?
                    .execute(params![READING_SINCE, seconds])?,
                None => transaction
                    .prepare_cached("DELETE FROM counters WHERE name = ?1")?
                    .execute([READING_SINCE])?,
            };
            Ok(())
        })
    }

    /// Remembers a run; only the last [`RUN_COUNT_MAX`] are kept.
    pub fn record_run(
        &self,
        command: &str,
        started: Time,
        ended: Time,
        outcome: &str,
        summary_json: &str,
    ) -> Result<(), IndexError> {
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(
                "INSERT INTO runs(command, started_seconds, started_nanoseconds, ended_seconds,
                    ended_nanoseconds, outcome, summary) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            statement.execute(params![
                command,
                started.seconds,
                started.nanoseconds,
                ended.seconds,
                ended.nanoseconds,
                outcome,
                summary_json
            ])?;
            let oldest_kept = transaction.last_insert_rowid().saturating_sub(signed(RUN_COUNT_MAX)?);
            transaction.prepare_cached("DELETE FROM runs WHERE number <= ?1")?.execute([oldest_kept])?;
            Ok(())
        })
    }

    /// Returns the last runs, the latest first, at most `limit`.
    pub fn runs(&self, limit: usize) -> Result<Vec<RunRecord>, IndexError> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT command, started_seconds, started_nanoseconds, ended_seconds, ended_nanoseconds,
                    outcome, summary FROM runs ORDER BY number DESC LIMIT ?1",
            )?;
            let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                Ok(RunRecord {
                    command: row.get(0)?,
                    started: time_at(row, 1)?,
                    ended: time_at(row, 3)?,
                    outcome: row.get(5)?,
                    summary_json: row.get(6)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}
