//! What goes into the index database and what comes out.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::base::{ChunkId, PackId};
use crate::format::pack::{BaseName, Content, Directory};

/// One pack as an index object and its directory describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackRecord {
    /// Its id.
    pub id: PackId,
    /// Stored size of the whole pack.
    pub size_bytes: u32,
    /// Stored length of its directory.
    pub directory_bytes: u32,
    /// What its chunks are.
    pub content: Content,
    /// Its blocks and their chunks. May be empty where the database knows the pack already.
    pub directory: Directory,
}

/// Where a block is and what reading it takes. Two locations are equal when pack and offset are.
#[derive(Debug, Clone)]
pub struct BlockLocation {
    /// The pack that holds it.
    pub pack: PackId,
    /// Stored size of that pack.
    pub pack_bytes: u32,
    /// What the pack's chunks are.
    pub content: Content,
    /// Where it begins in the pack, in bytes.
    pub offset: u32,
    /// Length as stored.
    pub stored_bytes: u32,
    /// Length of its plaintext.
    pub raw_bytes: u32,
    /// Blocks in the chain of bases below it.
    pub depth: u8,
    /// Names of its base chunks, in order, shared by all chunks of the block.
    pub bases: Arc<[BaseName]>,
    /// Ordinal of its first chunk; the others follow.
    pub first_ordinal: u64,
}

/// A block by its pack and offset.
pub type BlockKey = (PackId, u32);

impl BlockLocation {
    /// Returns what tells the block from all others.
    pub fn key(&self) -> BlockKey {
        (self.pack, self.offset)
    }
}

impl PartialEq for BlockLocation {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for BlockLocation {}

impl Hash for BlockLocation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// Where one stored copy of a chunk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkLocation {
    /// The block that holds it.
    pub block: BlockLocation,
    /// Where it begins in the block's plaintext, in bytes.
    pub chunk_offset: u32,
    /// Plaintext length.
    pub length_bytes: u32,
    /// The number of this copy: dense, never reused, for bitmaps.
    pub ordinal: u64,
}

impl ChunkLocation {
    /// Returns where it lies in the block's plaintext.
    pub fn range(&self) -> std::ops::Range<usize> {
        let start = usize::try_from(self.chunk_offset).unwrap_or(usize::MAX);
        start..start.saturating_add(usize::try_from(self.length_bytes).unwrap_or(usize::MAX))
    }
}

/// One pack as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackInfo {
    /// Its id.
    pub id: PackId,
    /// Stored size of the whole pack.
    pub size_bytes: u32,
    /// Stored length of its directory.
    pub directory_bytes: u32,
    /// What its chunks are.
    pub content: Content,
    /// A plan names it: its chunks count as absent for writers.
    pub pending: bool,
    /// How many chunks it holds.
    pub chunk_count: u64,
    /// Ordinal of its first chunk; the others follow.
    pub first_ordinal: u64,
    /// Plaintext of all its chunks.
    pub raw_bytes: u64,
}

/// One block of a pack with its chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockInfo {
    /// Where it is.
    pub location: BlockLocation,
    /// Ids of its chunks, in order.
    pub ids: Vec<ChunkId>,
    /// Plaintext lengths of its chunks, in order.
    pub lengths: Vec<u32>,
}

impl BlockInfo {
    /// Returns the ordinal of its first chunk and how many chunks it has.
    pub fn ordinals(&self) -> (u64, u64) {
        (self.location.first_ordinal, u64::try_from(self.ids.len()).unwrap_or(u64::MAX))
    }
}

/// Sums over all packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexTotals {
    /// How many packs.
    pub packs: u64,
    /// How many stored chunk copies.
    pub chunks: u64,
    /// Stored size of the packs.
    pub stored_bytes: u64,
    /// Plaintext of the chunks.
    pub raw_bytes: u64,
}
