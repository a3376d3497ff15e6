//! Blocks in the making.

use std::sync::Arc;

use bytes::Bytes;

use super::plain::{Chunk, Plain};
use crate::base::limits::{BASE_COUNT_MAX, BLOCK_RAW_MAX_BYTES};
use crate::base::{BufferPool, ChunkId, Memory};
use crate::codec::Hint;
use crate::format::pack::{Content, DirectoryChunk};
use crate::repository::bases::BASE_BYTES;
use crate::repository::{BaseChunk, Error};

/// Plaintext of a block without base.
const BLOCK_BYTES: usize = BLOCK_RAW_MAX_BYTES as usize;
/// Plaintext of a block of tree chunks: smaller, since one path needs few of them.
const TREE_BLOCK_BYTES: usize = 512 << 10;
/// Plaintext of a block with a base: whoever reads one chunk of it decodes all of it, and its base.
pub(crate) const BASED_BLOCK_BYTES: usize = 64 << 10;
/// Bytes of a file that the runs of a block with a base are spread over at most.
const BASED_SPAN_MAX_BYTES: u64 = 512 << 10;
/// Chunks of a block, where they are tiny: fewer than a reader takes, so that the names in the blocks that
/// wait weigh little beside their bytes.
const CHUNK_COUNT_MAX: usize = 1 << 14;

/// What chunks must have in common to share a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) content: Content,
    pub(super) hint: Hint,
    pub(super) has_base: bool,
    /// The longest chain of the bases.
    pub(super) depth: u8,
}

impl Slot {
    /// Returns where a run belongs: one that is too long for a block with a base, or whose bases are too
    /// many, does without.
    pub(super) fn of(content: Content, hint: Hint, run_bytes: usize, bases: &[BaseChunk]) -> Self {
        let fits = run_bytes <= BASED_BLOCK_BYTES && bytes_of(bases) <= BASE_BYTES && count_fits(bases.len());
        let has_base = !bases.is_empty() && fits;
        let depth = bases.iter().map(|base| base.depth).max().filter(|_| has_base).unwrap_or(0);
        Self { content, hint, has_base, depth }
    }

    /// Returns where a block of data belongs that no other run shares.
    pub(super) fn own(hint: Hint, bases: &[BaseChunk]) -> Self {
        Self { content: Content::Data, hint, has_base: !bases.is_empty(), depth: 0 }
    }

    pub(super) fn limit_bytes(self) -> usize {
        match (self.has_base, self.content) {
            (true, _) => BASED_BLOCK_BYTES,
            (false, Content::Data) => BLOCK_BYTES,
            (false, Content::Tree) => TREE_BLOCK_BYTES,
        }
    }
}

fn bytes_of(bases: &[BaseChunk]) -> u64 {
    bases.iter().map(|base| u64::from(base.length_bytes)).sum()
}

fn count_fits(count: usize) -> bool {
    u64::try_from(count).is_ok_and(|count| count <= BASE_COUNT_MAX)
}

/// One block.
#[derive(Debug, Default)]
pub(super) struct OpenBlock {
    pub(super) raw: Plain,
    pub(super) chunks: Vec<DirectoryChunk>,
    pub(super) bases: Vec<BaseChunk>,
    /// For numbers that are mixed with their former values: the byte of the base that belongs to the first of
    /// the block.
    pub(super) skip: Option<usize>,
    /// Where its first run stands in what the writer was given.
    pub(super) start: u64,
}

impl OpenBlock {
    /// Appends the chunks of a run; copies take memory of `buffers`, at first `capacity_bytes`.
    pub(super) fn add_run(
        &mut self,
        run: &[(ChunkId, Chunk<'_>)],
        buffers: &Arc<BufferPool>,
        capacity_bytes: usize,
    ) -> Result<(), Error> {
        for (id, chunk) in run {
            let length_bytes =
                u32::try_from(chunk.data.len()).map_err(|_| Error::Internal { what: "length of a chunk" })?;
            self.raw.push(*chunk, buffers, capacity_bytes);
            self.chunks.push(DirectoryChunk { id: *id, length_bytes });
        }
        Ok(())
    }

    /// Appends the bases of a run, without those that are there already.
    pub(super) fn add_bases(&mut self, bases: &[BaseChunk]) {
        for base in bases {
            if !self.bases.iter().any(|held| held.id == base.id) {
                self.bases.push(*base);
            }
        }
    }
}

/// One block for each way of hint.
#[derive(Debug)]
pub(super) struct OpenBlocks {
    blocks: Vec<(Slot, OpenBlock)>,
    /// Memory of plaintexts that are copied, and of sealed blocks.
    pub(super) buffers: Arc<BufferPool>,
}

impl OpenBlocks {
    /// Returns no blocks yet, for a run that may take so much memory.
    pub(super) fn within(memory: Memory) -> Self {
        Self { blocks: Vec::new(), buffers: BufferPool::new(memory.block_buffers_bytes()) }
    }

    /// Copies what blocks hold of other buffers than `kept`, so that those can be read into again.
    pub(super) fn keep_only(&mut self, kept: Option<&Bytes>) {
        for (slot, block) in &mut self.blocks {
            block.raw.keep_only(kept, &self.buffers, slot.limit_bytes());
        }
    }

    /// Returns the block of `slot`.
    pub(super) fn of(&mut self, slot: Slot) -> &mut OpenBlock {
        let at = self.blocks.iter().position(|(held, _)| *held == slot).unwrap_or(self.blocks.len());
        if at == self.blocks.len() {
            self.blocks.push((slot, OpenBlock::default()));
        }
        &mut self.blocks[at].1
    }

    /// Returns the block of `slot`, taken out, when a run does not fit into it any more.
    ///
    /// `place` is where the run stands in what the writer was given.
    pub(super) fn make_room(
        &mut self,
        slot: Slot,
        place: u64,
        run: &[(ChunkId, Chunk<'_>)],
        bases: &[BaseChunk],
    ) -> Option<OpenBlock> {
        let (_, block) = self.blocks.iter_mut().find(|(held, _)| *held == slot)?;
        let run_bytes: usize = run.iter().map(|(_, chunk)| chunk.data.len()).sum();
        let fits = block.raw.len() + run_bytes <= slot.limit_bytes()
            && block.chunks.len() + run.len() <= CHUNK_COUNT_MAX
            && bytes_of(&block.bases) + bytes_of(bases) <= BASE_BYTES
            && count_fits(block.bases.len() + bases.len())
            && (!slot.has_base || place.saturating_sub(block.start) <= BASED_SPAN_MAX_BYTES);
        (!fits && !block.chunks.is_empty()).then(|| std::mem::take(block))
    }

    /// Takes all blocks that hold something, trees first.
    pub(super) fn take_all(&mut self) -> Vec<(Slot, OpenBlock)> {
        let mut blocks = std::mem::take(&mut self.blocks);
        blocks.retain(|(_, block)| !block.chunks.is_empty());
        blocks.sort_by_key(|(slot, _)| slot.content == Content::Data);
        blocks
    }
}
