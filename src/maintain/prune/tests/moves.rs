//! Blocks with bases, and snapshots that come while a prune runs.

use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::world::{World, files, options, plain};
use crate::backend::memory::MemoryBackend;
use crate::backend::{
    Backend, BackendError, ObjectInfo, ObjectKey, ObjectKind, PutOutcome, Version, Versioned,
};
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
    assert!(writer.move_block(Content::Data, SealedBlock { stored, entry, fell_back: false }).unwrap());
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

type Hook = Box<dyn FnOnce(&MemoryBackend) + Send>;

/// A store where something else happens right after the first index object is written.
struct Hooked(MemoryBackend, Mutex<Option<Hook>>);

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooked")
    }
}

impl Backend for Hooked {
    fn location(&self) -> String {
        self.0.location()
    }
    fn prepare(&self) -> Result<(), BackendError> {
        self.0.prepare()
    }
    fn put_new(&self, key: &ObjectKey, data: Bytes) -> Result<PutOutcome, BackendError> {
        let outcome = self.0.put_new(key, data);
        if key.kind() == ObjectKind::Index
            && let Some(hook) = self.1.lock().unwrap().take()
        {
            hook(&self.0);
        }
        outcome
    }
    fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, BackendError> {
        self.0.get(key, limit_bytes)
    }
    fn get_range(&self, key: &ObjectKey, offset: u64, length_bytes: u64) -> Result<Bytes, BackendError> {
        self.0.get_range(key, offset, length_bytes)
    }
    fn list(&self, kind: ObjectKind) -> Result<Vec<ObjectInfo>, BackendError> {
        self.0.list(kind)
    }
    fn stat(&self, key: &ObjectKey) -> Result<ObjectInfo, BackendError> {
        self.0.stat(key)
    }
    fn delete(&self, key: &ObjectKey) -> Result<(), BackendError> {
        self.0.delete(key)
    }
    fn get_versioned(&self, key: &ObjectKey) -> Result<Option<Versioned>, BackendError> {
        self.0.get_versioned(key)
    }
    fn replace(
        &self,
        key: &ObjectKey,
        data: Bytes,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, BackendError> {
        self.0.replace(key, data, expected)
    }
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
    let hook: Hook = Box::new(move |store| {
        store.put_new(&key, snapshot).unwrap();
    });
    let store = Arc::new(Hooked(world.store.clone(), Mutex::new(Some(hook))));
    let report = prune(&world.open_through(store).unwrap(), options(1000)).unwrap();
    assert_eq!((report.restarts, report.rescued.count, report.deleted.count), (1, 1, 0), "{report:?}");
    world.snapshots.lock().unwrap().insert(id, first);
    world.require_whole("rescued");
    super::laws::require_no_garbage(&world, "rescued");
}
