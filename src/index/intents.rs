//! Packs that were put but that no index object names yet.
//!
//! Other handles must not rely on such a pack: a snapshot may only be written when everything it needs is
//! indexed, and whoever put the pack may never get to its index object. So an intent is remembered for all,
//! and visible to the handle that added it.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::database::IndexDatabase;
use super::error::IndexError;
use super::lookup::content_of;
use super::packs::{pack_number, visit_blocks};
use super::record::PackRecord;
use super::writer::{PackWriter, remove_unnamed};
use crate::base::PackId;
use crate::format::pack::{Directory, DirectoryBlock, DirectoryChunk};

/// About how much [`IndexDatabase::intents`] returns at once.
pub const INTENT_LOAD_MAX_BYTES: usize = 24 << 20;

impl IndexDatabase {
    /// Remembers that `pack` was put, so that a later run can adopt it. No effect when an index object names
    /// it.
    pub fn record_intent(&self, pack: &PackRecord) -> Result<(), IndexError> {
        self.write(|transaction| self.intend(transaction, pack, false))
    }

    /// Remembers that `pack` was put, and makes its chunks visible to this handle at once. The index object
    /// that names it takes it over.
    pub fn add_own_pack(&self, pack: &PackRecord) -> Result<(), IndexError> {
        self.write(|transaction| self.intend(transaction, pack, true))
    }

    fn intend(
        &self,
        transaction: &Transaction<'_>,
        pack: &PackRecord,
        is_own: bool,
    ) -> Result<(), IndexError> {
        let mut writer = PackWriter::new(transaction, self.settings.level_row_max)?;
        let number = writer.add(pack)?;
        writer.finish()?;
        let is_indexed =
            transaction.prepare_cached("SELECT 1 FROM index_packs WHERE pack = ?1")?.exists([number])?;
        if is_indexed {
            return Ok(());
        }
        transaction.prepare_cached("INSERT OR IGNORE INTO intents VALUES (?1)")?.execute([number])?;
        if is_own {
            let mut owners = transaction.prepare_cached("INSERT OR IGNORE INTO owners VALUES (?1, ?2)")?;
            owners.execute([number, self.handle])?;
        }
        Ok(())
    }

    /// Returns the packs intended and not yet indexed, the oldest first: those that a run left behind which
    /// ended early, and those of runs that are still going.
    pub fn intent_ids(&self) -> Result<Vec<PackId>, IndexError> {
        self.read(|transaction| {
            let mut statement = transaction
                .prepare_cached("SELECT id FROM packs JOIN intents USING (pack) ORDER BY packs.pack")?;
            let ids = statement.query_map([], |row| Ok(PackId(row.get(0)?)))?;
            Ok(ids.collect::<Result<_, _>>()?)
        })
    }

    /// Returns one intended pack, or `None` when there is no intent of it.
    pub fn intent(&self, id: &PackId) -> Result<Option<PackRecord>, IndexError> {
        self.read(|transaction| load_intent(transaction, id))
    }

    /// Returns the oldest intended packs, up to about [`INTENT_LOAD_MAX_BYTES`] and at least one if there is
    /// any. With more than that, call it again after [`Self::clear_intents`], or walk [`Self::intent_ids`].
    pub fn intents(&self) -> Result<Vec<PackRecord>, IndexError> {
        let mut records = Vec::new();
        let mut held_bytes = 0usize;
        for id in self.intent_ids()? {
            if let Some(record) = self.intent(&id)? {
                held_bytes = held_bytes.saturating_add(record.directory.chunk_count() * 48);
                records.push(record);
            }
            if held_bytes >= INTENT_LOAD_MAX_BYTES {
                break;
            }
        }
        Ok(records)
    }

    /// Forgets the intents of `ids`; packs that no index object names vanish from the database, also for
    /// their handles.
    pub fn clear_intents(&self, ids: &[PackId]) -> Result<(), IndexError> {
        self.write_removal(|transaction| {
            let mut numbers = Vec::new();
            for id in ids {
                let Some(number) = pack_number(transaction, id)? else { continue };
                transaction.prepare_cached("DELETE FROM intents WHERE pack = ?1")?.execute([number])?;
                transaction.prepare_cached("DELETE FROM owners WHERE pack = ?1")?.execute([number])?;
                numbers.push(number);
            }
            numbers.sort_unstable();
            numbers.dedup();
            remove_unnamed(transaction, &numbers)
        })
    }
}

fn load_intent(transaction: &Connection, id: &PackId) -> Result<Option<PackRecord>, IndexError> {
    let mut statement = transaction.prepare_cached(
        "SELECT pack, size, directory, content FROM packs JOIN intents USING (pack) WHERE id = ?1",
    )?;
    let row: Option<(i64, u32, u32, u8)> = statement.query_row([id.0], |row| row.try_into()).optional()?;
    let Some((number, size_bytes, directory_bytes, content)) = row else { return Ok(None) };
    let mut blocks = Vec::new();
    visit_blocks(transaction, number, |block| {
        let chunk = |(id, length_bytes)| DirectoryChunk { id, length_bytes };
        blocks.push(DirectoryBlock {
            stored_bytes: block.stored_bytes(),
            depth: block.depth(),
            bases: block.bases().collect(),
            chunks: block.ids().zip(block.lengths()).map(chunk).collect(),
        });
        Ok(())
    })?;
    let content = content_of(content)?;
    let directory = Directory { blocks };
    Ok(Some(PackRecord { id: *id, size_bytes, directory_bytes, content, directory }))
}
