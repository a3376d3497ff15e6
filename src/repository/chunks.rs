//! Reading single chunks: trees, lists, streams in order, and bases.
//!
//! Restore of many files does not come through here: it plans by pack. This reader keeps decoded blocks and
//! whole small packs within a bound and is meant for access that moves forward.

mod cache;
mod untested;

use std::sync::Arc;

use bytes::Bytes;

pub use cache::ChunkCache;
use cache::{BaseCopies, DecodedBlock};

use super::{Error, Repository};
use crate::backend::ObjectKey;
use crate::base::limits::{BASE_DEPTH_MAX, BASE_MAX_BYTES};
use crate::base::{BufferPool, ChunkId};
use crate::format::pack::{BaseName, Content};
use crate::index::{BlockLocation, ChunkLocation};
use crate::pack::{PackError, mixing_skip, open_block};

/// Tree packs up to this size are fetched whole.
const WHOLE_PACK_MAX_BYTES: u32 = 20 << 20;
/// Stretch of a pack that is read at once where blocks stand in the order of their file.
const EXTENT_BYTES: u32 = 1 << 20;
/// Blocks from this size on are read alone.
const EXTENT_BLOCK_MAX_BYTES: u32 = 256 << 10;
/// How many chunks may share a base name before the reader gives up on it.
const BASE_CANDIDATES_MAX: usize = 4;

/// Reads chunks by id, checked against it. May be shared by threads.
#[derive(Debug)]
pub struct ChunkReader<'r> {
    repository: &'r Repository,
    cache: Arc<ChunkCache>,
}

impl<'r> ChunkReader<'r> {
    /// Returns a reader with an empty cache.
    pub fn new(repository: &'r Repository) -> Self {
        Self::with_cache(repository, Arc::new(ChunkCache::for_trees(repository.memory)))
    }

    /// Returns a reader with a cache that others of the same repository may use too.
    pub fn with_cache(repository: &'r Repository, cache: Arc<ChunkCache>) -> Self {
        Self { repository, cache }
    }

    /// Returns the repository that this reads.
    pub fn repository(&self) -> &'r Repository {
        self.repository
    }

    /// Returns where decoded blocks take their memory.
    pub(crate) fn rooms(&self) -> &Arc<BufferPool> {
        &self.cache.rooms
    }

    /// Returns a chunk's plaintext, from whichever stored copy is whole.
    pub fn read(&self, content: Content, id: &ChunkId) -> Result<Bytes, Error> {
        self.read_at_depth(content, id, 0)
    }

    /// Returns a chunk's plaintext, whose best copy the caller has looked up.
    pub fn read_located(
        &self,
        content: Content,
        id: &ChunkId,
        first: &ChunkLocation,
    ) -> Result<Bytes, Error> {
        self.read_copies(content, id, first, 0)
    }

    fn read_at_depth(&self, content: Content, id: &ChunkId, depth: u64) -> Result<Bytes, Error> {
        let located = self.repository.index.locate(std::slice::from_ref(id))?.pop().flatten();
        let Some(first) = located else { return Err(Error::MissingChunk { id: *id }) };
        self.read_copies(content, id, &first, depth)
    }

    fn read_copies(
        &self,
        content: Content,
        id: &ChunkId,
        first: &ChunkLocation,
        depth: u64,
    ) -> Result<Bytes, Error> {
        match self.read_copy(content, id, first, depth) {
            Ok(chunk) => Ok(chunk),
            Err(error) if error.is_damage() => {
                for copy in self.repository.index.locate_all(id)? {
                    if copy.block == first.block {
                        continue;
                    }
                    if let Ok(chunk) = self.read_copy(content, id, &copy, depth) {
                        return Ok(chunk);
                    }
                }
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    fn read_copy(
        &self,
        content: Content,
        id: &ChunkId,
        location: &ChunkLocation,
        depth: u64,
    ) -> Result<Bytes, Error> {
        let object = || ObjectKey::pack(&location.block.pack).to_string();
        if location.block.content != content {
            let reason = "chunk of the wrong domain".to_owned();
            return Err(Error::Damaged { object: object(), reason });
        }
        let key = location.block.key();
        if let Some(block) = self.cache.block(&key) {
            return self.chunk_of(&block, content, id, location);
        }
        let bases = self.bases_of(&location.block, depth)?;
        let is_only = bases.len() == 1;
        let mut mismatch = None;
        for base in bases {
            let found = self
                .block(&location.block, None, &base, is_only)
                .and_then(|block| self.chunk_of(&block, content, id, location));
            match found {
                Ok(chunk) => return Ok(chunk),
                Err(error) if error.is_damage() => mismatch = Some(error),
                Err(error) => return Err(error),
            }
        }
        let reason = "no base of a block fits".to_owned();
        Err(mismatch.unwrap_or_else(|| Error::Damaged { object: object(), reason }))
    }

    /// Cuts a chunk out of its block and compares it with its id.
    fn chunk_of(
        &self,
        block: &[u8],
        content: Content,
        id: &ChunkId,
        location: &ChunkLocation,
    ) -> Result<Bytes, Error> {
        let object = || ObjectKey::pack(&location.block.pack).to_string();
        let Some(plain) = block.get(location.range()) else {
            let reason = "chunk beyond the end of its block".to_owned();
            return Err(Error::Damaged { object: object(), reason });
        };
        let found = match content {
            Content::Data => self.repository.keys.data_id(plain),
            Content::Tree => self.repository.keys.tree_id(plain),
        };
        if found != *id {
            return Err(Error::of_pack(object(), PackError::ChunkMismatch { id: *id }));
        }
        Ok(Bytes::copy_from_slice(plain))
    }

    /// Returns the possible bases of a block: one, empty without bases; several only where names are
    /// ambiguous.
    pub(crate) fn bases_of(&self, block: &BlockLocation, depth: u64) -> Result<Vec<Vec<u8>>, Error> {
        if block.bases.is_empty() {
            return Ok(vec![Vec::new()]);
        }
        let object = || ObjectKey::pack(&block.pack).to_string();
        let damaged = |reason: &str| Error::Damaged { object: object(), reason: reason.to_owned() };
        if depth >= BASE_DEPTH_MAX {
            return Err(damaged("chain of bases is too long or goes in a circle"));
        }
        let mut variants = vec![Vec::new()];
        for (name, copies) in block.bases.iter().zip(self.base_copies(&block.bases)?) {
            let candidates = self.base_candidates(block.content, &name.0, &copies, depth)?;
            if let ([base], [candidate]) = (variants.as_mut_slice(), candidates.as_slice()) {
                base.extend_from_slice(candidate);
            } else {
                variants = variants
                    .iter()
                    .flat_map(|start| candidates.iter().map(move |next| [start.as_slice(), next].concat()))
                    .take(BASE_CANDIDATES_MAX)
                    .collect();
            }
            let longest = variants.iter().map(Vec::len).max().unwrap_or(0);
            if u64::try_from(longest).unwrap_or(u64::MAX) > BASE_MAX_BYTES {
                return Err(damaged("base of a block is too long"));
            }
        }
        Ok(variants)
    }

    /// Returns where the chunks of each name are.
    fn base_copies(&self, names: &[BaseName]) -> Result<Vec<BaseCopies>, Error> {
        self.cache.bases(names).map_or_else(|| self.located_bases(names), Ok)
    }

    fn located_bases(&self, names: &[BaseName]) -> Result<Vec<BaseCopies>, Error> {
        let found = self.repository.index.locate_bases(names)?;
        Ok(found.into_iter().map(BaseCopies::from).collect())
    }

    /// Looks up the bases of blocks, and the bases of those, all together: far faster than block by block.
    pub fn look_ahead(&self, blocks: &[&BlockLocation]) -> Result<(), Error> {
        let mut names: Vec<BaseName> = blocks.iter().flat_map(|block| &*block.bases).copied().collect();
        for _ in 0..BASE_DEPTH_MAX {
            names.sort_unstable();
            names.dedup();
            names.retain(|name| self.cache.base(name).is_none());
            if names.is_empty() {
                break;
            }
            let found = self.located_bases(&names)?;
            let blocks = found.iter().flat_map(|copies| copies.iter());
            let below = blocks.flat_map(|(_, location)| location.block.bases.iter().copied()).collect();
            self.cache.keep_bases(std::mem::replace(&mut names, below).into_iter().zip(found));
        }
        Ok(())
    }

    fn base_candidates(
        &self,
        content: Content,
        name: &[u8; 8],
        copies: &[(ChunkId, ChunkLocation)],
        depth: u64,
    ) -> Result<Vec<Bytes>, Error> {
        let mut candidates = Vec::new();
        let mut missing = None;
        for (id, location) in copies.iter().take(BASE_CANDIDATES_MAX) {
            match self.read_copies(content, id, location, depth + 1) {
                Ok(chunk) => candidates.push(chunk),
                Err(error) if error.is_damage() => missing = Some(error),
                Err(error) => return Err(error),
            }
        }
        if candidates.is_empty() {
            let mut padded = [0; 32];
            padded[..8].copy_from_slice(name);
            return Err(missing.unwrap_or(Error::MissingChunk { id: ChunkId(padded) }));
        }
        Ok(candidates)
    }

    /// Decodes a block; `keep` where its base is certain.
    fn block(
        &self,
        location: &BlockLocation,
        stored: Option<&Bytes>,
        base: &[u8],
        keep: bool,
    ) -> Result<DecodedBlock, Error> {
        let key = location.key();
        let _working = if keep {
            match self.cache.block_or_work(&key) {
                Ok(block) => return Ok(block),
                Err(working) => Some(working),
            }
        } else {
            None
        };
        let stored = match stored {
            Some(stored) => stored.clone(),
            None => self.stored_block(location)?,
        };
        let raw_bytes = usize::try_from(location.raw_bytes).unwrap_or(usize::MAX);
        let object = || ObjectKey::pack(&location.pack).to_string();
        let block = open_block(&self.cache.rooms, &self.repository.keys, &stored, raw_bytes, base)
            .map_err(|error| Error::of_pack(object(), error))?;
        let block = Arc::new(block);
        if keep {
            self.cache.keep_block(key, &block);
        }
        Ok(block)
    }

    /// Returns the byte of the base that belongs to the first byte of a block of numbers that were mixed with
    /// their former values; `None` for other blocks.
    pub(crate) fn mixing_skip(&self, location: &BlockLocation) -> Result<Option<usize>, Error> {
        let stored = self.stored_block(location)?;
        let object = || ObjectKey::pack(&location.pack).to_string();
        mixing_skip(&self.repository.keys, &stored).map_err(|error| Error::of_pack(object(), error))
    }

    /// Returns a block's stored bytes; tree packs are read whole, since a walk needs most of them.
    pub(crate) fn stored_block(&self, location: &BlockLocation) -> Result<Bytes, Error> {
        let key = ObjectKey::pack(&location.pack);
        let start = usize::try_from(location.offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(location.stored_bytes).unwrap_or(usize::MAX));
        if location.content == Content::Tree {
            let pack = match self.cache.pack(&location.pack) {
                Some(pack) => Some(pack),
                None => self.fetch_whole(location)?,
            };
            if let Some(pack) = pack
                && pack.len() >= end
            {
                return Ok(pack.slice(start..end));
            }
        }
        if self.cache.reads_ahead && location.stored_bytes <= EXTENT_BLOCK_MAX_BYTES {
            return self.read_along(location);
        }
        let offset = u64::from(location.offset);
        let stored = self.repository.backend.get_range(&key, offset, u64::from(location.stored_bytes));
        stored.map_err(|error| Error::of_pack(key.path(), error.into()))
    }

    /// Returns a block's stored bytes out of stretches of its pack, which are kept for the blocks beside it.
    fn read_along(&self, location: &BlockLocation) -> Result<Bytes, Error> {
        let end = location.offset.saturating_add(location.stored_bytes);
        let first = location.offset / EXTENT_BYTES;
        let mut stored = Vec::new();
        for number in first..=end.saturating_sub(1) / EXTENT_BYTES {
            let start = number * EXTENT_BYTES;
            let extent = self.extent(location, number, start)?;
            let from = location.offset.saturating_sub(start);
            let to = (end - start).min(EXTENT_BYTES);
            let range =
                usize::try_from(from).unwrap_or(usize::MAX)..usize::try_from(to).unwrap_or(usize::MAX);
            let Some(part) = extent.get(range.clone()) else {
                let object = ObjectKey::pack(&location.pack).to_string();
                return Err(Error::Damaged { object, reason: "block beyond the end of its pack".to_owned() });
            };
            if part.len() == usize::try_from(location.stored_bytes).unwrap_or(usize::MAX) {
                return Ok(extent.slice(range));
            }
            stored.extend_from_slice(part);
        }
        Ok(Bytes::from(stored))
    }

    fn extent(&self, location: &BlockLocation, number: u32, start: u32) -> Result<Bytes, Error> {
        if let Some(extent) = self.cache.extent(&(location.pack, number)) {
            return Ok(extent);
        }
        let key = ObjectKey::pack(&location.pack);
        let length = location.pack_bytes.saturating_sub(start).min(EXTENT_BYTES);
        let extent = self.repository.backend.get_range(&key, u64::from(start), u64::from(length));
        let extent = extent.map_err(|error| Error::of_pack(key.path(), error.into()))?;
        self.cache.keep_extent((location.pack, number), &extent);
        Ok(extent)
    }

    fn fetch_whole(&self, location: &BlockLocation) -> Result<Option<Bytes>, Error> {
        let key = ObjectKey::pack(&location.pack);
        match self.repository.backend.get(&key, u64::from(WHOLE_PACK_MAX_BYTES)) {
            Ok(pack) => {
                self.cache.keep_pack(location.pack, &pack);
                Ok(Some(pack))
            }
            Err(error) if error.kind == crate::backend::ErrorKind::Short => Ok(None),
            Err(error) => Err(Error::of_pack(key.path(), error.into())),
        }
    }
}
