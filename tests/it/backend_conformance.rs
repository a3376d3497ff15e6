//! The laws that every store keeps, run against each of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use snap::backend::local::LocalBackend;
use snap::backend::memory::MemoryBackend;
use snap::backend::{Backend, ConditionalWrites, ErrorKind, ObjectKey, ObjectKind, PutOutcome};
use snap::base::clock::SeededEntropy;
use snap::base::{IndexId, KeyFileId, Memory, PackId, SnapshotId, SystemClock};

use crate::support::minio::minio;

const RACERS: u64 = 16;
const LISTED_MANY: u32 = 1_500;

fn id(number: u32) -> [u8; 32] {
    *blake3::hash(&number.to_le_bytes()).as_bytes()
}

fn index(number: u32) -> ObjectKey {
    ObjectKey::index(&IndexId(id(number)))
}

fn lock(name: &str) -> ObjectKey {
    ObjectKey::lock(name).unwrap()
}

/// All laws, on an empty store that was just opened.
fn conformance(store: &dyn Backend) {
    store.prepare().unwrap();
    store.prepare().unwrap();
    for kind in ObjectKind::ALL {
        assert!(store.list(kind).unwrap().is_empty(), "{kind:?}");
    }
    a_second_create_finds_the_first(store);
    reads_give_exactly_what_was_asked(store);
    missing_objects_are_not_found_and_deleting_them_is_fine(store);
    listings_are_sorted_complete_and_of_one_kind(store);
    a_replacement_needs_the_current_version(store);
    one_of_many_racing_replacements_wins(store);
    many_racing_creators_agree(store);
    assert_eq!(store.probe_conditional_writes(&lock("probe")).unwrap(), ConditionalWrites::Honoured);
    assert_eq!(store.get_versioned(&lock("probe")).unwrap().map(|read| read.data), None);
    assert_eq!(store.clean_temporaries(86_400).unwrap(), 0);
}

fn a_second_create_finds_the_first(store: &dyn Backend) {
    let key = index(0);
    let data = Bytes::from_static(b"content");
    assert_eq!(store.put_new(&key, data.clone()).unwrap(), PutOutcome::Created);
    assert_eq!(store.put_new(&key, data.clone()).unwrap(), PutOutcome::Existed);
    let error = store.put_new(&key, Bytes::from_static(b"longer content")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    assert_eq!(store.get(&key, 100).unwrap(), data, "nothing was replaced");
    store.delete(&key).unwrap();
    assert_eq!(store.put_new(&key, data).unwrap(), PutOutcome::Created);
    store.delete(&key).unwrap();
}

fn reads_give_exactly_what_was_asked(store: &dyn Backend) {
    let key = ObjectKey::pack(&PackId(id(1)));
    // Larger than what one request reads, and not a multiple of it.
    let mut data = vec![0; (20 << 20) + 12_345];
    blake3::Hasher::new().update(b"reads").finalize_xof().fill(&mut data);
    let (data, size) = (Bytes::from(data.clone()), data.len() as u64);
    store.put_new(&key, data.clone()).unwrap();
    assert_eq!(store.stat(&key).unwrap().size_bytes, size);
    assert_eq!(store.stat(&key).unwrap().key, key);
    assert!(store.get(&key, size).unwrap() == data);
    let error = store.get(&key, size - 1).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Short, "{error}");
    for (offset, length) in
        [(0, 1), (0, size), (5, 1_000), (size - 1, 1), (1, (8 << 20) + 1), (9 << 20, 8 << 20), (7, 0)]
    {
        let read = store.get_range(&key, offset, length).unwrap();
        assert!(read == data.slice(offset as usize..(offset + length) as usize), "{offset}+{length}");
    }
    for (offset, length) in [(0, size + 1), (size, 1), (size - 1, 2), (size + 9, 9), (u64::MAX, 2)] {
        let error = store.get_range(&key, offset, length).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Short, "{offset}+{length}: {error}");
    }
    store.delete(&key).unwrap();

    let empty = index(2);
    store.put_new(&empty, Bytes::new()).unwrap();
    for limit in [0, 100, u64::MAX] {
        assert_eq!(store.get(&empty, limit).unwrap().len(), 0);
    }
    assert_eq!(store.get_range(&empty, 0, 1).unwrap_err().kind, ErrorKind::Short);
    store.delete(&empty).unwrap();
}

fn missing_objects_are_not_found_and_deleting_them_is_fine(store: &dyn Backend) {
    for key in [index(3), ObjectKey::pack(&PackId(id(3))), ObjectKey::config(7), lock("gone")] {
        let kinds = [
            store.get(&key, 100).unwrap_err().kind,
            store.get(&key, u64::MAX).unwrap_err().kind,
            store.get_range(&key, 0, 1).unwrap_err().kind,
            store.stat(&key).unwrap_err().kind,
        ];
        assert_eq!(kinds, [ErrorKind::NotFound; 4], "{key}");
        store.delete(&key).unwrap();
    }
    assert!(store.get_versioned(&lock("gone")).unwrap().is_none());
}

fn listings_are_sorted_complete_and_of_one_kind(store: &dyn Backend) {
    let many: BTreeSet<_> = (0..40).map(|number| ObjectKey::pack(&PackId(id(number)))).collect();
    let others = [
        ObjectKey::config(1),
        ObjectKey::key_file(&KeyFileId(id(1))),
        ObjectKey::snapshot(&SnapshotId(id(2))),
        index(3),
    ];
    for key in many.iter().chain(&others) {
        store.put_new(key, Bytes::from(key.path().to_owned())).unwrap();
    }
    let listed = store.list(ObjectKind::Pack).unwrap();
    assert!(listed.iter().map(|object| &object.key).eq(&many), "sorted by key and complete");
    assert!(listed.iter().all(|object| object.size_bytes == object.key.path().len() as u64));
    for other in &others {
        let keys: Vec<_> = store.list(other.kind()).unwrap().into_iter().map(|object| object.key).collect();
        assert_eq!(keys, std::slice::from_ref(other));
        store.delete(other).unwrap();
    }
    for key in &many {
        store.delete(key).unwrap();
    }
    assert!(store.list(ObjectKind::Pack).unwrap().is_empty());
}

fn a_replacement_needs_the_current_version(store: &dyn Backend) {
    let key = lock("replaced");
    let data = |text: &'static str| Bytes::from_static(text.as_bytes());
    let first = store.replace(&key, data("first"), None).unwrap().unwrap();
    assert_eq!(store.replace(&key, data("second"), None).unwrap(), None, "it is there already");
    let second = store.replace(&key, data("second"), Some(&first)).unwrap().unwrap();
    assert_ne!(first, second);
    assert_eq!(store.replace(&key, data("third"), Some(&first)).unwrap(), None, "it has moved on");
    let read = store.get_versioned(&key).unwrap().unwrap();
    assert_eq!((read.data, read.version), (data("second"), second.clone()));
    assert_eq!(read.modified.seconds, store.stat(&key).unwrap().modified.seconds);
    store.delete(&key).unwrap();
    assert_eq!(store.replace(&key, data("third"), Some(&second)).unwrap(), None, "it is gone");
    assert!(store.get_versioned(&key).unwrap().is_none());
}

fn one_of_many_racing_replacements_wins(store: &dyn Backend) {
    let key = lock("raced");
    let mut current = None;
    for round in 0..5 {
        let winners = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for racer in 0..RACERS {
                let (winners, current, key) = (&winners, &current, &key);
                scope.spawn(move || {
                    let data = Bytes::from(format!("round {round} racer {racer}"));
                    if store.replace(key, data, current.as_ref()).unwrap().is_some() {
                        winners.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(winners.load(Ordering::SeqCst), 1, "round {round}");
        current = store.get_versioned(&key).unwrap().map(|read| read.version);
    }
    store.delete(&key).unwrap();
}

fn many_racing_creators_agree(store: &dyn Backend) {
    let key = ObjectKey::pack(&PackId(id(4)));
    let data = Bytes::from(vec![9; 100_000]);
    let created = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..RACERS {
            scope.spawn(|| match store.put_new(&key, data.clone()).unwrap() {
                PutOutcome::Created => {
                    created.fetch_add(1, Ordering::SeqCst);
                }
                PutOutcome::Existed => {}
            });
        }
    });
    assert_eq!(created.load(Ordering::SeqCst), 1);
    assert_eq!(store.get(&key, 100_000).unwrap(), data);
    store.delete(&key).unwrap();
}

fn local(root: std::path::PathBuf) -> LocalBackend {
    LocalBackend::new(root, Arc::new(SeededEntropy::new(11)), Arc::new(SystemClock), Memory::default())
}

#[test]
fn memory_keeps_the_laws() {
    conformance(&MemoryBackend::new());
}

#[test]
fn a_directory_keeps_the_laws() {
    let folder = tempfile::tempdir().unwrap();
    conformance(&local(folder.path().join("repository")));
}

#[test]
fn two_openings_of_a_directory_race_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let stores = [1, 2].map(|seed| {
        let entropy = Arc::new(SeededEntropy::new(seed));
        LocalBackend::new(folder.path().to_path_buf(), entropy, Arc::new(SystemClock), Memory::default())
    });
    stores[0].prepare().unwrap();
    let winners = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for racer in 0..RACERS {
            let (store, winners) = (&stores[racer as usize % 2], &winners);
            scope.spawn(move || {
                let data = Bytes::from(format!("racer {racer}"));
                let won = store.replace(&lock("raced"), data, None).unwrap().is_some();
                winners.fetch_add(u64::from(won), Ordering::SeqCst);
            });
        }
    });
    assert_eq!(winners.load(Ordering::SeqCst), 1);
}

#[test]
fn minio_keeps_the_laws_in_a_bucket_and_below_a_prefix() {
    let bucket = minio().make_bucket();
    conformance(&*minio().open(&bucket));
    conformance(&*minio().open(&format!("{bucket}/team/daily backups+x")));
}

#[test]
fn a_listing_of_many_pages_is_complete_and_sorted() {
    let bucket = minio().make_bucket();
    let store = minio().open(&format!("{bucket}/many"));
    let keys: BTreeSet<_> = (0..LISTED_MANY).map(index).collect();
    let packs: BTreeSet<_> = (0..LISTED_MANY).map(|number| ObjectKey::pack(&PackId(id(number)))).collect();
    let all: Vec<_> = keys.iter().chain(&packs).collect();
    std::thread::scope(|scope| {
        for part in all.chunks(all.len() / 16) {
            let store = &store;
            scope.spawn(move || {
                for key in part {
                    store.put_new(key, Bytes::from_static(b"x")).unwrap();
                }
            });
        }
    });
    let listed = store.list(ObjectKind::Index).unwrap();
    assert!(listed.iter().map(|object| &object.key).eq(&keys));
    let listed = store.list(ObjectKind::Pack).unwrap();
    assert!(listed.iter().map(|object| &object.key).eq(&packs));
}
