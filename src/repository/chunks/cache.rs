//! Decoded blocks and whole packs that readers keep, within bounds.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use bytes::Bytes;

use crate::base::{BufferPool, ChunkId, Memory, PackId, PooledBuffer};
use crate::format::pack::BaseName;
use crate::index::{BlockKey, ChunkLocation};

/// Names of bases whose places are kept.
const BASES_MAX_COUNT: usize = 1 << 17;

/// The part of the memory for decoded blocks that waits to be used again.
const BUFFERS_PART: usize = 8;

/// The chunks of one short name, each with its best copy.
pub(super) type BaseCopies = Arc<[(ChunkId, ChunkLocation)]>;

/// The plaintext of a block, in memory that is used again.
pub(super) type DecodedBlock = Arc<PooledBuffer>;

/// A cache bounded by bytes. What was asked for since it came to the end of the queue gets a second turn.
#[derive(Debug)]
struct Cache<K, V> {
    entries: HashMap<K, Entry<V>>,
    order: VecDeque<K>,
    held_bytes: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    bytes: usize,
    was_asked_for: bool,
}

impl<K: std::hash::Hash + Eq + Clone, V: Clone> Cache<K, V> {
    fn new(max_bytes: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), held_bytes: 0, max_bytes }
    }

    fn get(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.get_mut(key)?;
        entry.was_asked_for = true;
        Some(entry.value.clone())
    }

    fn put(&mut self, key: K, value: V, bytes: usize) {
        let entry = Entry { value, bytes, was_asked_for: false };
        match self.entries.insert(key.clone(), entry) {
            Some(before) => self.held_bytes -= before.bytes,
            None => self.order.push_back(key),
        }
        self.held_bytes += bytes;
        while self.held_bytes > self.max_bytes && self.order.len() > 1 {
            let Some(oldest) = self.order.pop_front() else { break };
            match self.entries.get_mut(&oldest) {
                Some(entry) if entry.was_asked_for => {
                    entry.was_asked_for = false;
                    self.order.push_back(oldest);
                }
                _ => self.held_bytes -= self.entries.remove(&oldest).map_or(0, |entry| entry.bytes),
            }
        }
    }
}

/// What readers of one repository keep; may be shared by threads.
#[derive(Debug)]
pub struct ChunkCache {
    blocks: Mutex<Cache<BlockKey, DecodedBlock>>,
    packs: Mutex<Cache<PackId, Bytes>>,
    /// Stretches of packs, by pack and number.
    extents: Mutex<Cache<(PackId, u32), Bytes>>,
    /// Where bases are, as far as somebody looked ahead.
    bases: Mutex<HashMap<BaseName, BaseCopies>>,
    /// Memory for blocks, and for their bases while they are decoded.
    pub(super) rooms: Arc<BufferPool>,
    /// Blocks are read along with what stands behind them in their pack.
    pub(super) reads_ahead: bool,
    working: Mutex<HashSet<BlockKey>>,
    worked: Condvar,
}

/// A block that one thread decodes while others wait for it.
pub(super) struct Working<'a> {
    cache: &'a ChunkCache,
    key: BlockKey,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.cache.working.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.cache.worked.notify_all();
    }
}

impl ChunkCache {
    fn new(memory: Memory, blocks_max_bytes: usize, reads_ahead: bool) -> Self {
        let packs_max_bytes = memory.packs_kept_bytes();
        Self {
            blocks: Mutex::new(Cache::new(blocks_max_bytes - blocks_max_bytes / BUFFERS_PART)),
            packs: Mutex::new(Cache::new(packs_max_bytes)),
            extents: Mutex::new(Cache::new(packs_max_bytes)),
            bases: Mutex::default(),
            rooms: BufferPool::new(blocks_max_bytes / BUFFERS_PART),
            reads_ahead,
            working: Mutex::default(),
            worked: Condvar::new(),
        }
    }

    /// Returns a cache for reading trees and lists.
    pub fn for_trees(memory: Memory) -> Self {
        Self::new(memory, memory.tree_blocks_bytes(), false)
    }

    /// Returns a cache for reading many blocks with bases, roughly in the order of a file.
    pub fn for_bases(memory: Memory) -> Self {
        Self::new(memory, memory.based_blocks_bytes(), true)
    }

    /// Returns a decoded block.
    pub(super) fn block(&self, key: &BlockKey) -> Option<DecodedBlock> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).get(key)
    }

    /// Returns a decoded block, or the right to decode it, which nobody else has at the same time.
    ///
    /// Whoever holds the right must not wait for another block: bases are read before.
    pub(super) fn block_or_work(&self, key: &BlockKey) -> Result<DecodedBlock, Working<'_>> {
        let mut working = self.working.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(block) = self.block(key) {
                return Ok(block);
            }
            if working.insert(*key) {
                return Err(Working { cache: self, key: *key });
            }
            working = self.worked.wait(working).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Keeps a decoded block.
    pub(super) fn keep_block(&self, key: BlockKey, block: &DecodedBlock) {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.put(key, block.clone(), block.capacity());
    }

    /// Returns where the chunks of a name are, if that was looked up before.
    pub(super) fn base(&self, name: &BaseName) -> Option<BaseCopies> {
        self.bases.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The same for several names, `None` unless all were looked up.
    pub(super) fn bases(&self, names: &[BaseName]) -> Option<Vec<BaseCopies>> {
        let bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().map(|name| bases.get(name).cloned()).collect()
    }

    /// Keeps where the chunks of names are.
    pub(super) fn keep_bases(&self, found: impl Iterator<Item = (BaseName, BaseCopies)>) {
        let mut bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        if bases.len() > BASES_MAX_COUNT {
            bases.clear();
        }
        bases.extend(found);
    }

    /// Returns a stretch of a pack.
    pub(super) fn extent(&self, key: &(PackId, u32)) -> Option<Bytes> {
        self.extents.lock().unwrap_or_else(PoisonError::into_inner).get(key)
    }

    /// Keeps a stretch of a pack.
    pub(super) fn keep_extent(&self, key: (PackId, u32), extent: &Bytes) {
        let mut extents = self.extents.lock().unwrap_or_else(PoisonError::into_inner);
        extents.put(key, extent.clone(), extent.len());
    }

    /// Returns a whole pack.
    pub(super) fn pack(&self, id: &PackId) -> Option<Bytes> {
        self.packs.lock().unwrap_or_else(PoisonError::into_inner).get(id)
    }

    /// Keeps a whole pack.
    pub(super) fn keep_pack(&self, id: PackId, pack: &Bytes) {
        let mut packs = self.packs.lock().unwrap_or_else(PoisonError::into_inner);
        packs.put(id, pack.clone(), pack.len());
    }
}
