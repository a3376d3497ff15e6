//! Packs into the tables and out of them, within one transaction.

use rusqlite::{OptionalExtension, Transaction, params};

use super::chunks::{self, ChunkRow, ROW_BATCH_MAX};
use super::database::signed;
use super::error::IndexError;
use super::record::PackRecord;
use super::schema::{counter, set_counter};
use crate::base::{ChunkId, PackId};
use crate::format::pack::{DirectoryBlock, HEAD_SIZE_BYTES};

/// Adds packs; chunk rows are gathered and go in sorted.
#[derive(Debug)]
pub(super) struct PackWriter<'t> {
    transaction: &'t Transaction<'t>,
    level_row_max: [u64; 2],
    next_ordinal: i64,
    next_pack: i64,
    rows: Vec<ChunkRow>,
}

impl<'t> PackWriter<'t> {
    /// Begins where the counters stand.
    pub(super) fn new(transaction: &'t Transaction<'t>, level_row_max: [u64; 2]) -> Result<Self, IndexError> {
        Ok(Self {
            transaction,
            level_row_max,
            next_ordinal: counter(transaction, "next_ordinal")?,
            next_pack: counter(transaction, "next_pack")?,
            rows: Vec::new(),
        })
    }

    /// Returns the number of the pack, after adding it unless it is known.
    pub(super) fn add(&mut self, record: &PackRecord) -> Result<i64, IndexError> {
        if let Some(number) = self.known(record)? {
            return Ok(number);
        }
        if record.directory.blocks.is_empty() {
            return Err(IndexError::UnknownPack { pack: record.id });
        }
        let number = self.next_pack;
        self.next_pack = number.saturating_add(1);
        let first_n = self.next_ordinal;
        let mut raw: u64 = 0;
        let mut offset = HEAD_SIZE_BYTES;
        for block in &record.directory.blocks {
            raw = raw.saturating_add(block.raw_bytes());
            self.add_block(number, offset, block, &record.id)?;
            offset = offset
                .checked_add(block.stored_bytes)
                .ok_or(IndexError::Record { pack: record.id, what: "its blocks are too long" })?;
        }
        let mut statement =
            self.transaction.prepare_cached("INSERT INTO packs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
        statement.execute(params![
            number,
            record.id.0,
            record.size_bytes,
            record.directory_bytes,
            record.content.number(),
            first_n,
            self.next_ordinal - first_n,
            signed(raw)?
        ])?;
        Ok(number)
    }

    fn known(&self, record: &PackRecord) -> Result<Option<i64>, IndexError> {
        let mut statement = self
            .transaction
            .prepare_cached("SELECT pack, size, directory, content, chunk_count FROM packs WHERE id = ?1")?;
        let row: Option<(i64, u32, u32, u8, i64)> =
            statement.query_row([record.id.0], |row| row.try_into()).optional()?;
        let Some((number, size, directory, content, chunk_count)) = row else { return Ok(None) };
        let is_same_directory = record.directory.blocks.is_empty()
            || usize::try_from(chunk_count).ok() == Some(record.directory.chunk_count());
        let is_same = is_same_directory
            && (size, directory, content)
                == (record.size_bytes, record.directory_bytes, record.content.number());
        if is_same { Ok(Some(number)) } else { Err(IndexError::Disagree { pack: record.id }) }
    }

    fn add_block(
        &mut self,
        number: i64,
        offset: u32,
        block: &DirectoryBlock,
        pack: &PackId,
    ) -> Result<(), IndexError> {
        let refuse = |what| IndexError::Record { pack: *pack, what };
        let raw = u32::try_from(block.raw_bytes()).map_err(|_| refuse("a block is too long"))?;
        if block.chunks.is_empty() {
            return Err(refuse("a block has no chunks"));
        }
        let mut bases = Vec::with_capacity(block.bases.len() * 8);
        block.bases.iter().for_each(|base| bases.extend_from_slice(&base.0));
        let mut lengths = Vec::with_capacity(block.chunks.len() * 4);
        let mut ids = Vec::with_capacity(block.chunks.len() * ChunkId::SIZE_BYTES);
        let first_n = self.next_ordinal;
        for chunk in &block.chunks {
            lengths.extend_from_slice(&chunk.length_bytes.to_le_bytes());
            ids.extend_from_slice(&chunk.id.0);
            self.rows.push((chunks::key_of(&chunk.id.0), self.next_ordinal));
            self.next_ordinal = self.next_ordinal.checked_add(1).ok_or(refuse("ordinals have run out"))?;
        }
        let mut statement = self
            .transaction
            .prepare_cached("INSERT INTO blocks VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
        statement.execute(params![
            first_n,
            number,
            offset,
            block.stored_bytes,
            raw,
            block.depth,
            bases,
            lengths,
            ids
        ])?;
        // A block's chunks are bounded, so the vector outgrows its bound by no more than one block.
        if self.rows.len() >= ROW_BATCH_MAX {
            chunks::insert(self.transaction, &mut self.rows, self.level_row_max)?;
        }
        Ok(())
    }

    /// Writes what was gathered, and the counters.
    pub(super) fn finish(mut self) -> Result<(), IndexError> {
        chunks::insert(self.transaction, &mut self.rows, self.level_row_max)?;
        set_counter(self.transaction, "next_ordinal", self.next_ordinal)?;
        set_counter(self.transaction, "next_pack", self.next_pack)
    }
}

/// Removes those of `packs` that neither an index object nor an intent names, with their chunks.
pub(super) fn remove_unnamed(transaction: &Transaction<'_>, packs: &[i64]) -> Result<(), IndexError> {
    let mut rows: Vec<ChunkRow> = Vec::new();
    for &pack in packs {
        let mut named = transaction.prepare_cached(
            "SELECT EXISTS(SELECT 1 FROM index_packs WHERE pack = ?1)
                OR EXISTS(SELECT 1 FROM intents WHERE pack = ?1)",
        )?;
        if named.query_row([pack], |row| row.get(0))? {
            continue;
        }
        remove_pack(transaction, pack, &mut rows)?;
    }
    chunks::delete(transaction, &mut rows)
}

/// Removes one pack; its chunk rows go when `rows` is full or later by the caller.
fn remove_pack(transaction: &Transaction<'_>, pack: i64, rows: &mut Vec<ChunkRow>) -> Result<(), IndexError> {
    let mut range =
        transaction.prepare_cached("SELECT id, first_n, chunk_count FROM packs WHERE pack = ?1")?;
    let found: Option<([u8; 32], i64, i64)> = range.query_row([pack], |row| row.try_into()).optional()?;
    let Some((id, first_n, chunk_count)) = found else { return Ok(()) };
    let bounds = [first_n, first_n.saturating_add(chunk_count)];
    let mut blocks =
        transaction.prepare_cached("SELECT first_n, ids FROM blocks WHERE first_n >= ?1 AND first_n < ?2")?;
    let mut found = blocks.query(bounds)?;
    while let Some(block) = found.next()? {
        let mut n: i64 = block.get(0)?;
        let ids = block.get_ref(1)?;
        let ids = ids.as_blob().map_err(|_| IndexError::Inconsistent { what: "a block's columns" })?;
        for id in ids.as_chunks::<32>().0 {
            rows.push((chunks::key_of(id), n));
            n = n.saturating_add(1);
        }
        if rows.len() >= ROW_BATCH_MAX {
            chunks::delete(transaction, rows)?;
        }
    }
    transaction.prepare_cached("DELETE FROM blocks WHERE first_n >= ?1 AND first_n < ?2")?.execute(bounds)?;
    transaction.prepare_cached("DELETE FROM packs WHERE pack = ?1")?.execute([pack])?;
    transaction.prepare_cached("DELETE FROM verified WHERE pack = ?1")?.execute([id])?;
    Ok(())
}
