//! Blocks that move from one pack to another as they are.

use std::sync::PoisonError;
use std::sync::mpsc::sync_channel;

use super::ChunkWriter;
use crate::format::pack::Content;
use crate::pack::SealedBlock;
use crate::repository::Error;

impl ChunkWriter {
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
        if self.shared.has_failed() {
            self.shared.take_failure()?;
        }
        let (to_result, result) = sync_channel(1);
        let ready = to_result.send(Ok(block)).is_ok();
        if ready && self.to_packer.as_ref().is_some_and(|queue| queue.send((content, result)).is_ok()) {
            return Ok(true);
        }
        self.shared.take_failure()?;
        Err(Error::Internal { what: "the packer ended early" })
    }
}
