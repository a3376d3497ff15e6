//! Decoded blocks and whole packs that readers keep, within bounds.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use bytes::Bytes;

use crate::base::PackId;

/// Decoded blocks kept.
const BLOCKS_MAX_BYTES: usize = 48 << 20;
/// Sealed tree packs kept.
const PACKS_MAX_BYTES: usize = 48 << 20;

/// A block by its pack and offset.
pub(super) type BlockKey = (PackId, u32);

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

/// What readers of one repository keep; may be shared by threads.
#[derive(Debug)]
pub struct ChunkCache {
    blocks: Mutex<Cache<BlockKey, Arc<Vec<u8>>>>,
    packs: Mutex<Cache<PackId, Bytes>>,
    working: Mutex<HashSet<BlockKey>>,
    worked: Condvar,
}

impl Default for ChunkCache {
    fn default() -> Self {
        Self {
            blocks: Mutex::new(Cache::new(BLOCKS_MAX_BYTES)),
            packs: Mutex::new(Cache::new(PACKS_MAX_BYTES)),
            working: Mutex::default(),
            worked: Condvar::new(),
        }
    }
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
    /// Returns a decoded block.
    pub(super) fn block(&self, key: &BlockKey) -> Option<Arc<Vec<u8>>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).get(key)
    }

    /// Returns a decoded block, or the right to decode it, which nobody else has at the same time.
    ///
    /// Whoever holds the right must not wait for another block: bases are read before.
    pub(super) fn block_or_work(&self, key: &BlockKey) -> Result<Arc<Vec<u8>>, Working<'_>> {
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
    pub(super) fn keep_block(&self, key: BlockKey, block: &Arc<Vec<u8>>) {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.put(key, block.clone(), block.len());
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
