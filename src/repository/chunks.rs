//! Reading single chunks: trees, lists, streams in order, and bases.
//!
//! Restore of many files does not come through here: it plans by pack. This reader keeps decoded blocks and
//! whole small packs within a bound and is meant for access that moves forward.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::{Error, Repository};
use crate::backend::ObjectKey;
use crate::base::limits::{BASE_DEPTH_MAX, BASE_MAX_BYTES};
use crate::base::{ChunkId, PackId};
use crate::format::pack::{BaseName, Content};
use crate::index::{BlockLocation, ChunkLocation};
use crate::pack::{PackError, open_block};

/// Decoded blocks kept.
const BLOCKS_MAX_BYTES: usize = 48 << 20;
/// Sealed tree packs kept.
const PACKS_MAX_BYTES: usize = 48 << 20;
/// Tree packs up to this size are fetched whole.
const WHOLE_PACK_MAX_BYTES: u32 = 20 << 20;
/// How many chunks may share a base name before the reader gives up on it.
const BASE_CANDIDATES_MAX: usize = 4;

/// A first-in-first-out cache bounded by bytes.
#[derive(Debug)]
struct Cache<K, V> {
    entries: HashMap<K, (V, usize)>,
    order: VecDeque<K>,
    held_bytes: usize,
    max_bytes: usize,
}

impl<K: std::hash::Hash + Eq + Clone, V: Clone> Cache<K, V> {
    fn new(max_bytes: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), held_bytes: 0, max_bytes }
    }

    fn get(&self, key: &K) -> Option<V> {
        self.entries.get(key).map(|(value, _)| value.clone())
    }

    fn put(&mut self, key: K, value: V, bytes: usize) {
        if self.entries.insert(key.clone(), (value, bytes)).is_some() {
            return;
        }
        self.order.push_back(key);
        self.held_bytes += bytes;
        while self.held_bytes > self.max_bytes && self.order.len() > 1 {
            if let Some((_, bytes)) = self.order.pop_front().and_then(|oldest| self.entries.remove(&oldest)) {
                self.held_bytes -= bytes;
            }
        }
    }
}

/// Decoded blocks by pack and offset.
type BlockCache = Cache<(PackId, u32), Arc<Vec<u8>>>;

/// Reads chunks by id, checked against it. May be shared by threads.
#[derive(Debug)]
pub struct ChunkReader<'r> {
    repository: &'r Repository,
    blocks: Mutex<BlockCache>,
    packs: Mutex<Cache<PackId, Bytes>>,
}

impl<'r> ChunkReader<'r> {
    /// Returns a reader with empty caches.
    pub fn new(repository: &'r Repository) -> Self {
        Self {
            repository,
            blocks: Mutex::new(Cache::new(BLOCKS_MAX_BYTES)),
            packs: Mutex::new(Cache::new(PACKS_MAX_BYTES)),
        }
    }

    /// Returns the repository that this reads.
    pub fn repository(&self) -> &'r Repository {
        self.repository
    }

    /// Returns a chunk's plaintext, from whichever stored copy is whole.
    pub fn read(&self, content: Content, id: &ChunkId) -> Result<Bytes, Error> {
        self.read_at_depth(content, id, 0)
    }

    fn read_at_depth(&self, content: Content, id: &ChunkId, depth: u64) -> Result<Bytes, Error> {
        let located = self.repository.index.locate(std::slice::from_ref(id))?.pop().flatten();
        let Some(first) = located else { return Err(Error::MissingChunk { id: *id }) };
        match self.read_copy(content, id, &first, depth) {
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
        let object = ObjectKey::pack(&location.block.pack).to_string();
        let damaged = |reason: &str| Error::Damaged { object: object.clone(), reason: reason.to_owned() };
        if location.block.content != content {
            return Err(damaged("chunk of the wrong domain"));
        }
        let mut mismatch = None;
        for base in self.bases_of(&location.block, depth)? {
            let block = match self.block(&location.block, &base) {
                Ok(block) => block,
                Err(error) if error.is_damage() => {
                    mismatch = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let start = usize::try_from(location.chunk_offset).unwrap_or(usize::MAX);
            let length = usize::try_from(location.length_bytes).unwrap_or(usize::MAX);
            let plain = block.get(start..start.saturating_add(length));
            let plain = plain.ok_or_else(|| damaged("chunk beyond the end of its block"))?;
            let found = match content {
                Content::Data => self.repository.keys.data_id(plain),
                Content::Tree => self.repository.keys.tree_id(plain),
            };
            if found == *id {
                return Ok(Bytes::copy_from_slice(plain));
            }
            mismatch = Some(Error::of_pack(object.as_str(), PackError::ChunkMismatch { id: *id }));
        }
        Err(mismatch.unwrap_or_else(|| damaged("no base of a block fits")))
    }

    /// Returns the possible bases of a block: one, empty without bases; several only where names are
    /// ambiguous.
    pub(crate) fn bases_of(&self, block: &BlockLocation, depth: u64) -> Result<Vec<Vec<u8>>, Error> {
        let object = || ObjectKey::pack(&block.pack).to_string();
        let damaged = |reason: &str| Error::Damaged { object: object(), reason: reason.to_owned() };
        let mut variants = vec![Vec::new()];
        if block.bases.is_empty() {
            return Ok(variants);
        }
        if depth >= BASE_DEPTH_MAX {
            return Err(damaged("chain of bases is too long or goes in a circle"));
        }
        for name in &block.bases {
            let candidates = self.base_candidates(block.content, *name, depth)?;
            variants = variants
                .iter()
                .flat_map(|start| candidates.iter().map(move |next| [start.as_slice(), next].concat()))
                .take(BASE_CANDIDATES_MAX)
                .collect();
            let longest = variants.iter().map(Vec::len).max().unwrap_or(0);
            if u64::try_from(longest).unwrap_or(u64::MAX) > BASE_MAX_BYTES {
                return Err(damaged("base of a block is too long"));
            }
        }
        Ok(variants)
    }

    fn base_candidates(&self, content: Content, name: BaseName, depth: u64) -> Result<Vec<Bytes>, Error> {
        let ids = self.repository.index.resolve_base(name)?;
        let mut candidates = Vec::new();
        let mut missing = None;
        for id in ids.iter().take(BASE_CANDIDATES_MAX) {
            match self.read_at_depth(content, id, depth + 1) {
                Ok(chunk) => candidates.push(chunk),
                Err(error) if error.is_damage() => missing = Some(error),
                Err(error) => return Err(error),
            }
        }
        if candidates.is_empty() {
            let mut padded = [0; 32];
            padded[..8].copy_from_slice(&name.0);
            return Err(missing.unwrap_or(Error::MissingChunk { id: ChunkId(padded) }));
        }
        Ok(candidates)
    }

    fn block(&self, location: &BlockLocation, base: &[u8]) -> Result<Arc<Vec<u8>>, Error> {
        let key = (location.pack, location.offset);
        let cached = self.blocks.lock().unwrap_or_else(PoisonError::into_inner).get(&key);
        if let Some(block) = cached.filter(|_| base.is_empty()) {
            return Ok(block);
        }
        let stored = self.stored_block(location)?;
        let raw_bytes = usize::try_from(location.raw_bytes).unwrap_or(usize::MAX);
        let object = || ObjectKey::pack(&location.pack).to_string();
        let block = open_block(&self.repository.keys, &stored, raw_bytes, base)
            .map_err(|error| Error::of_pack(object(), error))?;
        let block = Arc::new(block);
        if base.is_empty() {
            let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
            blocks.put(key, block.clone(), block.len());
        }
        Ok(block)
    }

    /// Returns a block's stored bytes; tree packs are read whole, since a walk needs most of them.
    fn stored_block(&self, location: &BlockLocation) -> Result<Bytes, Error> {
        let key = ObjectKey::pack(&location.pack);
        let start = usize::try_from(location.offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(location.stored_bytes).unwrap_or(usize::MAX));
        if location.content == Content::Tree {
            let cached = self.packs.lock().unwrap_or_else(PoisonError::into_inner).get(&location.pack);
            let pack = match cached {
                Some(pack) => Some(pack),
                None => self.fetch_whole(location)?,
            };
            if let Some(pack) = pack
                && pack.len() >= end
            {
                return Ok(pack.slice(start..end));
            }
        }
        let offset = u64::from(location.offset);
        let stored = self.repository.backend.get_range(&key, offset, u64::from(location.stored_bytes));
        stored.map_err(|error| Error::of_pack(key.path(), error.into()))
    }

    fn fetch_whole(&self, location: &BlockLocation) -> Result<Option<Bytes>, Error> {
        let key = ObjectKey::pack(&location.pack);
        match self.repository.backend.get(&key, u64::from(WHOLE_PACK_MAX_BYTES)) {
            Ok(pack) => {
                let mut packs = self.packs.lock().unwrap_or_else(PoisonError::into_inner);
                packs.put(location.pack, pack.clone(), pack.len());
                Ok(Some(pack))
            }
            Err(error) if error.kind == crate::backend::ErrorKind::Short => Ok(None),
            Err(error) => Err(Error::of_pack(key.path(), error.into())),
        }
    }
}
