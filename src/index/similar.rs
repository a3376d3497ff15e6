//! Which stored chunks look like a new one, and which stored files are kin of a new one: a memory of this
//! host that helps to choose bases. What it says may be gone from the repository; losing it costs density,
//! never data.

use std::sync::PoisonError;

use rusqlite::{OptionalExtension, params};

use super::database::{IndexDatabase, signed};
use super::error::IndexError;
use super::runs;
use super::schema::{counter, set_counter};
use crate::format::pack::BaseName;

/// Chunks that [`IndexDatabase::similar`] returns for one feature, at most.
pub const SIMILAR_COUNT_MAX: usize = 2;
/// How many files [`IndexDatabase::kin`] remembers.
pub const KIN_COUNT_MAX: u64 = 1 << 16;
/// Nodes longer than this are not remembered.
pub const KIN_NODE_MAX_BYTES: usize = 16 << 10;

impl IndexDatabase {
    /// Remembers that chunks have features; of the same feature, later entries are newer. Takes a copy of the
    /// batch in memory. Few large batches are faster than many small ones.
    ///
    /// Only the last [`SIMILAR_COUNT_MAX`] chunks of a feature are kept, and of all no more than
    /// [`feature_row_max`](super::IndexSettings::feature_row_max): the oldest go first.
    pub fn save_features(&self, batch: &[(u64, BaseName)]) -> Result<(), IndexError> {
        if batch.is_empty() {
            return Ok(());
        }
        let rows = runs::sorted(batch);
        let number = self.write(|transaction| runs::add(transaction, rows, self.settings.feature_row_max))?;
        let mut filter = self.features.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(filter) = filter.as_mut().filter(|filter| filter.newest + 1 == number) {
            batch.iter().for_each(|(feature, _)| filter.add(*feature));
            filter.newest = number;
        }
        Ok(())
    }

    /// Returns the chunks that had one of `features` last: the place of the feature and the chunk's name, at
    /// most [`SIMILAR_COUNT_MAX`] for each feature, the newest first, sorted by place.
    ///
    /// The chunks may be gone: whoever relies on one looks it up. A feature that nothing has costs next to
    /// nothing; the first question reads all rows, once for each handle.
    pub fn similar(&self, features: &[u64]) -> Result<Vec<(usize, BaseName)>, IndexError> {
        self.read(|transaction| {
            let mut filter = self.features.lock().unwrap_or_else(PoisonError::into_inner);
            let filter = runs::follow(transaction, &mut filter)?;
            runs::find(transaction, features, filter)
        })
    }

    /// Remembers the node of a stored file under `key`, whatever the caller takes to tell kin by. Forgets
    /// what was remembered longest ago, and passes over nodes of more than [`KIN_NODE_MAX_BYTES`].
    pub fn remember_kin(&self, key: &[u8; 16], node: &[u8]) -> Result<(), IndexError> {
        if node.len() > KIN_NODE_MAX_BYTES {
            return Ok(());
        }
        self.write(|transaction| {
            let used = counter(transaction, "kin_used")?.saturating_add(1);
            set_counter(transaction, "kin_used", used)?;
            let mut statement =
                transaction.prepare_cached("INSERT OR REPLACE INTO kin VALUES (?1, ?2, ?3)")?;
            statement.execute(params![key, node, used])?;
            let oldest_kept = used.saturating_sub(signed(KIN_COUNT_MAX)?);
            transaction.prepare_cached("DELETE FROM kin WHERE used <= ?1")?.execute([oldest_kept])?;
            Ok(())
        })
    }

    /// Returns the node last remembered under `key`. Its chunks may be gone.
    pub fn kin(&self, key: &[u8; 16]) -> Result<Option<Vec<u8>>, IndexError> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached("SELECT node FROM kin WHERE key = ?1")?;
            Ok(statement.query_row([key], |row| row.get(0)).optional()?)
        })
    }
}
