//! The database against sets and maps, for any order of calls by two handles.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::fixture::{INDEX_COUNT, PACK_COUNT, World, all_chunks, chunk_id, index_id, open, small_settings};
use crate::base::{ChunkId, PackId};
use crate::format::pack::{BaseName, Content, Directory, DirectoryBlock};
use crate::index::{ChunkLocation, IndexDatabase, IndexTotals};

#[derive(Debug, Clone)]
enum Step {
    Apply { handle: usize, added: Vec<u8>, removed: Vec<u8>, is_brief: bool },
    SetPending(BTreeSet<u8>),
    Intend { handle: usize, pack: u8 },
    Own { handle: usize, pack: u8 },
    ClearIntents(BTreeSet<u8>),
    Reopen(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let packs = || prop::collection::btree_set(0..PACK_COUNT, 0..4);
    let indexes = || prop::collection::vec(0..INDEX_COUNT, 0..4);
    let step = prop_oneof![
        4 => (0..2usize, indexes(), indexes(), any::<bool>())
            .prop_map(|(handle, added, removed, is_brief)| Step::Apply { handle, added, removed, is_brief }),
        1 => packs().prop_map(Step::SetPending),
        1 => (0..2usize, 0..PACK_COUNT).prop_map(|(handle, pack)| Step::Intend { handle, pack }),
        2 => (0..2usize, 0..PACK_COUNT).prop_map(|(handle, pack)| Step::Own { handle, pack }),
        1 => packs().prop_map(Step::ClearIntents),
        1 => (0..2usize).prop_map(Step::Reopen),
    ];
    prop::collection::vec(step, 1..24)
}

/// Where a copy is: pack, block offset, offset in the block, length.
type Place = (PackId, u32, u32, u32);

fn place(copy: &ChunkLocation) -> Place {
    (copy.block.pack, copy.block.offset, copy.chunk_offset, copy.length_bytes)
}

#[derive(Debug)]
pub(super) struct Model<'w> {
    world: &'w World,
    pub(super) indexes: BTreeSet<u8>,
    pending: BTreeSet<u8>,
    intents: BTreeSet<u8>,
    owned: [BTreeSet<u8>; 2],
}

impl<'w> Model<'w> {
    pub(super) fn new(world: &'w World) -> Self {
        Self {
            world,
            indexes: BTreeSet::new(),
            pending: BTreeSet::new(),
            intents: BTreeSet::new(),
            owned: Default::default(),
        }
    }

    fn indexed(&self) -> BTreeSet<u8> {
        self.indexes.iter().flat_map(|index| &self.world.indexes[usize::from(*index)]).copied().collect()
    }

    fn settle(&mut self) {
        let indexed = self.indexed();
        self.intents.retain(|pack| !indexed.contains(pack));
        for owned in &mut self.owned {
            owned.retain(|pack| self.intents.contains(pack));
        }
    }

    fn visible(&self, handle: usize) -> BTreeSet<u8> {
        &self.indexed() | &self.owned[handle]
    }

    fn copies(&self, id: &ChunkId, handle: usize) -> BTreeMap<Place, (bool, u8)> {
        let mut copies = BTreeMap::new();
        for number in self.visible(handle) {
            let pack = self.world.pack(number);
            let mut offset = 16;
            for block in &pack.directory.blocks {
                let mut chunk_offset = 0;
                for chunk in &block.chunks {
                    if chunk.id == *id {
                        let rank = (self.pending.contains(&number), block.depth);
                        copies.insert((pack.id, offset, chunk_offset, chunk.length_bytes), rank);
                    }
                    chunk_offset += chunk.length_bytes;
                }
                offset += block.stored_bytes;
            }
        }
        copies
    }

    /// Blocks that hold what `is_wanted` says, in packs that are not pending deletion.
    fn reliable_blocks(
        &self,
        handle: usize,
        is_wanted: impl Fn(&ChunkId) -> bool,
    ) -> Vec<(Content, &DirectoryBlock)> {
        let mut found = Vec::new();
        for number in &self.visible(handle) - &self.pending {
            let pack = self.world.pack(number);
            let holds = |block: &&DirectoryBlock| block.chunks.iter().any(|chunk| is_wanted(&chunk.id));
            found.extend(pack.directory.blocks.iter().filter(holds).map(|block| (pack.content, block)));
        }
        found
    }

    /// Whether all bases of a block are there, transitively, and ever less deep.
    fn is_sound(&self, handle: usize, content: Content, block: &DirectoryBlock) -> bool {
        block.bases.iter().all(|name| {
            let copies = self.reliable_blocks(handle, |id| BaseName::of(id) == *name);
            copies.into_iter().any(|(of, base)| {
                let is_less = base.bases.is_empty() || base.depth < block.depth;
                of == content && is_less && self.is_sound(handle, content, base)
            })
        })
    }

    /// Everything that `database` tells is what the model says.
    pub(super) fn compare(&self, database: &IndexDatabase, handle: usize) {
        self.compare_chunks(database, handle);
        self.compare_packs(database, handle);
        let ids = self.indexes.iter().map(|index| index_id(*index)).collect();
        assert_eq!(database.index_ids().unwrap(), ids);
        let intended: BTreeSet<PackId> = self.intents.iter().map(|pack| self.world.pack(*pack).id).collect();
        assert_eq!(database.intent_ids().unwrap().into_iter().collect::<BTreeSet<_>>(), intended);
        for record in database.intents().unwrap() {
            assert!(self.world.packs.contains(&record), "an intent comes back as it was recorded");
        }
    }

    fn compare_chunks(&self, database: &IndexDatabase, handle: usize) {
        let ids = all_chunks();
        let held = database.contains(&ids).unwrap();
        let outside = database.is_outside_pending(&ids).unwrap();
        for (id, outside) in ids.iter().zip(outside) {
            assert_eq!(outside, self.copies(id, handle).values().any(|(is_pending, _)| !is_pending), "{id}");
        }
        let located = database.locate(&ids).unwrap();
        for ((id, held), located) in ids.iter().zip(held).zip(located) {
            let expected = self.copies(id, handle);
            let blocks = self.reliable_blocks(handle, |held| held == id);
            let is_sound = |(of, block): &(Content, &DirectoryBlock)| self.is_sound(handle, *of, block);
            assert_eq!(held, blocks.iter().any(is_sound), "contains {id}");
            let best = expected.values().min();
            assert_eq!(located.as_ref().and_then(|copy| expected.get(&place(copy))), best, "locate {id}");
            let all = database.locate_all(id).unwrap();
            assert_eq!(all.iter().map(place).collect::<BTreeSet<_>>(), expected.keys().copied().collect());
            assert_eq!(all.len(), expected.len());
            let ranks: Vec<_> = all.iter().map(|copy| expected[&place(copy)]).collect();
            assert!(ranks.is_sorted(), "the best copy comes first");
            let named: Vec<ChunkId> = {
                let name = BaseName::of(id);
                let mut named: Vec<ChunkId> = ids
                    .iter()
                    .filter(|id| BaseName::of(id) == name && !self.copies(id, handle).is_empty())
                    .copied()
                    .collect();
                named.sort_unstable();
                named
            };
            let of_name = database.locate_bases(&[BaseName::of(id)]).unwrap().remove(0);
            assert!(of_name.iter().map(|(id, _)| id).eq(&named), "chunks of a name");
            let own = of_name.into_iter().find(|(named, _)| named == id).map(|(_, copy)| copy);
            assert_eq!(own, located, "the best copy of a chunk by its name");
        }
    }

    fn compare_packs(&self, database: &IndexDatabase, handle: usize) {
        let visible = self.visible(handle);
        let known = &self.indexed() | &self.intents;
        let all: Vec<PackId> = self.world.packs.iter().map(|pack| pack.id).collect();
        let known_ids = known.iter().map(|pack| self.world.pack(*pack).id).collect();
        assert_eq!(database.known_packs(&all).unwrap(), known_ids);
        let infos = database.packs().unwrap();
        assert_eq!(infos.len(), visible.len());
        let end = database.ordinal_end().unwrap();
        let mut totals = IndexTotals { packs: infos.len() as u64, ..Default::default() };
        let mut ordinals = BTreeSet::new();
        for info in infos {
            let number = visible.iter().find(|pack| self.world.pack(**pack).id == info.id).unwrap();
            let record = self.world.pack(*number);
            assert_eq!(info.pending, self.pending.contains(number));
            assert_eq!((info.size_bytes, info.content), (record.size_bytes, record.content));
            assert_eq!(info.chunk_count, record.directory.chunk_count() as u64);
            totals.chunks += info.chunk_count;
            totals.stored_bytes += u64::from(info.size_bytes);
            totals.raw_bytes += info.raw_bytes;
            let blocks = database.pack_blocks(&info.id).unwrap();
            assert_eq!(blocks.len(), record.directory.blocks.len());
            for (found, block) in blocks.iter().zip(&record.directory.blocks) {
                assert!(found.ids.iter().eq(block.chunks.iter().map(|chunk| &chunk.id)));
                assert!(found.lengths.iter().eq(block.chunks.iter().map(|chunk| &chunk.length_bytes)));
                assert_eq!(*found.location.bases, *block.bases);
                assert_eq!(found.location.depth, block.depth);
                assert_eq!(found.location.stored_bytes, block.stored_bytes);
                for place in 0..found.ids.len() as u64 {
                    assert!(ordinals.insert(found.location.first_ordinal + place), "an ordinal occurs once");
                }
            }
        }
        assert_eq!(database.totals().unwrap(), totals);
        assert!(ordinals.last().is_none_or(|last| *last < end));
        assert_eq!(ordinals.len() as u64, totals.chunks);
    }

    fn apply(&mut self, database: &IndexDatabase, added: &[u8], removed: &[u8], is_brief: bool) {
        let all: Vec<PackId> = self.world.packs.iter().map(|pack| pack.id).collect();
        let known = database.known_packs(&all).unwrap();
        let added_objects = added.iter().map(|number| {
            let (id, mut packs) = self.world.index(*number);
            for pack in packs.iter_mut().filter(|pack| is_brief && known.contains(&pack.id)) {
                pack.directory = Directory::default();
            }
            (id, packs)
        });
        let removed_ids: Vec<_> = removed.iter().map(|number| index_id(*number)).collect();
        database.apply(added_objects, &removed_ids).unwrap();
        self.indexes.extend(added);
        // An intent ends when an index object takes the pack over, even one that is gone afterwards.
        self.settle();
        self.indexes.retain(|index| !removed.contains(index));
    }
}

fn run(world: &World, steps: &[Step]) {
    let folder = tempfile::tempdir().unwrap();
    let mut handles = [open(folder.path()), open(folder.path())];
    let mut model = Model::new(world);
    for step in steps {
        match step {
            Step::Apply { handle, added, removed, is_brief } => {
                model.apply(&handles[*handle], added, removed, *is_brief);
            }
            Step::SetPending(packs) => {
                let ids = packs.iter().map(|pack| world.pack(*pack).id).collect();
                handles[0].set_pending(&ids).unwrap();
                model.pending = packs.clone();
            }
            Step::Intend { handle, pack } => {
                handles[*handle].record_intent(world.pack(*pack)).unwrap();
                model.intents.insert(*pack);
            }
            Step::Own { handle, pack } => {
                handles[*handle].add_own_pack(world.pack(*pack)).unwrap();
                model.intents.insert(*pack);
                model.owned[*handle].insert(*pack);
            }
            Step::ClearIntents(packs) => {
                let ids: Vec<_> = packs.iter().map(|pack| world.pack(*pack).id).collect();
                handles[1].clear_intents(&ids).unwrap();
                model.intents.retain(|pack| !packs.contains(pack));
            }
            Step::Reopen(handle) => {
                handles[*handle] = open(folder.path());
                model.owned[*handle].clear();
            }
        }
        model.settle();
        model.compare(&handles[0], 0);
        model.compare(&handles[1], 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_database_tells_what_sets_and_maps_tell(seed in any::<u64>(), steps in steps()) {
        run(&World::new(seed), &steps);
    }
}

#[test]
fn other_bounds_give_the_same_answers() {
    let world = World::new(11);
    let mut settings = small_settings();
    for level_row_max in [[0, 0], [0, 1_000], [1_000, 1_000], [1_000, 0]] {
        settings.level_row_max = level_row_max;
        let folder = tempfile::tempdir().unwrap();
        let repository = super::fixture::REPOSITORY;
        let database = IndexDatabase::open_with(folder.path(), repository, settings.clone()).unwrap();
        let mut model = Model::new(&world);
        model.apply(&database, &[0, 1, 2, 3, 4, 5], &[], false);
        model.apply(&database, &[6], &[1, 3], false);
        model.compare(&database, 0);
    }
}

#[test]
fn ordinals_are_not_given_again() {
    let world = World::new(3);
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    database.apply([world.index(0)], &[]).unwrap();
    let end = database.ordinal_end().unwrap();
    database.apply([], &[index_id(0)]).unwrap();
    assert_eq!(database.packs().unwrap(), []);
    database.apply([world.index(0)], &[]).unwrap();
    assert!(database.packs().unwrap().iter().all(|pack| pack.first_ordinal >= end));
}

#[test]
fn one_id_asked_many_times_is_answered_each_time() {
    let world = World::new(4);
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    database.apply([world.index(0)], &[]).unwrap();
    let id = database.pack_blocks(&world.index(0).1[0].id).unwrap()[0].ids[0];
    assert_eq!(database.contains(&[id, chunk_id(200), id]).unwrap(), [true, false, true]);
}
