//! Following the repository's index objects.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, Transaction};

use super::database::IndexDatabase;
use super::error::IndexError;
use super::record::PackRecord;
use super::writer::{PackWriter, remove_unnamed};
use crate::base::{IndexId, PackId};
use crate::format::pack::{BaseName, DirectoryBlock, DirectoryChunk};

/// Takes index objects in. What it holds is bounded by [`IndexSettings`](super::IndexSettings); no
/// transaction is open between calls, so index objects can be fetched meanwhile.
///
/// An index object's id is recorded in the same transaction as its packs: whatever a crash, or dropping the
/// update, leaves behind is exactly the index objects that [`IndexDatabase::index_ids`] then tells.
#[derive(Debug)]
#[must_use = "index objects still held are lost unless the update is finished"]
pub struct Update<'d> {
    database: &'d IndexDatabase,
    waiting: Vec<(IndexId, Vec<PackRecord>)>,
    waiting_bytes: usize,
}

impl Update<'_> {
    /// Adds an index object and its packs. One that is recorded already is left as it is; a pack that is
    /// known already may come with an empty directory.
    pub fn add(&mut self, id: IndexId, packs: Vec<PackRecord>) -> Result<(), IndexError> {
        self.waiting_bytes = self.waiting_bytes.saturating_add(packs.iter().map(held_bytes).sum());
        self.waiting.push((id, packs));
        if self.waiting_bytes > self.database.settings.update_buffer_bytes { self.flush() } else { Ok(()) }
    }

    /// Writes what is held. Everything added so far lasts when this returns.
    pub fn flush(&mut self) -> Result<(), IndexError> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        if waiting.is_empty() {
            return Ok(());
        }
        self.database.write(|transaction| {
            let mut writer = PackWriter::new(transaction, self.database.settings.level_row_max)?;
            for (id, packs) in &waiting {
                add_index(transaction, &mut writer, *id, packs)?;
            }
            writer.finish()
        })
    }

    /// Writes what is held and drops the index objects `removed`, with the packs that no other one names.
    pub fn finish(mut self, removed: &[IndexId]) -> Result<(), IndexError> {
        self.flush()?;
        if removed.is_empty() {
            return Ok(());
        }
        self.database.write_removal(|transaction| {
            let mut packs = BTreeSet::new();
            for id in removed {
                remove_index(transaction, *id, &mut packs)?;
            }
            let packs: Vec<i64> = packs.into_iter().collect();
            remove_unnamed(transaction, &packs)
        })
    }
}

/// Estimates the memory of a record.
fn held_bytes(record: &PackRecord) -> usize {
    let block_bytes = |block: &DirectoryBlock| {
        size_of::<DirectoryBlock>()
            + size_of::<BaseName>() * block.bases.len()
            + size_of::<DirectoryChunk>() * block.chunks.len()
    };
    size_of::<PackRecord>() + record.directory.blocks.iter().map(block_bytes).sum::<usize>()
}

fn add_index(
    transaction: &Transaction<'_>,
    writer: &mut PackWriter<'_>,
    id: IndexId,
    packs: &[PackRecord],
) -> Result<(), IndexError> {
    let added =
        transaction.prepare_cached("INSERT OR IGNORE INTO indexes(id) VALUES (?1)")?.execute([id.0])?;
    if added == 0 {
        return Ok(());
    }
    let number = transaction.last_insert_rowid();
    for record in packs {
        let pack = writer.add(record)?;
        transaction
            .prepare_cached("INSERT OR IGNORE INTO index_packs VALUES (?1, ?2)")?
            .execute([pack, number])?;
        transaction.prepare_cached("DELETE FROM intents WHERE pack = ?1")?.execute([pack])?;
        transaction.prepare_cached("DELETE FROM owners WHERE pack = ?1")?.execute([pack])?;
    }
    Ok(())
}

fn remove_index(
    transaction: &Transaction<'_>,
    id: IndexId,
    packs: &mut BTreeSet<i64>,
) -> Result<(), IndexError> {
    let mut numbers = transaction.prepare_cached("DELETE FROM indexes WHERE id = ?1 RETURNING number")?;
    let number: Option<i64> = numbers.query_row([id.0], |row| row.get(0)).optional()?;
    let Some(number) = number else { return Ok(()) };
    let mut named = transaction.prepare_cached("SELECT pack FROM index_packs WHERE number = ?1")?;
    for pack in named.query_map([number], |row| row.get(0))? {
        packs.insert(pack?);
    }
    transaction.prepare_cached("DELETE FROM index_packs WHERE number = ?1")?.execute([number])?;
    Ok(())
}

impl IndexDatabase {
    /// Returns the ids of the index objects that the database stands for.
    pub fn index_ids(&self) -> Result<BTreeSet<IndexId>, IndexError> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached("SELECT id FROM indexes")?;
            let ids = statement.query_map([], |row| Ok(IndexId(row.get(0)?)))?;
            Ok(ids.collect::<Result<_, _>>()?)
        })
    }

    /// Begins to take index objects in.
    pub fn begin_update(&self) -> Update<'_> {
        Update { database: self, waiting: Vec::new(), waiting_bytes: 0 }
    }

    /// Takes in the index objects `added`, as [`Update::add`] does, and then drops those `removed`: so that
    /// packs which only moved from one index object to another stay. Nothing else of `added` is held than
    /// fits the bounds.
    pub fn apply(
        &self,
        added: impl IntoIterator<Item = (IndexId, Vec<PackRecord>)>,
        removed: &[IndexId],
    ) -> Result<(), IndexError> {
        let mut update = self.begin_update();
        for (id, packs) in added {
            update.add(id, packs)?;
        }
        update.finish(removed)
    }

    /// Returns which of `ids` the database knows: their directories need not be fetched again.
    pub fn known_packs(&self, ids: &[PackId]) -> Result<BTreeSet<PackId>, IndexError> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached("SELECT 1 FROM packs WHERE id = ?1")?;
            let mut known = BTreeSet::new();
            for id in ids {
                if statement.exists([id.0])? {
                    known.insert(*id);
                }
            }
            Ok(known)
        })
    }
}
