//! What a new block is coded against: chunks of earlier snapshots, their chains kept short.
//!
//! A chain of bases that grew a link a day would make restoring the newest day read all days. Where the
//! chunk that a block would lean on has reached [`CHAIN_MAX`], the block leans on what that chunk itself
//! leaned on, or on something further down: how far is drawn, so that chains are short on average, no day
//! pays for all at once, and nothing has to be remembered about the days.
//!
//! A block's chain is as long as the longest of its bases, so runs share a block only when their bases have
//! chains of one length: what changes seldom is not drawn along by what changes daily. And they share one
//! only when they stand near each other in their file: then what a block leans on stands together too, and
//! reading a file in order decodes each block once.

use std::collections::{HashMap, HashSet};

use super::{ChunkReader, Error};
use crate::base::ChunkId;
use crate::base::limits::{BASE_COUNT_MAX, BASE_DEPTH_MAX, BASE_MAX_BYTES};
use crate::format::pack::{BaseName, Content};
use crate::index::{BlockLocation, ChunkLocation, NamedChunks};
use crate::pack::{BlockBase, chunk_id};

/// Longest chain that a writer makes: readers follow more, but each link costs them time.
const CHAIN_MAX: u8 = 28;
const _: () = assert!((CHAIN_MAX as u64) < BASE_DEPTH_MAX);
/// Text around the place where a chunk's own base is expected, since places shift within a block.
const SLACK_BYTES: u64 = 12 << 10;
/// Longest text that a block is coded against.
pub(super) const BASE_BYTES: u64 = 512 << 10;
/// A step further down is drawn with this chance, in 256ths: a half.
const DESCEND_CHANCE: u8 = 128;

/// A chunk of an earlier snapshot that something new may be coded against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseChunk {
    /// Its id.
    pub id: ChunkId,
    /// Length of its plaintext.
    pub length_bytes: u32,
    /// Length of its own chain of bases, as far as it is known.
    pub depth: u8,
}

/// A base chunk, found.
pub(super) struct Found {
    pub(super) id: ChunkId,
    pub(super) location: ChunkLocation,
}

/// Where chunks are that new blocks may be coded against; those that a writer may not rely on are left out.
#[derive(Debug)]
pub(super) struct Places(HashMap<ChunkId, ChunkLocation>);

impl Places {
    /// Looks up the bases of some blocks at once, and what those lean on themselves.
    pub(super) fn of<'b>(
        reader: &ChunkReader<'_>,
        wanted: impl Iterator<Item = &'b BaseChunk>,
    ) -> Result<Self, Error> {
        let index = &reader.repository().index;
        let ids: Vec<ChunkId> = wanted.map(|base| base.id).collect::<HashSet<_>>().into_iter().collect();
        let located = index.locate(&ids)?;
        let reliable = index.contains(&ids)?;
        let found = ids.into_iter().zip(located).zip(reliable);
        let found = found.filter_map(|((id, location), reliable)| Some((id, location.filter(|_| reliable)?)));
        let places: HashMap<ChunkId, ChunkLocation> = found.collect();
        let blocks: Vec<&BlockLocation> = places.values().map(|location| &location.block).collect();
        reader.look_ahead(&blocks)?;
        Ok(Self(places))
    }

    fn found(&self, base: &BaseChunk) -> Option<Found> {
        self.0.get(&base.id).map(|location| Found { id: base.id, location: location.clone() })
    }
}

/// Reads the bases of a new block; `None` when none of them is to be had.
///
/// Chunks that a writer may not rely on are left out, and so is what is damaged: a base is a help, not a
/// need. `seed` draws how far chains that are too long are followed down. At most `max_bytes` are taken.
pub(super) fn gather(
    reader: &ChunkReader<'_>,
    places: &Places,
    content: Content,
    wanted: &[BaseChunk],
    seed: &ChunkId,
    max_bytes: u64,
) -> Result<Option<BlockBase>, Error> {
    let found = wanted.iter().filter_map(|base| places.found(base));
    let mut found: Vec<Found> = found.filter(|base| base.location.block.content == content).collect();
    if found.iter().any(|base| base.location.block.depth >= CHAIN_MAX) {
        let depth_max = depth_drawn(seed);
        found = descend(reader, content, found, &|base| base.block.depth <= depth_max)?;
    }
    read(reader, content, found, max_bytes)
}

/// Reads the bases of a block of numbers, of which none may be absent: each byte belongs to one of the block.
///
/// `None` when one cannot be relied on, or its chain is as long as it may be.
pub(super) fn gather_exactly(
    reader: &ChunkReader<'_>,
    places: &Places,
    wanted: &[BaseChunk],
    skip: usize,
) -> Result<Option<BlockBase>, Error> {
    let found = wanted.iter().map(|base| places.found(base));
    let found = found.map(|base| base.filter(|base| base.location.block.depth < CHAIN_MAX));
    let Some(found) = found.collect::<Option<Vec<Found>>>() else { return Ok(None) };
    let base = read(reader, Content::Data, found, BASE_MAX_BYTES)?;
    let is_whole = |base: &BlockBase| base.names.len() == wanted.len() && skip < base.bytes.len();
    Ok(base.filter(is_whole).map(|base| BlockBase { skip: Some(skip), ..base }))
}

/// Draws the depth that bases may have when the chain is at its end.
fn depth_drawn(seed: &ChunkId) -> u8 {
    let steps = seed.0[16..].iter().take_while(|byte| **byte < DESCEND_CHANCE).count();
    let steps = u8::try_from(steps).unwrap_or(CHAIN_MAX);
    (CHAIN_MAX - 1).saturating_sub(steps)
}

pub(super) fn first_copy(copies: NamedChunks) -> Option<Found> {
    copies.into_iter().next().map(|(id, location)| Found { id, location })
}

/// Replaces chunks that are not `low` enough by the bases that they lean on themselves.
pub(super) fn descend(
    reader: &ChunkReader<'_>,
    content: Content,
    mut found: Vec<Found>,
    low: &dyn Fn(&ChunkLocation) -> bool,
) -> Result<Vec<Found>, Error> {
    for _ in 0..BASE_DEPTH_MAX {
        if found.iter().all(|base| low(&base.location)) {
            break;
        }
        let mut lower = Vec::with_capacity(found.len());
        let mut seen = HashSet::new();
        for base in found {
            if low(&base.location) {
                if seen.insert(base.id) {
                    lower.push(base);
                }
                continue;
            }
            for below in bases_beside(reader, content, &base.location)? {
                if seen.insert(below.id) {
                    lower.push(below);
                }
            }
        }
        found = lower;
    }
    found.retain(|base| low(&base.location));
    Ok(found)
}

/// Returns those bases of a chunk's block that stood where the chunk stands: a block's runs and its bases are
/// in the same order, so the place in one tells the place in the other.
fn bases_beside(
    reader: &ChunkReader<'_>,
    content: Content,
    chunk: &ChunkLocation,
) -> Result<Vec<Found>, Error> {
    let index = &reader.repository().index;
    // An ambiguous name is not worth following.
    let bases: Vec<Found> =
        index.locate_bases(&chunk.block.bases)?.into_iter().filter_map(first_copy).collect();
    let ids: Vec<ChunkId> = bases.iter().map(|base| base.id).collect();
    let total: u64 = bases.iter().map(|base| u64::from(base.location.length_bytes)).sum();
    let raw = u64::from(chunk.block.raw_bytes).max(1);
    let place = |offset: u64| offset.saturating_mul(total) / raw;
    let start = place(u64::from(chunk.chunk_offset)).saturating_sub(SLACK_BYTES);
    let end = place(u64::from(chunk.chunk_offset) + u64::from(chunk.length_bytes)) + SLACK_BYTES;
    let mut at = 0;
    let mut beside = Vec::new();
    for (base, reliable) in bases.into_iter().zip(index.contains(&ids)?) {
        let length = u64::from(base.location.length_bytes);
        let overlaps = at < end && at + length > start;
        if overlaps && reliable && base.location.block.content == content {
            beside.push(base);
        }
        at += length;
    }
    Ok(beside)
}

fn read(
    reader: &ChunkReader<'_>,
    content: Content,
    found: Vec<Found>,
    max_bytes: u64,
) -> Result<Option<BlockBase>, Error> {
    let count_max = usize::try_from(BASE_COUNT_MAX).unwrap_or(usize::MAX);
    let mut base = BlockBase { names: Vec::new(), bytes: Vec::new(), depth: 0, skip: None };
    let total: u64 = found.iter().map(|chunk| u64::from(chunk.location.length_bytes)).sum();
    base.bytes.reserve(usize::try_from(total.min(max_bytes)).unwrap_or(0));
    let mut left = max_bytes;
    for chunk in found.into_iter().take(count_max) {
        let length = u64::from(chunk.location.length_bytes);
        if length > left {
            break;
        }
        match append(reader, content, &chunk, &mut base.bytes) {
            Ok(()) => {}
            Err(error) if error.is_damage() => continue,
            Err(error) => return Err(error),
        }
        left -= length;
        base.names.push(BaseName::of(&chunk.id));
        base.depth = base.depth.max(chunk.location.block.depth + 1);
    }
    Ok((!base.names.is_empty()).then_some(base))
}

/// Appends a chunk's plaintext, compared with its id; what it leans on is so too.
fn append(
    reader: &ChunkReader<'_>,
    content: Content,
    chunk: &Found,
    text: &mut Vec<u8>,
) -> Result<(), Error> {
    match reader.block_untested(&chunk.location.block, None) {
        Ok(block) => {
            let plain = block.get(chunk.location.range());
            let is_right = |plain: &&[u8]| chunk_id(&reader.repository().keys, content, plain) == chunk.id;
            if let Some(plain) = plain.filter(is_right) {
                text.extend_from_slice(plain);
                return Ok(());
            }
        }
        Err(error) if error.is_damage() => {}
        Err(error) => return Err(error),
    }
    // Other copies, and other chunks with the name of one that it leans on, are tried there.
    text.extend_from_slice(&reader.read_located(content, &chunk.id, &chunk.location)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_at_their_end_go_down_by_a_drawn_number_of_steps() {
        let mut counts = [0_u32; CHAIN_MAX as usize];
        for seed in 0_u32..20_000 {
            let id = ChunkId(*blake3::hash(&seed.to_le_bytes()).as_bytes());
            counts[usize::from(depth_drawn(&id))] += 1;
        }
        // Half stays at the deepest place, half of the rest at the one above it, and so on.
        for (count, share) in counts.iter().rev().zip([2, 4, 8, 16]) {
            let expected = 20_000 / share;
            assert!((expected * 9 / 10..expected * 11 / 10).contains(count), "{counts:?}");
        }
    }
}
