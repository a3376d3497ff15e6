//! From chunk ids to blocks.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};

use super::chunks;
use super::database::{IndexDatabase, unsigned};
use super::error::IndexError;
use super::record::{BlockLocation, ChunkLocation};
use crate::base::{ChunkId, PackId};
use crate::format::pack::{BaseName, Content};

/// Ids looked up in one go; more are cut into so many. Bounds memory, and keeps neighbours in the tree
/// together.
const LOOKUP_BATCH_MAX: usize = 1 << 18;

/// One row of `blocks`.
#[derive(Debug, Default)]
pub(super) struct StoredBlock {
    pub(super) first_n: i64,
    pub(super) pack: i64,
    offset: u32,
    stored: u32,
    raw: u32,
    depth: u8,
    bases: Vec<u8>,
    /// The same, once a location asked for them.
    names: OnceCell<Arc<[BaseName]>>,
    lengths: Vec<u8>,
    ids: Vec<u8>,
}

impl StoredBlock {
    /// Takes over a row of `first_n, pack, offset, stored, raw, depth, bases, lengths, ids`.
    pub(super) fn read(&mut self, row: &Row<'_>) -> Result<(), IndexError> {
        self.first_n = row.get(0)?;
        self.pack = row.get(1)?;
        self.offset = row.get(2)?;
        self.stored = row.get(3)?;
        self.raw = row.get(4)?;
        self.depth = row.get(5)?;
        self.names.take();
        for (column, bytes) in [(6, &mut self.bases), (7, &mut self.lengths), (8, &mut self.ids)] {
            bytes.clear();
            let blob = row.get_ref(column)?.as_blob();
            bytes
                .extend_from_slice(blob.map_err(|_| IndexError::Inconsistent { what: "a block's columns" })?);
        }
        if self.lengths.len().saturating_mul(8) != self.ids.len() {
            return Err(IndexError::Inconsistent { what: "a block's columns" });
        }
        Ok(())
    }

    fn chunk_count(&self) -> usize {
        self.ids.len() / ChunkId::SIZE_BYTES
    }

    /// Returns the place of ordinal `n` in this block.
    fn place_of(&self, n: i64) -> Option<usize> {
        let place = usize::try_from(n.checked_sub(self.first_n)?).ok()?;
        (place < self.chunk_count()).then_some(place)
    }

    /// Returns the id of the chunk at `place`.
    pub(super) fn id(&self, place: usize) -> Option<ChunkId> {
        self.ids.as_chunks::<32>().0.get(place).map(|bytes| ChunkId(*bytes))
    }

    /// Returns the ids of all chunks.
    pub(super) fn ids(&self) -> impl Iterator<Item = ChunkId> {
        self.ids.as_chunks::<32>().0.iter().map(|bytes| ChunkId(*bytes))
    }

    /// Returns the lengths of all chunks.
    pub(super) fn lengths(&self) -> impl Iterator<Item = u32> {
        self.lengths.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// Returns the names of its bases.
    pub(super) fn bases(&self) -> impl Iterator<Item = BaseName> {
        self.bases.as_chunks::<8>().0.iter().map(|name| BaseName(*name))
    }

    /// Returns its length as stored.
    pub(super) fn stored_bytes(&self) -> u32 {
        self.stored
    }

    /// Returns the length of its chain of bases.
    pub(super) fn depth(&self) -> u8 {
        self.depth
    }

    /// Returns where the block is.
    pub(super) fn location(&self, pack: &PackState) -> Result<BlockLocation, IndexError> {
        Ok(BlockLocation {
            pack: pack.id,
            pack_bytes: pack.size_bytes,
            content: pack.content,
            offset: self.offset,
            stored_bytes: self.stored,
            raw_bytes: self.raw,
            depth: self.depth,
            bases: self.names.get_or_init(|| self.bases().collect()).clone(),
            first_ordinal: unsigned(self.first_n)?,
        })
    }

    fn chunk_location(&self, pack: &PackState, place: usize) -> Result<ChunkLocation, IndexError> {
        let chunk_offset = self.lengths().take(place).fold(0u32, u32::saturating_add);
        let length_bytes = self.lengths().nth(place).unwrap_or(0);
        if u64::from(chunk_offset) + u64::from(length_bytes) > u64::from(self.raw) {
            return Err(IndexError::Inconsistent { what: "a block's lengths" });
        }
        let block = self.location(pack)?;
        let ordinal = block.first_ordinal.saturating_add(place as u64);
        Ok(ChunkLocation { block, chunk_offset, length_bytes, ordinal })
    }
}

/// What counts of a pack when a chunk is found in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackState {
    pub(super) id: PackId,
    pub(super) size_bytes: u32,
    pub(super) content: Content,
    pub(super) is_pending: bool,
    /// An index object names it, or this handle wrote it: nobody else may rely on a pack that is only
    /// intended.
    pub(super) is_visible: bool,
}

/// Returns the state of the pack numbered `pack` as `handle` sees it.
pub(super) fn pack_state(connection: &Connection, pack: i64, handle: i64) -> Result<PackState, IndexError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, content, EXISTS(SELECT 1 FROM pending q WHERE q.id = p.id),
            EXISTS(SELECT 1 FROM index_packs x WHERE x.pack = p.pack)
            OR EXISTS(SELECT 1 FROM owners o WHERE o.pack = p.pack AND o.handle = ?2), size
         FROM packs p WHERE pack = ?1",
    )?;
    let row = statement
        .query_row([pack, handle], |row| {
            Ok((row.get::<_, [u8; 32]>(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .optional()?;
    let Some((id, content, is_pending, is_visible, size_bytes)) = row else {
        return Err(IndexError::Inconsistent { what: "a block without pack" });
    };
    Ok(PackState { id: PackId(id), size_bytes, content: content_of(content)?, is_pending, is_visible })
}

/// Returns the content with this number.
pub(super) fn content_of(number: u8) -> Result<Content, IndexError> {
    Content::from_number(number).map_err(|_| IndexError::Inconsistent { what: "a pack's content" })
}

/// Returns the block that would hold ordinal `n`: the last that begins at or before it.
pub(super) fn block_at(connection: &Connection, n: i64) -> Result<Option<StoredBlock>, IndexError> {
    let mut block = StoredBlock::default();
    Ok(read_block_at(connection, n, &mut block)?.then_some(block))
}

fn read_block_at(connection: &Connection, n: i64, block: &mut StoredBlock) -> Result<bool, IndexError> {
    const SQL: &str = "SELECT first_n, pack, offset, stored, raw, depth, bases, lengths, ids
         FROM blocks WHERE first_n <= ?1 ORDER BY first_n DESC LIMIT 1";
    let mut statement = connection.prepare_cached(SQL)?;
    let mut rows = statement.query([n])?;
    match rows.next()? {
        Some(row) => block.read(row).map(|()| true),
        None => Ok(false),
    }
}

/// What can be looked up: whole ids and the short names of bases, both longer than a key.
pub(super) trait Wanted {
    /// Returns what the id has to begin with.
    fn bytes(&self) -> &[u8];
}

impl Wanted for ChunkId {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Wanted for BaseName {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Finds the visible stored copies of what `wanted` names, and calls `found`
/// with the place in `wanted`, the block, its pack, and the place in the block.
pub(super) fn visit_copies<W: Wanted>(
    connection: &Connection,
    handle: i64,
    wanted: &[W],
    mut found: impl FnMut(usize, &StoredBlock, &PackState, usize) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let mut packs: HashMap<i64, PackState> = HashMap::new();
    for (batch_number, batch) in wanted.chunks(LOOKUP_BATCH_MAX).enumerate() {
        let batch_start = batch_number * LOOKUP_BATCH_MAX;
        let mut keys: Vec<(i64, usize)> =
            batch.iter().enumerate().map(|(place, id)| (chunks::key_of(id.bytes()), place)).collect();
        keys.sort_unstable();
        let mut candidates: Vec<(i64, usize)> = Vec::new();
        chunks::visit_ordinals(connection, &keys, |place, n| candidates.push((n, place)))?;
        candidates.sort_unstable();
        let mut block = StoredBlock::default();
        for (n, place) in candidates {
            if block.place_of(n).is_none() {
                read_block_at(connection, n, &mut block)?;
            }
            let held = block.place_of(n).and_then(|at| Some((at, block.id(at)?)));
            let Some((place_in_block, id)) = held else {
                return Err(IndexError::Inconsistent { what: "a chunk without block" });
            };
            if !batch.get(place).is_some_and(|wanted| id.0.starts_with(wanted.bytes())) {
                continue;
            }
            let pack = match packs.get(&block.pack) {
                Some(pack) => *pack,
                None => *packs.entry(block.pack).or_insert(pack_state(connection, block.pack, handle)?),
            };
            if pack.is_visible {
                found(batch_start + place, &block, &pack, place_in_block)?;
            }
        }
    }
    Ok(())
}

/// Tells whether a copy in `block` is to be read rather than `other`, of which is told whether its pack is
/// pending deletion.
fn is_better(pack: &PackState, block: &StoredBlock, other: &(bool, ChunkLocation)) -> bool {
    (pack.is_pending, block.depth) < (other.0, other.1.block.depth)
}

/// Chunks with one short name.
pub type NamedChunks = Vec<(ChunkId, ChunkLocation)>;

impl IndexDatabase {
    /// Returns, for each of `ids`, where it is best read: packs that are not pending deletion before others,
    /// then the block with the shortest chain of bases, then the copy that was indexed first.
    pub fn locate(&self, ids: &[ChunkId]) -> Result<Vec<Option<ChunkLocation>>, IndexError> {
        self.read(|transaction| {
            let mut best: Vec<Option<(bool, ChunkLocation)>> = vec![None; ids.len()];
            visit_copies(transaction, self.handle, ids, |place, block, pack, place_in_block| {
                let Some(best) = best.get_mut(place) else { return Ok(()) };
                if best.as_ref().is_none_or(|best| is_better(pack, block, best)) {
                    *best = Some((pack.is_pending, block.chunk_location(pack, place_in_block)?));
                }
                Ok(())
            })?;
            Ok(best.into_iter().map(|best| best.map(|(_, location)| location)).collect())
        })
    }

    /// Returns every stored copy of `id`, the best first (as [`Self::locate`] sees it).
    pub fn locate_all(&self, id: &ChunkId) -> Result<Vec<ChunkLocation>, IndexError> {
        self.read(|transaction| {
            let mut copies = Vec::new();
            visit_copies(transaction, self.handle, &[*id], |_, block, pack, place_in_block| {
                copies.push((pack.is_pending, block.chunk_location(pack, place_in_block)?));
                Ok(())
            })?;
            copies.sort_by_key(|(is_pending, copy)| (*is_pending, copy.block.depth, copy.ordinal));
            Ok(copies.into_iter().map(|(_, copy)| copy).collect())
        })
    }

    /// Returns, for each of `names`, the chunks that begin with it, sorted, each with its best copy (as
    /// [`Self::locate`] sees it): none, or one, or by rare chance several.
    pub fn locate_bases(&self, names: &[BaseName]) -> Result<Vec<NamedChunks>, IndexError> {
        self.read(|transaction| {
            let mut found: Vec<Vec<(ChunkId, (bool, ChunkLocation))>> = vec![Vec::new(); names.len()];
            visit_copies(transaction, self.handle, names, |place, block, pack, place_in_block| {
                let (Some(found), Some(id)) = (found.get_mut(place), block.id(place_in_block)) else {
                    return Ok(());
                };
                let known = found.iter().position(|(known, ..)| *known == id);
                if known.is_some_and(|at| !is_better(pack, block, &found[at].1)) {
                    return Ok(());
                }
                let best = (id, (pack.is_pending, block.chunk_location(pack, place_in_block)?));
                match known {
                    Some(at) => found[at] = best,
                    None => {
                        // Most names are those of one chunk.
                        found.reserve_exact(1);
                        found.push(best);
                    }
                }
                Ok(())
            })?;
            found.iter_mut().for_each(|found| found.sort_unstable_by_key(|(id, ..)| *id));
            let best = |found: Vec<(ChunkId, (bool, ChunkLocation))>| {
                found.into_iter().map(|(id, (_, location))| (id, location)).collect()
            };
            Ok(found.into_iter().map(best).collect())
        })
    }
}
