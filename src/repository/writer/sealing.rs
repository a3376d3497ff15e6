//! Blocks that are full, sealed in groups.

use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, PoisonError};

use super::Shared;
use super::open::{OpenBlock, Slot};
use crate::base::BufferPool;
use crate::base::limits::BASE_MAX_BYTES;
use crate::chunker::features::{Sampler, features};
use crate::codec::Hint;
use crate::format::pack::{BaseName, Content};
use crate::pack::{SealedBlock, seal_block, seal_block_with_base};
use crate::repository::bases::{BASE_BYTES, Places, gather, gather_exactly};
use crate::repository::{ChunkCache, ChunkReader, Error, Repository};

/// Plaintext of the blocks that one thread seals one after the other.
const GROUP_BYTES: usize = 1 << 20;

/// Sealed blocks, in the order in which they were given.
pub(super) type SealedLater = Receiver<Result<Vec<(Content, SealedBlock)>, Error>>;

/// Blocks that one thread seals one after the other: neighbours lean on the same older blocks, for which
/// threads side by side would wait for each other, and where their bases are is looked up at once.
#[derive(Debug, Default)]
pub(super) struct Group {
    blocks: Vec<(Slot, OpenBlock)>,
    raw_bytes: usize,
}

impl Group {
    /// Adds a block and tells whether the group is to be sealed now.
    pub(super) fn push(&mut self, slot: Slot, block: OpenBlock) -> bool {
        self.raw_bytes += block.raw.len();
        self.blocks.push((slot, block));
        !slot.has_base || self.raw_bytes >= GROUP_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}

/// What sealing takes.
#[derive(Debug)]
pub(super) struct Sealing {
    pub(super) repository: Arc<Repository>,
    pub(super) shared: Arc<Shared>,
    /// Blocks of bases.
    pub(super) cache: Arc<ChunkCache>,
    pub(super) rooms: Arc<BufferPool>,
    pub(super) sampler: Sampler,
}

impl Sealing {
    /// Seals blocks one after the other.
    pub(super) fn seal_all(self, group: Group) -> Result<Vec<(Content, SealedBlock)>, Error> {
        let reader = ChunkReader::with_cache(&self.repository, self.cache.clone());
        let wanted =
            group.blocks.iter().filter(|(slot, _)| slot.has_base).flat_map(|(_, block)| &block.bases);
        let places = Places::of(&reader, wanted)?;
        let mut sealed = Vec::with_capacity(group.blocks.len());
        for (slot, block) in group.blocks {
            self.note_features(slot, &block);
            let block = seal(&reader, &self.rooms, &places, slot, block)?;
            if block.fell_back {
                self.shared.fallbacks.fetch_add(1, Ordering::Relaxed);
                let what = "a block did not decode to its chunks after coding; it was stored raw";
                self.repository.progress.warn(what);
            }
            sealed.push((slot.content, block));
        }
        Ok(sealed)
    }

    /// Remembers what the chunks of a block of text are known by.
    fn note_features(&self, slot: Slot, block: &OpenBlock) {
        if slot.content != Content::Data || slot.hint != Hint::Text {
            return;
        }
        let mut found = Vec::with_capacity(block.chunks.len() * 4);
        let mut rest = &block.raw[..];
        for chunk in &block.chunks {
            let length = usize::try_from(chunk.length_bytes).unwrap_or(usize::MAX);
            let Some((plain, after)) = rest.split_at_checked(length) else { break };
            let samples = self.sampler.samples(plain);
            found.extend(features(&samples).iter().map(|feature| (*feature, BaseName::of(&chunk.id))));
            rest = after;
        }
        self.shared.features.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
    }
}

/// Seals one block, against its bases where they are to be had.
pub(super) fn seal(
    reader: &ChunkReader<'_>,
    rooms: &Arc<BufferPool>,
    places: &Places,
    slot: Slot,
    block: OpenBlock,
) -> Result<SealedBlock, Error> {
    let keys = &reader.repository().keys;
    let OpenBlock { raw, chunks, bases, skip, .. } = block;
    if let (true, Some(first)) = (slot.has_base, chunks.first()) {
        let base = match skip {
            Some(skip) => gather_exactly(reader, places, &bases, skip)?,
            None => {
                let is_text = slot.hint == Hint::Text;
                let bytes_max = if is_text { BASE_BYTES } else { BASE_MAX_BYTES };
                gather(reader, places, slot.content, &bases, &first.id, bytes_max)?
            }
        };
        if let Some(base) = base {
            let sealed = seal_block_with_base(rooms, keys, slot.content, &raw, chunks, slot.hint, &base);
            return sealed.map_err(Error::Pack);
        }
    }
    seal_block(rooms, keys, slot.content, &raw, chunks, slot.hint).map_err(Error::Pack)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ChunkId;
    use crate::repository::BaseChunk;

    #[test]
    fn neighbours_with_bases_wait_for_each_other_up_to_a_mebibyte_and_others_for_nothing() {
        let rooms = BufferPool::new(0);
        let id = ChunkId([1; 32]);
        let block = |bytes: usize| {
            let mut block = OpenBlock::default();
            block.add_run(&[(id, vec![0; bytes][..].into())], &rooms, bytes).unwrap();
            block
        };
        let base = BaseChunk { id, length_bytes: 100, depth: 0 };
        let (based, alone) = (Slot::own(Hint::Text, &[base]), Slot::own(Hint::Text, &[]));
        let mut group = Group::default();
        for _ in 1..GROUP_BYTES / (64 << 10) {
            assert!(!group.push(based, block(64 << 10)));
        }
        assert!(group.push(based, block(64 << 10)));
        assert!(Group::default().push(alone, block(1)));
        let mut group = Group::default();
        assert!(group.is_empty() && !group.push(based, block(1)) && group.push(alone, block(1)));
        assert_eq!(group.blocks.len(), 2);
    }
}
