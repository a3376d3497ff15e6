//! How much memory a run may take, and which part of it goes where.
//!
//! The parts stand here together, so that they can be added up: each is given for [`Memory::DEFAULT_BYTES`]
//! and grows and shrinks with the limit. What is not listed is small or has its own bound that no limit of
//! memory changes (threads, SQLite's own structures, the lists that a prune or a check keeps by pack).

/// Bytes of sources that are read and not yet stored.
const READING_BYTES: u64 = 32 << 20;

/// The limit of a run. Whoever holds many bytes asks it how many it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    limit_bytes: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self { limit_bytes: Self::DEFAULT_BYTES }
    }
}

impl Memory {
    /// The limit when nobody says another.
    pub const DEFAULT_BYTES: u64 = 512 << 20;
    /// The least limit: below it not even one pack of another writer could be checked.
    pub const MIN_BYTES: u64 = 128 << 20;
    /// The greatest limit: beyond it nothing becomes faster.
    pub const MAX_BYTES: u64 = 8 << 30;

    /// Returns the memory of a run with this limit, or the nearest one that is possible.
    pub fn of(limit_bytes: u64) -> Self {
        Self { limit_bytes: limit_bytes.clamp(Self::MIN_BYTES, Self::MAX_BYTES) }
    }

    /// Returns the memory of one of two repositories that a run has open at once. None of them reads sources,
    /// so half of the least limit is enough.
    pub fn of_two(self) -> Self {
        Self { limit_bytes: self.limit_bytes / 2 }
    }

    /// Returns the limit.
    pub fn limit_bytes(self) -> u64 {
        self.limit_bytes
    }

    /// Returns what `default` becomes under this limit.
    fn scaled(self, default: u64) -> u64 {
        default.saturating_mul(self.limit_bytes) / Self::DEFAULT_BYTES
    }

    fn scaled_bytes(self, default: u64) -> usize {
        usize::try_from(self.scaled(default)).unwrap_or(usize::MAX)
    }

    fn scaled_count(self, default: u64, least: u64, most: u64) -> usize {
        usize::try_from(self.scaled(default).clamp(least, most)).unwrap_or(1)
    }

    /// Bytes of sources that are read and not yet stored: several buffers at least, so that one fills while
    /// others are cut.
    pub fn reading_bytes(self) -> usize {
        self.scaled_bytes(READING_BYTES).max(24 << 20)
    }

    /// Blocks that wait for sealing or packing, each up to a MiB plain and about as much sealed.
    pub fn blocks_waiting(self) -> usize {
        self.scaled_count(24, 4, 384)
    }

    /// Buffers of blocks that are kept to be used again: about as many as blocks wait.
    pub fn block_buffers_bytes(self) -> usize {
        self.scaled_bytes(32 << 20)
    }

    /// Buffers of large reads that a local store keeps to be used again.
    pub fn read_buffers_bytes(self) -> usize {
        self.scaled_bytes(128 << 20)
    }

    /// Pieces that a walk looks at ahead, each up to a MiB where entries have long attributes.
    pub fn walk_pieces_ahead(self) -> usize {
        self.scaled_count(64, 8, 64)
    }

    /// Size at which packs are closed, of those that the config asks for. Never raised: it is what one
    /// request moves.
    pub fn pack_target_bytes(self, configured: u32) -> usize {
        let room = self.scaled_bytes(64 << 20).max(4 << 20);
        usize::try_from(configured).unwrap_or(usize::MAX).min(room)
    }

    /// Packs on their way to the store at once, each held until it is there.
    pub fn uploads(self) -> usize {
        self.scaled_count(2, 2, 8)
    }

    /// Page cache of the local index.
    pub fn index_cache_bytes(self) -> u64 {
        self.scaled(40 << 20)
    }

    /// Tables of the local index that tell of most chunks that are not stored, where there are many: all of
    /// it from fifty million chunks on.
    pub fn index_sieve_bytes(self) -> u64 {
        // Reading has a least amount; what it takes beyond twice its share comes from here.
        let beyond = (self.reading_bytes() as u64).saturating_sub(self.scaled(2 * READING_BYTES));
        self.scaled(56 << 20).saturating_sub(beyond)
    }

    /// Directories that an update of the local index holds before it writes them.
    pub fn index_update_bytes(self) -> usize {
        self.scaled_bytes(20 << 20)
    }

    /// Decoded blocks kept by a reader of trees and lists.
    pub fn tree_blocks_bytes(self) -> usize {
        self.scaled_bytes(48 << 20)
    }

    /// Decoded blocks kept by a reader of blocks with bases.
    pub fn based_blocks_bytes(self) -> usize {
        self.scaled_bytes(112 << 20)
    }

    /// Sealed tree packs kept by a reader, and as much again in stretches of packs.
    pub fn packs_kept_bytes(self) -> usize {
        self.scaled_bytes(48 << 20)
    }

    /// Sealed bytes of a restore that are under way or being decoded.
    pub fn restoring_bytes(self) -> u64 {
        self.scaled(80 << 20)
    }

    /// Bytes that a restore asks for in one request.
    pub fn request_bytes(self) -> u64 {
        self.scaled(16 << 20).min(16 << 20)
    }

    /// Content, paths and attributes of one window of a restored stream. Three are in memory: one being
    /// fetched, one waiting, one being written.
    pub fn window_bytes(self) -> u64 {
        self.scaled(32 << 20)
    }

    /// Packs that a check holds at once. One is always let in, however large.
    pub fn checking_bytes(self) -> u64 {
        self.scaled(128 << 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the largest holders may take together while files are stored.
    fn storing_bytes(memory: Memory) -> u64 {
        let target = memory.pack_target_bytes(64 << 20);
        let packs = target * (1 + memory.uploads());
        let blocks = memory.blocks_waiting() << 21;
        let held = memory.reading_bytes() + packs + blocks + memory.based_blocks_bytes();
        held as u64 + memory.index_cache_bytes() + memory.index_sieve_bytes()
    }

    #[test]
    fn the_parts_fit_the_limit_they_are_made_for() {
        for mebibytes in [128, 192, 256, 512, 1_024, 8_192] {
            let memory = Memory::of(mebibytes << 20);
            assert!(storing_bytes(memory) <= memory.limit_bytes(), "{mebibytes} MiB");
            assert!(memory.restoring_bytes() + memory.based_blocks_bytes() as u64 <= memory.limit_bytes());
            assert!(memory.request_bytes() <= memory.restoring_bytes());
        }
    }

    #[test]
    fn each_of_two_repositories_has_half_and_its_writer_fits_into_that() {
        for mebibytes in [128, 192, 512, 8_192] {
            let whole = Memory::of(mebibytes << 20);
            let half = whole.of_two();
            assert_eq!(half.limit_bytes() * 2, whole.limit_bytes());
            let copying_bytes = storing_bytes(half) - half.reading_bytes() as u64;
            assert!(copying_bytes <= half.limit_bytes(), "{mebibytes} MiB");
        }
    }

    #[test]
    fn what_is_kept_to_be_used_again_shrinks_with_the_limit() {
        let (least, usual) = (Memory::of(0), Memory::default());
        assert!(least.block_buffers_bytes() < usual.block_buffers_bytes());
        assert!(least.read_buffers_bytes() < usual.read_buffers_bytes());
        assert!(least.walk_pieces_ahead() < usual.walk_pieces_ahead());
    }

    #[test]
    fn limits_out_of_range_become_the_nearest() {
        assert_eq!(Memory::of(0).limit_bytes(), Memory::MIN_BYTES);
        assert_eq!(Memory::of(u64::MAX).limit_bytes(), Memory::MAX_BYTES);
        assert_eq!(Memory::default(), Memory::of(512 << 20));
    }
}
