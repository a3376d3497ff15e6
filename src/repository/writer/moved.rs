//! What moves from one pack to another: blocks as they are, and chunks that are sealed anew.

use std::sync::PoisonError;
use std::sync::mpsc::sync_channel;

use bytes::Bytes;

use super::ChunkWriter;
use super::open::{OpenBlock, Slot};
use super::plain::Chunk;
use super::sealing::seal;
use crate::base::{BufferPool, ChunkId};
use crate::codec::Hint;
use crate::format::pack::Content;
use crate::pack::SealedBlock;
use crate::repository::bases::Places;
use crate::repository::{ChunkReader, Error, NewBase};

/// Returns the stored length of chunks that are coded together against `base`; nothing is stored.
pub fn sealed_bytes(
    reader: &ChunkReader<'_>,
    run: &[(ChunkId, Bytes)],
    base: &NewBase,
) -> Result<u64, Error> {
    let chunks: Vec<(ChunkId, Chunk<'_>)> = run.iter().map(|(id, data)| (*id, data[..].into())).collect();
    let rooms = BufferPool::new(0);
    let mut block = OpenBlock::default();
    block.add_run(&chunks, &rooms, run.iter().map(|(_, data)| data.len()).sum())?;
    let slot = match base {
        NewBase::Text(bases) => {
            block.add_bases(bases);
            Slot::of(Content::Data, Hint::Text, block.raw.len(), bases)
        }
        NewBase::Beside(bases) => {
            block.bases.clone_from(bases);
            Slot::own(Hint::Unknown, bases)
        }
        NewBase::Numbers { bases, skip } => {
            (block.bases, block.skip) = (bases.clone(), Some(*skip));
            Slot::own(Hint::Unknown, bases)
        }
    };
    let places = Places::of(reader, block.bases.iter())?;
    Ok(u64::from(seal(reader, &rooms, &places, slot, block)?.entry.stored_bytes))
}

impl ChunkWriter {
    /// Stores chunks again that stood together in a block, coded against `base`: for repacking.
    pub fn add_anew(&mut self, run: &[(ChunkId, Bytes)], base: &NewBase) -> Result<(), Error> {
        match base {
            NewBase::Text(bases) => self.add_run(run, Hint::Text, bases),
            NewBase::Beside(bases) => self.add_beside(run, Hint::Unknown, bases),
            NewBase::Numbers { bases, skip } => self.add_mixed(run, Hint::Unknown, bases, *skip),
        }
    }

    /// Stores a sealed block of this repository again, bytes and bases unchanged: for repacking.
    ///
    /// Whoever calls this has opened the block and compared its chunks with their ids. Returns `false`, and
    /// stores nothing, when this writer holds one of its chunks in a pack that is not closed yet: a pack may
    /// hold a chunk once only.
    pub fn move_block(&mut self, content: Content, block: SealedBlock) -> Result<bool, Error> {
        {
            let mut in_flight = self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
            if block.entry.chunks.iter().any(|chunk| in_flight.contains(&chunk.id)) {
                return Ok(false);
            }
            in_flight.extend(block.entry.chunks.iter().map(|chunk| chunk.id));
        }
        self.stats.new_chunks += u64::try_from(block.entry.chunks.len()).unwrap_or(u64::MAX);
        let bytes = block.entry.raw_bytes();
        match content {
            Content::Data => self.stats.new_data_bytes += bytes,
            Content::Tree => self.stats.new_tree_bytes += bytes,
        }
        if self.dry {
            return Ok(true);
        }
        let (to_result, result) = sync_channel(1);
        // There is room for it, and the other end is held here.
        let _ = to_result.send(Ok(vec![(content, block)]));
        self.send(result).map(|()| true)
    }
}
