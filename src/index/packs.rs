//! What the database knows of whole packs.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};

use super::database::{IndexDatabase, unsigned};
use super::error::IndexError;
use super::lookup::{StoredBlock, content_of, pack_state};
use super::record::{BlockInfo, IndexTotals, PackInfo};
use super::schema::counter;
use crate::base::PackId;

/// Returns the number of a pack.
pub(super) fn pack_number(connection: &Connection, id: &PackId) -> Result<Option<i64>, IndexError> {
    let mut statement = connection.prepare_cached("SELECT pack FROM packs WHERE id = ?1")?;
    Ok(statement.query_row([id.0], |row| row.get(0)).optional()?)
}

/// Calls `found` for each block of the pack numbered `pack`, in order.
pub(super) fn visit_blocks(
    connection: &Connection,
    pack: i64,
    mut found: impl FnMut(&StoredBlock) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let mut statement = connection.prepare_cached(
        "SELECT b.first_n, b.pack, offset, stored, b.raw, depth, bases, lengths, ids FROM packs p
         JOIN blocks b ON b.first_n >= p.first_n AND b.first_n < p.first_n + p.chunk_count
         WHERE p.pack = ?1 ORDER BY b.first_n",
    )?;
    let mut rows = statement.query([pack])?;
    let mut block = StoredBlock::default();
    while let Some(row) = rows.next()? {
        block.read(row)?;
        found(&block)?;
    }
    Ok(())
}

impl IndexDatabase {
    /// Sets which packs a plan names, in place of all said before. Packs that are not known yet may be among
    /// them.
    pub fn set_pending(&self, packs: &BTreeSet<PackId>) -> Result<(), IndexError> {
        let present = self.read(|transaction| {
            let mut statement = transaction.prepare_cached("SELECT id FROM pending")?;
            let ids = statement.query_map([], |row| Ok(PackId(row.get(0)?)))?;
            Ok(ids.collect::<Result<BTreeSet<_>, _>>()?)
        })?;
        if present == *packs {
            return Ok(());
        }
        self.write_removal(|transaction| {
            transaction.execute("DELETE FROM pending", [])?;
            let mut statement = transaction.prepare_cached("INSERT INTO pending VALUES (?1)")?;
            for pack in packs {
                statement.execute([pack.0])?;
            }
            Ok(())
        })
    }

    /// Returns all packs that an index object names or that this handle added, by ordinal.
    pub fn packs(&self) -> Result<Vec<PackInfo>, IndexError> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT id, size, directory, content, EXISTS(SELECT 1 FROM pending q WHERE q.id = p.id),
                    chunk_count, first_n, raw
                 FROM packs p WHERE EXISTS(SELECT 1 FROM index_packs x WHERE x.pack = p.pack)
                    OR EXISTS(SELECT 1 FROM owners o WHERE o.pack = p.pack AND o.handle = ?1)
                 ORDER BY first_n",
            )?;
            let mut rows = statement.query([self.handle])?;
            let mut packs = Vec::new();
            while let Some(row) = rows.next()? {
                packs.push(PackInfo {
                    id: PackId(row.get(0)?),
                    size_bytes: row.get(1)?,
                    directory_bytes: row.get(2)?,
                    content: content_of(row.get(3)?)?,
                    pending: row.get(4)?,
                    chunk_count: unsigned(row.get(5)?)?,
                    first_ordinal: unsigned(row.get(6)?)?,
                    raw_bytes: unsigned(row.get(7)?)?,
                });
            }
            Ok(packs)
        })
    }

    /// Returns the blocks of `pack` in order, with their chunks; none when the pack is not known.
    pub fn pack_blocks(&self, pack: &PackId) -> Result<Vec<BlockInfo>, IndexError> {
        self.read(|transaction| {
            let mut blocks = Vec::new();
            if let Some(number) = pack_number(transaction, pack)? {
                let state = pack_state(transaction, number, self.handle)?;
                visit_blocks(transaction, number, |block| {
                    blocks.push(BlockInfo {
                        location: block.location(&state)?,
                        ids: block.ids().collect(),
                        lengths: block.lengths().collect(),
                    });
                    Ok(())
                })?;
            }
            Ok(blocks)
        })
    }

    /// Returns the end of the ordinals: each one ever given is below it. Those of packs that are gone are not
    /// given again.
    pub fn ordinal_end(&self) -> Result<u64, IndexError> {
        self.read(|transaction| unsigned(counter(transaction, "next_ordinal")?))
    }

    /// Returns the sums over the packs that [`Self::packs`] tells.
    pub fn totals(&self) -> Result<IndexTotals, IndexError> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT count(*), coalesce(sum(chunk_count), 0), coalesce(sum(size), 0), coalesce(sum(raw), 0)
                 FROM packs p WHERE EXISTS(SELECT 1 FROM index_packs x WHERE x.pack = p.pack)
                    OR EXISTS(SELECT 1 FROM owners o WHERE o.pack = p.pack AND o.handle = ?1)",
            )?;
            let sums: (i64, i64, i64, i64) = statement.query_row([self.handle], |row| row.try_into())?;
            Ok(IndexTotals {
                packs: unsigned(sums.0)?,
                chunks: unsigned(sums.1)?,
                stored_bytes: unsigned(sums.2)?,
                raw_bytes: unsigned(sums.3)?,
            })
        })
    }
}
