//! A small world of packs and index objects, the same for the same seed.

use std::collections::BTreeSet;
use std::path::Path;

use crate::base::clock::SeededEntropy;
use crate::base::{ChunkId, Entropy, IndexId, PackId, RepositoryId};
use crate::format::pack::{BaseName, Content, Directory, DirectoryBlock, DirectoryChunk};
use crate::index::{IndexDatabase, IndexSettings, PackRecord};

pub(super) const REPOSITORY: RepositoryId = RepositoryId([7; 16]);
pub(super) const CHUNK_COUNT: u8 = 40;
pub(super) const PACK_COUNT: u8 = 12;
pub(super) const INDEX_COUNT: u8 = 8;

/// Bounds so small that every level and every flush is used.
pub(super) fn small_settings() -> IndexSettings {
    IndexSettings {
        cache_bytes: 64 << 10,
        page_size_bytes: 512,
        update_buffer_bytes: 3_000,
        level_row_max: [24, 60],
        sieve_max_bytes: 1 << 20,
        feature_row_max: 600,
    }
}

pub(super) fn open(folder: &Path) -> IndexDatabase {
    IndexDatabase::open_with(folder, REPOSITORY, small_settings()).unwrap()
}

/// Groups of four ids share a key, pairs of them a base name.
pub(super) fn chunk_id(number: u8) -> ChunkId {
    let mut id = *blake3::hash(&[number]).as_bytes();
    id[..6].copy_from_slice(&blake3::hash(&[b'k', number / 4]).as_bytes()[..6]);
    id[6..8].copy_from_slice(&[number / 2, 0]);
    ChunkId(id)
}

pub(super) fn all_chunks() -> Vec<ChunkId> {
    (0..CHUNK_COUNT).map(chunk_id).collect()
}

pub(super) fn index_id(number: u8) -> IndexId {
    IndexId(*blake3::hash(&[b'i', number]).as_bytes())
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) packs: Vec<PackRecord>,
    /// The packs of each index object, by number.
    pub(super) indexes: Vec<BTreeSet<u8>>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let entropy = SeededEntropy::new(seed);
        let draw = || {
            let mut byte = [0];
            entropy.fill(&mut byte);
            byte[0]
        };
        let packs = (0..PACK_COUNT).map(|number| pack(number, &draw)).collect();
        let indexes = (0..INDEX_COUNT)
            .map(|_| (0..1 + draw() % 5).map(|_| draw() % PACK_COUNT).collect::<BTreeSet<u8>>())
            .collect();
        Self { packs, indexes }
    }

    pub(super) fn pack(&self, number: u8) -> &PackRecord {
        &self.packs[usize::from(number)]
    }

    pub(super) fn index(&self, number: u8) -> (IndexId, Vec<PackRecord>) {
        let packs = self.indexes[usize::from(number)].iter().map(|pack| self.pack(*pack).clone()).collect();
        (index_id(number), packs)
    }
}

fn pack(number: u8, draw: &impl Fn() -> u8) -> PackRecord {
    let mut left: Vec<u8> = (0..CHUNK_COUNT).collect();
    let mut blocks = Vec::new();
    for _ in 0..1 + draw() % 4 {
        let chunks = (0..1 + draw() % 5)
            .map(|_| DirectoryChunk {
                id: chunk_id(left.swap_remove(usize::from(draw()) % left.len())),
                length_bytes: 1 + u32::from(draw()) * 100,
            })
            .collect();
        let bases = (0..draw() % 3).map(|_| BaseName::of(&chunk_id(draw() % CHUNK_COUNT))).collect();
        blocks.push(DirectoryBlock {
            stored_bytes: 41 + u32::from(draw()),
            depth: draw() % 9,
            bases,
            chunks,
        });
    }
    let directory = Directory { blocks };
    PackRecord {
        id: PackId(*blake3::hash(&[b'p', number]).as_bytes()),
        size_bytes: u32::try_from(directory.blocks_end()).unwrap() + 500,
        directory_bytes: 488,
        content: if draw().is_multiple_of(2) { Content::Data } else { Content::Tree },
        directory,
    }
}
