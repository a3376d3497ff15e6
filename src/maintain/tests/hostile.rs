//! Base lists that no writer makes: each a typed error for the files that need it, and right bytes or none.

use std::sync::Arc;

use crate::base::limits::BASE_DEPTH_MAX;
use crate::base::{ChunkId, SnapshotId};
use crate::codec::{Base, BaseUse, Coding, PREFIX_LEVEL, PartCoder, encode};
use crate::format::Kind;
use crate::format::node::{ChunkRef, FileContent, NodeKind};
use crate::format::pack::{BaseName, Content, DirectoryBlock, DirectoryChunk};
use crate::format::sealed::associated_data;
use crate::maintain::check::{CheckOptions, ReadData, check};
use crate::maintain::prune::prune;
use crate::maintain::prune::tests::world::{World, options};
use crate::maintain::testing::{node, noise, read_file, store_directory, store_root};
use crate::pack::SealedBlock;
use crate::repository::{ChunkWriter, Repository};
use crate::restore::{RestoreOptions, restore};

/// Blocks that are put together by hand.
struct Hand {
    world: World,
    repository: Arc<Repository>,
}

impl Hand {
    fn new(seed: u64) -> Self {
        let world = World::new(seed);
        let repository = world.open();
        Self { world, repository }
    }

    fn id(&self, plain: &[u8]) -> ChunkId {
        self.repository.keys().data_id(plain)
    }

    /// Stores a block with one chunk, in a pack of its own, coded against `base` and naming `names`.
    fn store_as(&self, id: ChunkId, plain: &[u8], base: &[u8], names: &[ChunkId], depth: u8) {
        let (use_, coder) = match base.is_empty() {
            true => (BaseUse::None, PartCoder::Raw),
            false => (BaseUse::Prefix, PartCoder::Zstd { level: PREFIX_LEVEL }),
        };
        let coded = encode(plain, Coding::Whole(coder), Base { use_, bytes: base, skip: 0 }).unwrap();
        let keys = self.repository.keys();
        let stored = keys.seal(&associated_data(Kind::Block, &keys.repository()), &coded);
        let length_bytes = u32::try_from(plain.len()).unwrap();
        let entry = DirectoryBlock {
            stored_bytes: u32::try_from(stored.len()).unwrap(),
            depth,
            bases: names.iter().map(BaseName::of).collect(),
            chunks: vec![DirectoryChunk { id, length_bytes }],
        };
        let mut writer = ChunkWriter::new(self.repository.clone(), false).unwrap();
        assert!(
            writer
                .move_block(Content::Data, SealedBlock { stored: stored.into(), entry, fell_back: false })
                .unwrap()
        );
        writer.finish().unwrap();
    }

    fn store(&self, plain: &[u8], base: &[u8], names: &[ChunkId], depth: u8) -> ChunkId {
        let id = self.id(plain);
        self.store_as(id, plain, base, names, depth);
        id
    }

    /// Stores a snapshot of files of one chunk each.
    fn snapshot(&self, chunks: &[&[u8]]) -> SnapshotId {
        let file = |(number, plain): (usize, &&[u8])| {
            let length_bytes = u32::try_from(plain.len()).unwrap();
            let content = FileContent::Inline(vec![ChunkRef { id: self.id(plain), length_bytes }]);
            let kind = NodeKind::File { size_bytes: u64::from(length_bytes), class: 0, content };
            node(&format!("f{number:02}"), kind)
        };
        let nodes: Vec<_> = chunks.iter().enumerate().map(file).collect();
        store_root(&self.repository, store_directory(&self.repository, &nodes), 1)
    }

    /// Fails unless exactly the files `lost` of `chunks` are lost, by every way of reading and by check.
    fn require(&mut self, chunks: &[&[u8]], lost: &[usize]) {
        let snapshot = self.snapshot(chunks);
        self.repository = self.world.open();
        let folder = tempfile::tempdir().unwrap();
        let options = RestoreOptions { sync: false, ..RestoreOptions::new(folder.path()) };
        let loaded = self.repository.load_snapshot(&snapshot).unwrap();
        let stats = restore(&self.repository, &loaded, None, &options).unwrap();
        assert_eq!(stats.failed_count, lost.len() as u64, "{:?}", stats.failed);
        for (number, plain) in chunks.iter().enumerate() {
            let name = format!("f{number:02}");
            let read = read_file(&self.repository, &snapshot, &name);
            let restored = std::fs::read(folder.path().join(&name)).ok();
            if lost.contains(&number) {
                assert!(read.unwrap_err().is_damage(), "{name}");
                assert!(stats.failed.iter().any(|item| item.path == name.as_bytes()), "{name}");
            } else {
                assert_eq!((read.unwrap(), restored), (plain.to_vec(), Some(plain.to_vec())), "{name}");
            }
        }
        let report = check(&self.repository, &CheckOptions { read_data: ReadData::All }).unwrap();
        let mut named: Vec<_> = report.losses.named.iter().map(|loss| loss.path.clone()).collect();
        named.sort();
        let expected: Vec<_> = lost.iter().map(|number| format!("/f{number:02}").into_bytes()).collect();
        assert_eq!(named, expected, "{:?}", report.findings);
    }

    fn require_reliable(&self, chunks: &[&[u8]], expected: &[bool]) {
        let ids: Vec<ChunkId> = chunks.iter().map(|plain| self.id(plain)).collect();
        assert_eq!(self.repository.index().contains(&ids).unwrap(), expected);
    }
}

fn plains(seed: u64, count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|number| noise(seed * 100 + number, 3_000)).collect()
}

#[test]
fn a_base_that_is_in_no_pack_costs_what_leans_on_it() {
    let (mut hand, plain) = (Hand::new(60), plains(60, 3));
    let gone = hand.id(&plain[0]);
    let first = hand.store(&plain[1], &plain[0], &[gone], 1);
    hand.store(&plain[2], &plain[1], &[first], 2);
    let other = noise(1, 500);
    hand.store(&other, &[], &[], 0);
    let chunks: [&[u8]; 3] = [&plain[1], &plain[2], &other];
    hand.require(&chunks, &[0, 1]);
    hand.require_reliable(&chunks, &[false, false, true]);
    prune(&hand.repository, options(0)).unwrap_err();
    // Stored again with a chain of its own, the base makes all of it whole; but chains are longer than their
    // blocks say now, and nothing new leans on them.
    hand.store(&plain[0], &other, &[hand.id(&other)], 1);
    hand.require(&chunks, &[]);
    hand.require_reliable(&chunks, &[false, false, true]);
}

#[test]
fn bases_that_go_in_a_circle_end() {
    let (mut hand, plain) = (Hand::new(61), plains(61, 4));
    for (own, base) in [(0, 1), (1, 2), (2, 0), (3, 3)] {
        hand.store(&plain[own], &plain[base], &[hand.id(&plain[base])], 1 + own as u8);
    }
    let chunks: Vec<&[u8]> = plain.iter().map(Vec::as_slice).collect();
    hand.require(&chunks, &[0, 1, 2, 3]);
    hand.require_reliable(&chunks, &[false; 4]);
}

#[test]
fn chains_are_read_to_their_greatest_depth_and_no_further() {
    let depth_max = usize::try_from(BASE_DEPTH_MAX).unwrap();
    let (mut hand, plain) = (Hand::new(62), plains(62, BASE_DEPTH_MAX + 3));
    hand.store(&plain[0], &[], &[], 0);
    for depth in 1..plain.len() {
        let told = u8::try_from(depth.min(depth_max)).unwrap();
        hand.store(&plain[depth], &plain[depth - 1], &[hand.id(&plain[depth - 1])], told);
    }
    let chunks: Vec<&[u8]> = plain.iter().map(Vec::as_slice).collect();
    let snapshot = hand.snapshot(&chunks);
    hand.repository = hand.world.open();
    for (depth, plain) in plain.iter().enumerate() {
        match read_file(&hand.repository, &snapshot, &format!("f{depth:02}")) {
            Ok(read) => assert!(depth <= depth_max && read == *plain, "{depth}"),
            Err(error) => assert!(depth > depth_max && error.is_damage(), "{depth}: {error}"),
        }
    }
    let reliable: Vec<bool> = (0..plain.len()).map(|depth| depth <= depth_max).collect();
    hand.require_reliable(&chunks, &reliable);
}

#[test]
fn a_base_that_is_shorter_or_another_than_it_was_gives_no_wrong_byte() {
    let (mut hand, plain) = (Hand::new(63), plains(63, 2));
    let base: Vec<u8> = plain.concat();
    let text: Vec<u8> = [&base[..2_900], b"and a little more"].concat();
    let moved: Vec<u8> = [&base[2_000..5_000], b"elsewhere"].concat();
    let ids: Vec<ChunkId> = plain.iter().map(|plain| hand.store(plain, &[], &[], 0)).collect();
    hand.store(&text, &base, &[ids[1]], 1);
    hand.store(&moved, &base, &[ids[1], ids[0]], 1);
    let right: Vec<u8> = [&base[1..], b"!"].concat();
    hand.store(&right, &base, &ids, 1);
    hand.require(&[&text, &moved, &right], &[0, 1]);
}

#[test]
fn of_chunks_that_share_a_name_the_right_one_is_the_base() {
    for first in [0x00, 0xff] {
        let (mut hand, plain) = (Hand::new(64 + first), plains(64, 2));
        let base = hand.store(&plain[0], &[], &[], 0);
        let text: Vec<u8> = [&plain[0][10..], b"more"].concat();
        hand.store(&text, &plain[0], &[base], 1);
        // Another id of that name, before or after it; what is stored for it is not what it names.
        let mut twin = base;
        twin.0[8] = if base.0[8] == first as u8 { first as u8 ^ 0x80 } else { first as u8 };
        hand.store_as(twin, &plain[1], &[], &[], 0);
        hand.require(&[&plain[0], &text], &[]);
        let alone: Vec<u8> = [&plain[1][..2_000], b"of the twin"].concat();
        hand.store(&alone, &plain[1], &[twin], 1);
        hand.require(&[&plain[0], &text, &alone], &[2]);
    }
}
