use std::sync::Arc;

use super::*;
use crate::backend::faulty::{FaultEffect, FaultPlan, FaultyBackend};
use crate::backend::record::Verb;
use crate::base::Time;
use crate::repository::testing::noise;
use crate::restore::{BatchLimits, Overwrite};

fn stored() -> (TestRepository, Vec<u8>, Snapshot) {
    let mut store = TestRepository::new(10);
    store.chunk_bytes = 1 << 18;
    let content = noise(3, 8 << 20);
    let (_, snapshot) =
        store.store(&Entry::directory([("d", Entry::directory([("f", Entry::file(content.clone()))]))]));
    (store, content, snapshot)
}

fn data_bytes(store: &TestRepository) -> u64 {
    let calls = store.record.calls();
    calls.iter().filter(|call| call.verb == Verb::GetRange).map(|call| call.length_bytes).sum()
}

#[test]
fn a_file_that_is_there_is_completed_with_only_the_chunks_that_differ() {
    let (store, content, snapshot) = stored();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("d/f");
    restored(&store, &snapshot, folder.path(), |_| {});
    let inode = std::fs::metadata(&file).unwrap().ino();
    let mut broken = content.clone();
    broken[5_000_000] ^= 1;
    std::fs::write(&file, &broken).unwrap();
    store.record.clear();
    let stats = restored(&store, &snapshot, folder.path(), |_| {});
    assert_eq!(stats.restored_bytes, 1 << 18);
    assert_eq!(stats.reused_bytes, (8 << 20) - (1 << 18));
    assert!(data_bytes(&store) < 2 << 20, "{} bytes fetched", data_bytes(&store));
    assert_eq!(std::fs::read(&file).unwrap(), content);
    assert_eq!(std::fs::metadata(&file).unwrap().ino(), inode);
    store.record.clear();
    restored(&store, &snapshot, folder.path(), |_| {});
    assert_eq!(data_bytes(&store), 0);
}

#[test]
fn a_file_with_another_name_elsewhere_is_replaced_not_written_to() {
    let (store, content, snapshot) = stored();
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("t");
    std::fs::create_dir_all(target.join("d")).unwrap();
    let outside = folder.path().join("outside");
    let mut other = content.clone();
    other[0] ^= 1;
    std::fs::write(&outside, &other).unwrap();
    std::fs::hard_link(&outside, target.join("d/f")).unwrap();
    let stats = restored(&store, &snapshot, &target, |_| {});
    assert_eq!(std::fs::read(&outside).unwrap(), other);
    assert_eq!(std::fs::read(target.join("d/f")).unwrap(), content);
    assert_eq!(stats.restored_bytes, 1 << 18);
    assert_eq!(show_folder(&target).len(), 2);
}

#[test]
fn overwrite_decides_by_size_and_time() {
    let old = Time::from_seconds(1_000);
    let store = TestRepository::new(11);
    let entry = || Entry::file("right").with(|node| node.mtime = old);
    let (_, snapshot) = store.store(&Entry::directory([("f", entry())]));
    let at = |seconds: u64| std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    for (overwrite, there, mtime, expected) in [
        (Overwrite::Always, "wrong", 1000, "right"),
        (Overwrite::IfChanged, "wrong", 1000, "wrong"),
        (Overwrite::IfChanged, "wrong", 1001, "right"),
        (Overwrite::IfChanged, "other size", 1000, "right"),
        (Overwrite::IfNewer, "wrong", 1000, "wrong"),
        (Overwrite::IfNewer, "wrong", 2000, "wrong"),
        (Overwrite::IfNewer, "wrong", 500, "right"),
        (Overwrite::Never, "wrong", 500, "wrong"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, there).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(at(mtime)).unwrap();
        let stats = restored(&store, &snapshot, folder.path(), |options| options.overwrite = overwrite);
        let found = std::fs::read_to_string(&path).unwrap();
        assert_eq!(found, expected, "{overwrite:?} over {there} of {mtime}");
        assert_eq!(stats.skipped_files, u64::from(expected != "right"));
        assert_eq!(show_folder(folder.path()).len(), 1);
    }
}

#[test]
fn a_stopped_run_leaves_no_temporary_file() {
    let (store, _, snapshot) = stored();
    let folder = tempfile::tempdir().unwrap();
    store.repository.stop_flag().store(true, std::sync::atomic::Ordering::Relaxed);
    let options = RestoreOptions::new(folder.path());
    let error = restore(&store.repository, &snapshot, None, &options).unwrap_err();
    assert_eq!(error.to_string(), "interrupted");
    assert!(show_folder(folder.path()).keys().all(|name| !name.starts_with(b".snap")));
}

#[test]
fn a_run_that_ends_at_any_request_leaves_no_temporary_file_and_the_next_one_goes_on() {
    let mut store = TestRepository::new(12);
    store.chunk_bytes = 1 << 12;
    let file = |seed| Entry::file(noise(seed, 20_000));
    let below = Entry::directory([("c", file(1)), ("d", file(2))]);
    // In a pack of its own: it is asked for when only a part of `a` is written.
    store.store(&Entry::directory([("b", below.clone())]));
    let tree = Entry::directory([("a", file(3)), ("b", below), ("e", file(4))]);
    let (_, snapshot) = store.store(&tree);
    let (mut ended, mut call, mut effect) = (0, 0, FaultEffect::FailBefore);
    loop {
        call += 1;
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["a", "b/c", "b/d", "e"] {
            std::fs::write(folder.path().join(name), "of another size").unwrap();
        }
        let plan = FaultPlan::one(0, call, &[Verb::Get, Verb::GetRange], effect);
        let faulty = Arc::new(FaultyBackend::new(Arc::new(store.memory.clone()), plan));
        let Ok(repository) = store.open(|environment| environment.backend = faulty.clone()) else { continue };
        let options = RestoreOptions {
            batch: BatchLimits { references: 3, content_bytes: 1 << 30 },
            sync: false,
            ..RestoreOptions::new(folder.path())
        };
        let outcome = restore(&repository, &snapshot, None, &options);
        if !faulty.reached() {
            assert_eq!(outcome.unwrap().failed_count, 0);
            assert_eq!(show_folder(folder.path()), show_tree(&tree));
            assert!(ended > 5, "{ended}");
            if effect == FaultEffect::FailForever {
                break;
            }
            (ended, call, effect) = (0, 0, FaultEffect::FailForever);
            continue;
        }
        ended += 1;
        assert!(outcome.is_err(), "request {call}: {effect:?}");
        let names: Vec<Vec<u8>> = show_folder(folder.path()).into_keys().collect();
        assert_eq!(names, [&b"a"[..], b"b", b"b/c", b"b/d", b"e"], "request {call}: {effect:?}");
        restored(&store, &snapshot, folder.path(), |_| {});
        assert_eq!(show_folder(folder.path()), show_tree(&tree), "request {call}");
    }
}
