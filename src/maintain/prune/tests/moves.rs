//! Blocks with bases, and snapshots that come while a prune runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::world::{World, files, options, plain};
use crate::backend::record::{Call, RecordBackend, Verb};
use crate::backend::{Backend, ObjectKey, ObjectKind};
use crate::codec::{Base, BaseUse, Coding, PartCoder, encode};
use crate::format::Kind;
use crate::format::pack::{BaseName, Content, DirectoryBlock, DirectoryChunk};
use crate::format::sealed::associated_data;
use crate::maintain::prune::prune;
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
