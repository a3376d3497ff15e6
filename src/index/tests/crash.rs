//! What a crash leaves is a state that was.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::fixture::{INDEX_COUNT, REPOSITORY, World, index_id, open, small_settings};
use super::model::Model;
use crate::index::{IndexDatabase, IndexError};

/// The first file in `folder` whose name ends so.
fn file(folder: &Path, suffix: &str) -> std::path::PathBuf {
    let mut entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.to_str().unwrap().ends_with(suffix)).unwrap()
}

/// The model of the index objects that `database` tells, which must be the first so many of all.
fn prefix_model<'w>(world: &'w World, database: &IndexDatabase) -> Model<'w> {
    let ids = database.index_ids().unwrap();
    let mut model = Model::new(world);
    model.indexes = (0..INDEX_COUNT).filter(|index| ids.contains(&index_id(*index))).collect();
    assert!(model.indexes.iter().copied().eq(0..u8::try_from(ids.len()).unwrap()), "{:?}", model.indexes);
    model
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The log is what a crash may cut: a copy with the log cut anywhere opens at one of the states that were
    /// written.
    #[test]
    fn a_log_cut_anywhere_holds_whole_index_objects(seed in any::<u64>(), cut in 0.0..=1.0f64) {
        let world = World::new(seed);
        let folder = tempfile::tempdir().unwrap();
        let database = open(folder.path());
        database.apply((0..INDEX_COUNT).map(|index| world.index(index)), &[]).unwrap();

        let copy = tempfile::tempdir().unwrap();
        for suffix in [".sqlite", ".sqlite-wal"] {
            let from = file(folder.path(), suffix);
            let to = copy.path().join(from.file_name().unwrap());
            fs::copy(&from, &to).unwrap();
        }
        let log = fs::OpenOptions::new().write(true).open(file(copy.path(), "-wal")).unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let length = (log.metadata().unwrap().len() as f64 * cut) as u64;
        log.set_len(length).unwrap();

        let found = open(copy.path());
        let model = prefix_model(&world, &found);
        model.compare(&found, 0);
        // The rest can be applied as if nothing had happened.
        found.apply((0..INDEX_COUNT).map(|index| world.index(index)), &[]).unwrap();
        let model = prefix_model(&world, &found);
        prop_assert_eq!(model.indexes.len(), usize::from(INDEX_COUNT));
        model.compare(&found, 0);
    }
}

#[test]
fn an_update_left_unfinished_leaves_whole_index_objects() {
    for count in 0..=INDEX_COUNT {
        let world = World::new(u64::from(count));
        let folder = tempfile::tempdir().unwrap();
        let database = open(folder.path());
        let mut update = database.begin_update();
        for index in 0..count {
            let (id, packs) = world.index(index);
            update.add(id, packs).unwrap();
        }
        drop(update);
        drop(database);
        let found = open(folder.path());
        prefix_model(&world, &found).compare(&found, 0);
    }
}

#[test]
fn a_batch_that_fails_leaves_nothing_of_itself() {
    let world = World::new(5);
    let folder = tempfile::tempdir().unwrap();
    let mut settings = small_settings();
    settings.update_buffer_bytes = 1 << 20;
    let database = IndexDatabase::open_with(folder.path(), REPOSITORY, settings).unwrap();
    database.apply([world.index(0)], &[]).unwrap();
    let mut wrong = world.index(0).1;
    wrong[0].size_bytes += 1;
    let result = database.apply([world.index(1), (index_id(2), wrong.clone()), world.index(3)], &[]);
    assert!(matches!(result, Err(IndexError::Disagree { pack }) if pack == wrong[0].id));
    let model = prefix_model(&world, &database);
    assert_eq!(model.indexes.len(), 1);
    model.compare(&database, 0);
}

#[test]
fn a_pack_without_directory_is_refused_unless_known() {
    let world = World::new(6);
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    let (id, mut packs) = world.index(0);
    packs.iter_mut().for_each(|pack| pack.directory.blocks.clear());
    assert!(matches!(database.apply([(id, packs.clone())], &[]), Err(IndexError::UnknownPack { .. })));
    assert!(database.index_ids().unwrap().is_empty());
    database.apply([world.index(0)], &[]).unwrap();
    // The same packs in a merged index object.
    database.apply([(index_id(99), packs)], &[index_id(0)]).unwrap();
    assert_eq!(database.index_ids().unwrap(), [index_id(99)].into());
    assert_eq!(database.packs().unwrap().len(), world.index(0).1.len());
}

#[test]
fn handles_that_write_at_once_both_succeed() {
    let world = World::new(8);
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (world, path) = (&world, folder.path());
            scope.spawn(move || {
                let database = open(path);
                for index in (0..INDEX_COUNT).filter(|index| index % 2 == half) {
                    database.apply([world.index(index)], &[]).unwrap();
                }
            });
        }
    });
    let database = open(folder.path());
    let model = prefix_model(&world, &database);
    assert_eq!(model.indexes.len(), usize::from(INDEX_COUNT));
    model.compare(&database, 0);
}
