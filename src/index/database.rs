//! The handle: one connection, shared by the threads of a process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::IndexError;
use super::filter::Filter;
use super::folder::{self, TemporaryFolder};
use super::schema::{self, counter, set_counter};
use super::sieve::Sieves;
use super::sound::Sound;
use crate::base::{Memory, RepositoryId};

/// Bounds of one handle.
#[derive(Debug, Clone)]
pub struct IndexSettings {
    /// Page cache.
    pub cache_bytes: u64,
    /// Page size of a database that is made anew: a power of two from 512 to 65,536.
    pub page_size_bytes: u32,
    /// Directories that an [`Update`](super::Update) holds before it writes them.
    pub update_buffer_bytes: usize,
    /// Rows of the two smaller levels of chunk rows.
    pub level_row_max: [u64; 2],
    /// Tables of what is surely absent that are held in memory.
    pub sieve_max_bytes: u64,
    /// Features of chunks that are remembered; each takes 16 bytes and a little.
    pub feature_row_max: u64,
}

impl Default for IndexSettings {
    fn default() -> Self {
        Self::within(Memory::default())
    }
}

impl IndexSettings {
    /// Returns the bounds of a run that may take so much memory in all.
    pub fn within(memory: Memory) -> Self {
        Self {
            cache_bytes: memory.index_cache_bytes(),
            page_size_bytes: 8_192,
            update_buffer_bytes: memory.index_update_bytes(),
            level_row_max: [1 << 19, 1 << 23],
            sieve_max_bytes: memory.index_sieve_bytes(),
            feature_row_max: 1 << 24,
        }
    }
}

/// The local index database of one repository. Threads share a handle; several processes may each have one.
///
/// One connection serves them all: another one would lose its page cache with every write of the first.
#[derive(Debug)]
pub struct IndexDatabase {
    connection: Mutex<Connection>,
    /// Names this handle in `owners`; no two handles on one database ever have the same.
    pub(super) handle: i64,
    pub(super) settings: IndexSettings,
    pub(super) path: PathBuf,
    /// Locked while the connection is, never the other way round.
    pub(super) features: Mutex<Option<Filter>>,
    /// Locked while the connection is, never the other way round.
    pub(super) sound: Mutex<Sound>,
    /// Locked while the connection is, after `sound`.
    pub(super) sieves: Mutex<Sieves>,
    /// Dropped after the connection.
    _temporary: Option<TemporaryFolder>,
}

impl IndexDatabase {
    /// Opens the database in `folder` (made with mode 0700, files 0600). One that is damaged, of another
    /// schema or of another repository is dropped and made anew; the caller sees an empty set of index ids
    /// and fills it again.
    ///
    /// Takes the same short time whatever the size. Fails when the folder cannot be used, or when another
    /// process holds the database for more than 30 seconds.
    pub fn open(folder: &Path, repository: RepositoryId) -> Result<Self, IndexError> {
        Self::open_with(folder, repository, IndexSettings::default())
    }

    /// Like [`Self::open`], with other bounds.
    pub fn open_with(
        folder: &Path,
        repository: RepositoryId,
        settings: IndexSettings,
    ) -> Result<Self, IndexError> {
        let (connection, path) = folder::open(folder, repository, &settings)?;
        Self::with_connection(connection, path, settings, None)
    }

    /// Makes a database in a private temporary folder, removed when the handle is dropped.
    pub fn temporary(repository: RepositoryId, settings: IndexSettings) -> Result<Self, IndexError> {
        let temporary = TemporaryFolder::new()?;
        let (connection, path) = folder::open(temporary.path(), repository, &settings)?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        Self::with_connection(connection, path, settings, Some(temporary))
    }

    fn with_connection(
        connection: Connection,
        path: PathBuf,
        settings: IndexSettings,
        temporary: Option<TemporaryFolder>,
    ) -> Result<Self, IndexError> {
        let connection = Mutex::new(connection);
        let mut database = Self {
            connection,
            handle: 0,
            settings,
            path,
            features: Mutex::default(),
            sound: Mutex::default(),
            sieves: Mutex::default(),
            _temporary: temporary,
        };
        database.handle = database.write(|transaction| {
            let handle = counter(transaction, "next_handle")?;
            set_counter(transaction, "next_handle", handle.saturating_add(1))?;
            Ok(handle)
        })?;
        Ok(database)
    }

    /// Bounds the page cache.
    pub fn set_cache_size(&self, cache_bytes: u64) -> Result<(), IndexError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        schema::set_cache_size(&connection, cache_bytes)
    }

    /// Returns how large the database is: pages in use and free ones, without the log.
    pub fn size_bytes(&self) -> Result<u64, IndexError> {
        self.read(|transaction| {
            let pages: i64 = transaction.pragma_query_value(None, "page_count", |row| row.get(0))?;
            let page_bytes: i64 = transaction.pragma_query_value(None, "page_size", |row| row.get(0))?;
            unsigned(pages.saturating_mul(page_bytes))
        })
    }

    /// Runs `work` on one unchanging state of the database.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        self.run(|connection| {
            let reading = Reading::begin(connection)?;
            let value = work(connection)?;
            reading.end()?;
            Ok(value)
        })
    }

    /// Runs `work` and makes all it did last, or nothing when it fails.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        self.run(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
    }

    /// The same for work after which a chunk may be less available than before.
    pub(super) fn write_removal<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        self.write(|transaction| {
            self.sound.lock().unwrap_or_else(PoisonError::into_inner).forget();
            work(transaction)
        })
    }

    /// A thread that panicked left no transaction open, so a poisoned lock is as good as another.
    fn run<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, IndexError>) -> Result<T, IndexError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut connection);
        if let Err(error) = &result
            && IndexError::is_damage(error)
        {
            // The next open drops the database; should the mark fail too, its checks still stand.
            let _ = fs::write(folder::marker_path(&self.path), b"");
        }
        result
    }
}

/// A transaction that reads: begun and ended by statements that stay prepared, since most are short.
struct Reading<'c> {
    connection: &'c Connection,
    is_open: bool,
}

impl<'c> Reading<'c> {
    fn begin(connection: &'c Connection) -> Result<Self, IndexError> {
        connection.prepare_cached("BEGIN DEFERRED")?.execute([])?;
        Ok(Self { connection, is_open: true })
    }

    fn end(mut self) -> Result<(), IndexError> {
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.is_open = false;
        Ok(())
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if self.is_open {
            // Nothing was written, and whoever comes next fails where the transaction is still open.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }
}

/// Returns `value` as a number of the database.
pub(super) fn signed(value: u64) -> Result<i64, IndexError> {
    i64::try_from(value).map_err(|_| IndexError::Inconsistent { what: "a number out of range" })
}

/// Returns a number of the database that cannot be negative.
pub(super) fn unsigned(value: i64) -> Result<u64, IndexError> {
    u64::try_from(value).map_err(|_| IndexError::Inconsistent { what: "a number out of range" })
}
