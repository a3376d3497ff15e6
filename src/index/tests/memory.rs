//! What a host remembers beside the index.

use std::collections::BTreeSet;

use super::fixture::{World, index_id, open};
use crate::base::{PackId, Time};
use crate::index::{CACHED_OBJECT_MAX_BYTES, RUN_COUNT_MAX};

#[test]
fn file_states_are_kept_by_job_and_path_until_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    let state = |path: &str, fingerprint: &str, content: &str| {
        (path.as_bytes().to_vec(), fingerprint.as_bytes().to_vec(), content.as_bytes().to_vec())
    };
    database.save_file_states(b"one", &[state("a", "1", "x"), state("b", "2", "y")]).unwrap();
    database.save_file_states(b"two", &[state("a", "3", "z")]).unwrap();
    database.save_file_states(b"one", &[state("a", "4", "w")]).unwrap();
    drop(database);
    let database = open(folder.path());
    let found = |job: &[u8], path: &[u8]| database.file_state(job, path).unwrap();
    assert_eq!(found(b"one", b"a"), Some((b"4".to_vec(), b"w".to_vec())));
    assert_eq!(found(b"one", b"b"), Some((b"2".to_vec(), b"y".to_vec())));
    assert_eq!(found(b"two", b"b"), None);
    assert_eq!(found(b"three", b"a"), None);
    database.clear_file_states(b"one").unwrap();
    assert_eq!(found(b"one", b"a"), None);
    assert_eq!(found(b"two", b"a"), Some((b"3".to_vec(), b"z".to_vec())));
}

#[test]
fn cached_objects_come_back_as_they_were_until_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    for number in 0..4 {
        database.cache_object("snapshot", &[number; 32], &[number; 1000]).unwrap();
    }
    database.cache_object("tree", &[3; 32], b"another kind").unwrap();
    database.retain_objects("snapshot", &BTreeSet::from([[0; 32], [2; 32], [9; 32]])).unwrap();
    let found = |kind, number| database.cached_object(kind, &[number; 32]).unwrap();
    assert_eq!(found("snapshot", 0), Some(vec![0; 1000]));
    assert_eq!(found("snapshot", 1), None);
    assert_eq!(found("snapshot", 3), None);
    assert_eq!(found("tree", 3), Some(b"another kind".to_vec()));
    database.cache_object("tree", &[4; 32], &vec![0; CACHED_OBJECT_MAX_BYTES]).unwrap();
    assert!(found("tree", 4).is_some());
    database.cache_object("tree", &[5; 32], &vec![0; CACHED_OBJECT_MAX_BYTES + 1]).unwrap();
    assert_eq!(found("tree", 5), None);
}

#[test]
fn what_was_verified_is_remembered_as_long_as_the_pack() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    let world = World::new(1);
    database.apply([world.index(0)], &[]).unwrap();
    let pack = world.index(0).1[0].id;
    let later = Time { seconds: -5, nanoseconds: 999_999_999 };
    database.record_verified(&pack, Time::from_seconds(1), true).unwrap();
    database.record_verified(&pack, later, false).unwrap();
    database.record_verified(&PackId([255; 32]), Time::from_seconds(3), true).unwrap();
    let other = (PackId([255; 32]), Time::from_seconds(3), true);
    assert_eq!(database.verified().unwrap(), [(pack, later, false), other]);
    database.apply([], &[index_id(0)]).unwrap();
    assert_eq!(database.verified().unwrap(), [other]);
}

#[test]
fn that_every_pack_is_being_read_is_remembered_until_it_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(open(folder.path()).reading_since().unwrap(), None);
    open(folder.path()).set_reading_since(Some(-7)).unwrap();
    open(folder.path()).set_reading_since(Some(9)).unwrap();
    assert_eq!(open(folder.path()).reading_since().unwrap(), Some(9));
    open(folder.path()).set_reading_since(None).unwrap();
    assert_eq!(open(folder.path()).reading_since().unwrap(), None);
}

#[test]
fn the_last_runs_are_kept_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    let count = i64::try_from(RUN_COUNT_MAX).unwrap() + 5;
    for number in 0..count {
        let started = Time { seconds: number, nanoseconds: 7 };
        let ended = Time::from_seconds(number + 1);
        database.record_run("backup", started, ended, "ok", &format!("{{\"number\":{number}}}")).unwrap();
    }
    let runs = database.runs(usize::MAX).unwrap();
    assert_eq!(runs.len() as u64, RUN_COUNT_MAX);
    assert_eq!(runs[0].started, Time { seconds: count - 1, nanoseconds: 7 });
    assert_eq!(runs[999].summary_json, "{\"number\":5}");
    assert_eq!(database.runs(2).unwrap(), runs[..2]);
}
