//! Blocks along chains of bases, compared with no ids.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::cache::DecodedBlock;
use super::{ChunkReader, Error};
use crate::backend::ObjectKey;
use crate::base::PooledBuffer;
use crate::base::limits::{BASE_DEPTH_MAX, BASE_MAX_BYTES};
use crate::format::pack::BaseName;
use crate::index::{BlockKey, BlockLocation};
use crate::pack::open_block;

impl ChunkReader<'_> {
    /// Returns a block's plaintext. Neither its chunks nor those of its bases are compared with their ids.
    ///
    /// A wrong base makes a wrong block, so whoever compares what comes of it has proven the bases too; when
    /// it does not fit, reading chunk by chunk (with another cache) tells what is damaged and finds other
    /// copies.
    /// Fails as damaged where names are ambiguous. `stored` are its stored bytes, if they are at hand.
    pub fn block_untested(
        &self,
        location: &BlockLocation,
        stored: Option<&Bytes>,
    ) -> Result<DecodedBlock, Error> {
        self.untested_at_depth(location, stored, 0)
    }

    /// Returns the blocks without bases that `blocks` lean on in the end, each once, as far as
    /// [`Self::look_ahead`] told where they are and they are not kept yet.
    pub fn anchors(&self, blocks: &[&BlockLocation]) -> Vec<BlockLocation> {
        let mut seen: HashSet<BlockKey> = HashSet::new();
        let mut names: Vec<BaseName> = blocks.iter().flat_map(|block| &*block.bases).copied().collect();
        let mut anchors = Vec::new();
        while let Some(name) = names.pop() {
            let Some(copies) = self.cache.base(&name) else { continue };
            let [(_, chunk)] = &*copies else { continue };
            let key = chunk.block.key();
            if !seen.insert(key) || self.cache.block(&key).is_some() {
                continue;
            }
            if chunk.block.bases.is_empty() {
                anchors.push(chunk.block.clone());
            } else {
                names.extend_from_slice(&chunk.block.bases);
            }
        }
        anchors
    }

    fn untested_at_depth(
        &self,
        location: &BlockLocation,
        stored: Option<&Bytes>,
        depth: u64,
    ) -> Result<DecodedBlock, Error> {
        let key = location.key();
        if let Some(block) = self.cache.block(&key) {
            return Ok(block);
        }
        if location.bases.is_empty() {
            return self.block(location, stored, &[], true);
        }
        let base = self.base_untested(location, depth)?;
        let _working = match self.cache.block_or_work(&key) {
            Ok(block) => return Ok(block),
            Err(working) => working,
        };
        let stored = match stored {
            Some(stored) => stored.clone(),
            None => self.stored_block(location)?,
        };
        let raw_bytes = usize::try_from(location.raw_bytes).unwrap_or(usize::MAX);
        let plain = open_block(&self.cache.rooms, &self.repository.keys, &stored, raw_bytes, &base);
        let plain = plain
            .map_err(|error| Error::of_pack(ObjectKey::pack(&location.pack).to_string(), error))
            .map(Arc::new)?;
        self.cache.keep_block(key, &plain);
        Ok(plain)
    }

    /// Returns the base of a block, compared with no ids, as [`Self::block_untested`] uses it.
    fn base_untested(&self, location: &BlockLocation, depth: u64) -> Result<PooledBuffer, Error> {
        let damaged = |reason: &str| {
            let object = ObjectKey::pack(&location.pack).to_string();
            Error::Damaged { object, reason: reason.to_owned() }
        };
        if depth >= BASE_DEPTH_MAX {
            return Err(damaged("chain of bases is too long or goes in a circle"));
        }
        let bases = self.base_copies(&location.bases)?;
        let lengths =
            bases.iter().flat_map(|copies| copies.first()).map(|(_, chunk)| u64::from(chunk.length_bytes));
        let base_bytes: u64 = lengths.sum();
        if base_bytes > BASE_MAX_BYTES {
            return Err(damaged("base of a block is too long"));
        }
        let mut base = self.cache.rooms.take(usize::try_from(base_bytes).unwrap_or(0));
        // Neighbours often stand in the same block.
        let mut last: Option<(BlockKey, DecodedBlock)> = None;
        for copies in bases {
            let [(_, chunk)] = &*copies else {
                return Err(damaged("bases of a block are ambiguous or missing"));
            };
            if chunk.block.content != location.content {
                return Err(damaged("base of the wrong domain"));
            }
            let key = chunk.block.key();
            let block = match last.take() {
                Some((known, block)) if known == key => block,
                _ => self.untested_at_depth(&chunk.block, None, depth + 1)?,
            };
            let plain =
                block.get(chunk.range()).ok_or_else(|| damaged("base beyond the end of its block"))?;
            base.extend_from_slice(plain);
            last = Some((key, block));
        }
        Ok(base)
    }
}
