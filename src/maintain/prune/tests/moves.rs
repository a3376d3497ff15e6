//! Blocks with bases, and snapshots that come while a prune runs.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::world::{World, files, options, plain};
use crate::backend::record::{Call, RecordBackend, Verb};
use crate::backend::{Backend, ObjectKey, ObjectKind};
use crate::codec::{Base, BaseUse, Coding, PartCoder, encode};
use crate::format::Kind;
use crate::format::pack::{BaseName, Content, DirectoryBlock, DirectoryChunk};
use crate::format::sealed::associated_data;
use crate::index::ChunkLocation;
use crate::maintain::prune::{PruneError, prune};
use crate::pack::SealedBlock;
use crate::repository::ChunkWriter;

/// Stores one block of the chunks `numbers`, made with chunk `base` as its base.
fn store_with_base(world: &World, numbers: &[u32], base: u32) {
    let repository = world.open();
    let keys = repository.keys();
    let raw: Vec<u8> = numbers.iter().flat_map(|number| plain(*number)).collect();
    let bytes = plain(base);
    let xor = Base { use_: BaseUse::Xor, bytes: &bytes, skip: 0 };
    let coded = encode(&raw, Coding::Whole(PartCoder::Raw), xor).unwrap();
    let stored = keys.seal(&associated_data(Kind::Block, &keys.repository()), &coded);
    let chunk = |number: &u32| {
        let data = plain(*number);
        DirectoryChunk { id: keys.data_id(&data), length_bytes: u32::try_from(data.len()).unwrap() }
    };
    let entry = DirectoryBlock {
        stored_bytes: u32::try_from(stored.len()).unwrap(),
        depth: 1,
        bases: vec![BaseName::of(&keys.data_id(&plain(base)))],
        chunks: numbers.iter().map(chunk).collect(),
    };
    let mut writer = ChunkWriter::new(repository.clone(), false).unwrap();
    assert!(
        writer
            .move_block(Content::Data, SealedBlock { stored: stored.into(), entry, fell_back: false })
            .unwrap()
    );
    writer.finish().unwrap();
}

fn based_blocks(world: &World) -> usize {
    let repository = world.open();
    let packs = repository.index().packs().unwrap();
    let blocks = packs.iter().flat_map(|pack| repository.index().pack_blocks(&pack.id).unwrap());
    blocks.filter(|block| !block.location.bases.is_empty()).count()
}

#[test]
fn bases_of_needed_blocks_stay_and_the_blocks_move_as_they_are() {
    let world = World::new(50);
    let gone = world.backup(&files(&[("a", &[1, 2, 3])]));
    store_with_base(&world, &[50, 51], 1);
    world.backup(&files(&[("b", &[50]), ("d", &[1])]));
    world.forget(&[gone]);
    let report = prune(&world.open(), options(0)).unwrap();
    assert!(report.repacked.count > 0 && report.unused_bytes == 0, "{report:?}");
    world.require_whole("the base was moved");
    assert_eq!(based_blocks(&world), 1);
    assert_eq!(prune(&world.open(), options(0)).unwrap().repacked.count, 0);
    for number in 100..120 {
        world.backup(&files(&[("c", &[number])]));
    }
    let report = prune(&world.open(), options(0)).unwrap();
    assert!(report.repacked.count > 20, "{report:?}");
    world.require_whole("the block was moved");
    assert_eq!(based_blocks(&world), 1);
}

#[test]
fn what_of_a_block_was_moved_before_is_not_moved_twice_and_the_rest_is() {
    let mut left = BTreeSet::new();
    for seed in 60..70 {
        println!("seed {seed}");
        let world = World::new(seed);
        let gone = world.backup(&files(&[("a", &[1, 2, 5])]));
        store_with_base(&world, &[51, 1], 5);
        world.backup(&files(&[("b", &[51]), ("d", &[1])]));
        for number in 100..116 {
            world.backup(&files(&[("c", &[number])]));
        }
        world.forget(&[gone]);
        assert_eq!(based_blocks(&world), 1);
        let report = prune(&world.open(), options(0)).unwrap();
        assert!(report.repacked.count > 16, "{report:?}");
        world.require_whole("moved");
        left.insert(based_blocks(&world));
    }
    // Where chunk 1 comes from the other pack first, its block with 51 cannot go as it is.
    assert_eq!(left, BTreeSet::from([0, 1]));
}

#[test]
fn another_copy_makes_up_for_a_damaged_one_and_without_any_nothing_is_deleted() {
    let world = World::new(53);
    let gone = world.backup(&files(&[("a", &[1, 2, 3])]));
    world.backup(&files(&[("b", &[1])]));
    let repository = world.open();
    let keys = repository.keys();
    let mut writer = ChunkWriter::new(repository.clone(), false).unwrap();
    for number in [1, 9] {
        writer.add_again(Content::Data, keys.data_id(&plain(number)), &plain(number)).unwrap();
    }
    writer.finish().unwrap();
    world.forget(&[gone]);
    let repository = world.open();
    let id = keys.data_id(&plain(1));
    let first = repository.index().locate(&[id]).unwrap()[0].clone().unwrap();
    let copies = repository.index().locate_all(&id).unwrap();
    let other = copies.iter().find(|copy| copy.block != first.block).unwrap();
    let flip = |at: &ChunkLocation| {
        let key = ObjectKey::pack(&at.block.pack);
        let mut bytes = world.store.get(&key, u64::MAX).unwrap().to_vec();
        bytes[(at.block.offset + at.block.stored_bytes / 2) as usize] ^= 1;
        world.store.overwrite(&key, bytes.into());
    };
    flip(&first);
    let state = world.store.state();
    let report = prune(&world.open(), options(0)).unwrap();
    assert!(report.repacked.count > 0 && report.deleted.count > 0, "{report:?}");
    world.require_whole("from the other copy");
    super::laws::require_no_garbage(&world, "from the other copy");

    world.store.set_state(state);
    flip(other);
    let packs = || world.store.list(ObjectKind::Pack).unwrap();
    let before = packs();
    let error = prune(&world.open(), options(0)).unwrap_err();
    assert!(matches!(&error, PruneError::Repository(error) if error.is_damage()), "{error}");
    assert!(before.iter().all(|info| packs().contains(info)), "{error}");
}

#[test]
fn a_snapshot_that_comes_right_before_the_first_delete_keeps_what_it_needs() {
    let world = World::new(51);
    let first = files(&[("a", &[1, 2, 3])]);
    let id = world.backup(&first);
    world.backup(&files(&[("b", &[1, 2, 3])]));
    let key = ObjectKey::snapshot(&id);
    let snapshot = world.store.get(&key, 1 << 20).unwrap();
    world.forget(&[id]);
    // The tree of the first snapshot is planned; its data is still needed.
    assert_eq!(prune(&world.open(), options(1000)).unwrap().dead.count, 1);
    world.wait(2000);
    // It comes once the first index object is written.
    let (inner, late, is_indexed) = (world.store.clone(), Mutex::new(Some(snapshot)), AtomicBool::new(false));
    let before = move |call: &Call| {
        if is_indexed.load(Ordering::SeqCst)
            && let Some(snapshot) = late.lock().unwrap().take()
        {
            inner.put_new(&key, snapshot).unwrap();
        }
        let is_index = call.key.as_ref().is_some_and(|key| key.kind() == ObjectKind::Index);
        is_indexed.fetch_or(is_index && call.verb == Verb::PutNew, Ordering::SeqCst);
    };
    let store = Arc::new(RecordBackend::new(Arc::new(world.store.clone())).calling(before));
    let report = prune(&world.open_through(store).unwrap(), options(1000)).unwrap();
    assert_eq!((report.restarts, report.rescued.count, report.deleted.count), (1, 1, 0), "{report:?}");
    world.snapshots.lock().unwrap().insert(id, first);
    world.require_whole("rescued");
    super::laws::require_no_garbage(&world, "rescued");
}

#[test]
fn a_snapshot_that_goes_while_it_is_read_is_gone_and_the_others_are_kept() {
    let world = World::new(54);
    let gone = world.backup(&files(&[("a", &[1, 2, 3])]));
    world.backup(&files(&[("b", &[4, 5])]));
    let key = ObjectKey::snapshot(&gone);
    let inner = world.store.clone();
    let before = move |call: &Call| {
        if call.verb == Verb::Get && call.key.as_ref() == Some(&key) {
            inner.delete(&key).unwrap();
        }
    };
    let store = Arc::new(RecordBackend::new(Arc::new(world.store.clone())).calling(before));
    let report = prune(&world.open_through(store).unwrap(), options(0)).unwrap();
    assert_eq!(report.remaining, 1, "{report:?}");
    world.snapshots.lock().unwrap().remove(&gone);
    world.require_whole("without it");
    super::laws::require_no_garbage(&world, "without it");
}
