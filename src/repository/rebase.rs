//! What a stored block may be coded against anew when some of what it leans on is to go.

use super::bases::{BASE_BYTES, Found, descend, first_copy};
use super::{BASED_BLOCK_BYTES, BaseChunk, ChunkReader, Error};
use crate::base::ChunkId;
use crate::base::limits::{BASE_COUNT_MAX, BASE_DEPTH_MAX, BASE_MAX_BYTES};
use crate::index::{BlockLocation, ChunkLocation};

/// What chunks that stood together in a block with bases may be coded against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewBase {
    /// They are text, and these stood where they stand.
    Text(Vec<BaseChunk>),
    /// They are rows that stood among these, in a block of their own.
    Beside(Vec<BaseChunk>),
    /// They are numbers, and these their former values; none where that is not to be had.
    Numbers {
        /// The chunks, one after the other.
        bases: Vec<BaseChunk>,
        /// The byte of them that belongs to the first byte of the chunks.
        skip: usize,
    },
}

/// Returns what chunks of `block` may be coded against: of its bases those that `stays` accepts, and for the
/// others what they lean on themselves, or something further down.
///
/// The chunks stood at `place` in the block's plaintext; `skip` is what
/// [`mixing_skip`](crate::pack::mixing_skip) says of the block.
pub fn bases_that_stay(
    reader: &ChunkReader<'_>,
    block: &BlockLocation,
    place: std::ops::Range<usize>,
    skip: Option<usize>,
    stays: &dyn Fn(&ChunkLocation) -> bool,
) -> Result<NewBase, Error> {
    match skip {
        Some(skip) => {
            let found = former_values(reader, block, skip.saturating_add(place.start), place.len(), stays)?;
            let (found, skip) = found.unwrap_or_default();
            Ok(NewBase::Numbers { bases: found.iter().map(base_chunk).collect(), skip })
        }
        // Text shares its blocks, which are short.
        None if usize::try_from(block.raw_bytes).unwrap_or(usize::MAX) > BASED_BLOCK_BYTES => {
            text_below(reader, block, BASE_MAX_BYTES, stays).map(NewBase::Beside)
        }
        None => text_below(reader, block, BASE_BYTES, stays).map(NewBase::Text),
    }
}

fn base_chunk(found: &Found) -> BaseChunk {
    let Found { id, location } = found;
    BaseChunk { id: *id, length_bytes: location.length_bytes, depth: location.block.depth }
}

/// At most as many as one block may have, and `max_bytes`.
fn text_below(
    reader: &ChunkReader<'_>,
    block: &BlockLocation,
    max_bytes: u64,
    stays: &dyn Fn(&ChunkLocation) -> bool,
) -> Result<Vec<BaseChunk>, Error> {
    let index = &reader.repository().index;
    // An ambiguous name is not worth following.
    let found: Vec<Found> = index.locate_bases(&block.bases)?.into_iter().filter_map(first_copy).collect();
    let found = descend(reader, block.content, found, stays)?;
    let ids: Vec<ChunkId> = found.iter().map(|base| base.id).collect();
    let count_max = usize::try_from(BASE_COUNT_MAX).unwrap_or(usize::MAX);
    let mut left = max_bytes;
    let mut bases = Vec::new();
    for (base, reliable) in found.iter().zip(index.contains(&ids)?) {
        let length = u64::from(base.location.length_bytes);
        if !reliable || base.location.block.content != block.content {
            continue;
        }
        if length > left || bases.len() == count_max {
            break;
        }
        left -= length;
        bases.push(base_chunk(base));
    }
    Ok(bases)
}

/// Follows former values down: as long as all bases stand together in one block that is mixed as well, its
/// bases are the values before those.
fn former_values(
    reader: &ChunkReader<'_>,
    block: &BlockLocation,
    skip: usize,
    length: usize,
    stays: &dyn Fn(&ChunkLocation) -> bool,
) -> Result<Option<(Vec<Found>, usize)>, Error> {
    let index = &reader.repository().index;
    let size = |base: &Found| usize::try_from(base.location.length_bytes).unwrap_or(usize::MAX);
    let mut above = block.clone();
    let mut skip = skip;
    for _ in 0..BASE_DEPTH_MAX {
        let mut found = Vec::new();
        let mut end = 0_usize;
        for copies in index.locate_bases(&above.bases)? {
            let Some(base) = first_copy(copies) else { return Ok(None) };
            let start = end;
            end = end.saturating_add(size(&base));
            if end <= skip {
                // Nothing of it belongs to these numbers.
                (skip, end) = (skip - end, 0);
            } else if start < skip.saturating_add(length) {
                found.push(base);
            }
        }
        let Some(first) = found.first() else { return Ok(None) };
        if found.iter().all(|base| stays(&base.location)) {
            return Ok(Some((found, skip)));
        }
        let mut next = first.location.chunk_offset;
        for base in &found {
            if base.location.block != first.location.block || base.location.chunk_offset != next {
                return Ok(None);
            }
            next = next.saturating_add(base.location.length_bytes);
        }
        let below = first.location.block.clone();
        let Some(skip_below) = reader.mixing_skip(&below)? else { return Ok(None) };
        let offset = usize::try_from(first.location.chunk_offset).unwrap_or(usize::MAX);
        skip = skip.saturating_add(offset).saturating_add(skip_below);
        above = below;
    }
    Ok(None)
}
