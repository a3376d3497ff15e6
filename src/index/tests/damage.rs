//! A database that does not fit is made anew, and nobody else's is touched.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::fixture::{REPOSITORY, World, all_chunks, index_id, open, small_settings};
use crate::base::RepositoryId;
use crate::index::{IndexDatabase, IndexSettings};

/// The database files in `folder`, without logs.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "sqlite")).collect()
}

/// A closed database with something in it.
fn filled() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(1);
    open(folder.path()).apply((0..6).map(|index| world.index(index)), &[]).unwrap();
    let file = files(folder.path()).pop().unwrap();
    (folder, file)
}

fn assert_made_anew(folder: &Path, what: &str) {
    let database = open(folder);
    assert!(database.index_ids().unwrap().is_empty(), "{what}: not made anew");
    let world = World::new(2);
    database.apply([world.index(0)], &[]).unwrap();
    drop(database);
    let database = open(folder);
    assert_eq!(database.index_ids().unwrap(), [index_id(0)].into(), "{what}: not usable afterwards");
    assert_eq!(files(folder).len(), 1, "{what}: the old one is still there");
}

#[test]
fn an_untouched_database_is_kept() {
    let (folder, file) = filled();
    let database = open(folder.path());
    assert_eq!(database.index_ids().unwrap().len(), 6);
    assert_eq!(files(folder.path()), [file]);
}

#[test]
fn a_broken_file_is_made_anew() {
    type Break = fn(&mut Vec<u8>);
    let kinds: [(&str, Break); 8] = [
        ("empty", |bytes| bytes.clear()),
        ("only the head", |bytes| bytes.truncate(100)),
        ("half", |bytes| bytes.truncate(bytes.len() / 2)),
        ("one byte short", |bytes| bytes.truncate(bytes.len() - 1)),
        ("last page missing", |bytes| bytes.truncate(bytes.len() - 512)),
        ("garbage", |bytes| bytes.fill(0xa5)),
        ("garbage after the head", |bytes| bytes[512..].fill(0xa5)),
        ("zeros after the head", |bytes| bytes[512..].fill(0)),
    ];
    for (what, breaking) in kinds {
        let (folder, file) = filled();
        let mut bytes = fs::read(&file).unwrap();
        breaking(&mut bytes);
        fs::write(&file, bytes).unwrap();
        assert_made_anew(folder.path(), what);
    }
}

#[test]
fn another_schema_or_contradicting_tables_are_made_anew() {
    for statement in [
        "PRAGMA user_version = 0",
        "PRAGMA user_version = 1000",
        "PRAGMA application_id = 5",
        "DROP TABLE blocks",
        "DROP TABLE repository",
        "DELETE FROM repository",
        "DELETE FROM packs",
        "DELETE FROM chunks_0; DELETE FROM chunks_1; DELETE FROM chunks_2",
        "UPDATE counters SET value = 1",
        "DELETE FROM counters",
        "UPDATE blocks SET ids = x'00'",
        "UPDATE repository SET id = x'01'",
    ] {
        let (folder, file) = filled();
        Connection::open(&file).unwrap().execute_batch(statement).unwrap();
        assert_made_anew(folder.path(), statement);
    }
}

#[test]
fn another_repository_never_sees_this_ones_chunks() {
    let (folder, _) = filled();
    let other = IndexDatabase::open_with(folder.path(), RepositoryId([8; 16]), small_settings()).unwrap();
    assert!(other.index_ids().unwrap().is_empty());
    assert!(other.contains(&all_chunks()).unwrap().iter().all(|held| !held));
}

#[test]
fn damage_found_while_working_drops_the_database_at_the_next_open() {
    let (folder, file) = filled();
    let database = open(folder.path());
    Connection::open(&file).unwrap().execute_batch("DELETE FROM blocks").unwrap();
    assert!(database.contains(&all_chunks()).unwrap_err().is_damage());
    drop(database);
    assert_made_anew(folder.path(), "blocks gone");
}

#[test]
fn a_handle_outlives_the_replacement_of_its_database() {
    let (folder, file) = filled();
    let old = open(folder.path());
    let world = World::new(1);
    Connection::open(&file).unwrap().execute_batch("PRAGMA user_version = 0").unwrap();
    let new = open(folder.path());
    new.apply([world.index(7)], &[]).unwrap();
    assert_eq!(old.index_ids().unwrap().len(), 6);
    old.add_own_pack(world.pack(0)).unwrap();
    drop(old);
    drop(new);
    assert_eq!(open(folder.path()).index_ids().unwrap(), [index_id(7)].into());
}

#[test]
fn only_the_owner_can_read_folder_and_files() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("cache/repository");
    let database = open(&folder);
    database.apply([World::new(1).index(0)], &[]).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let names: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(names.len() >= 4, "database, log, log index and lock: {names:?}");
    for path in names {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_told() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, b"in the way").unwrap();
    let error = IndexDatabase::open(&file, REPOSITORY).unwrap_err();
    assert!(!error.is_damage());
    assert_eq!(fs::read(&file).unwrap(), b"in the way");
}

#[test]
fn a_temporary_database_works_and_leaves_nothing() {
    let database = IndexDatabase::temporary(REPOSITORY, IndexSettings::default()).unwrap();
    let path = database.path.clone();
    let world = World::new(1);
    database.apply([world.index(0)], &[]).unwrap();
    assert_eq!(database.packs().unwrap().len(), world.index(0).1.len());
    assert!(path.exists());
    drop(database);
    assert!(!path.parent().unwrap().exists());
}
