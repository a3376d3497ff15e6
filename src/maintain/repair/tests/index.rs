use std::sync::Arc;

use bytes::Bytes;

use crate::backend::memory::MemoryBackend;
use crate::backend::{Backend, ObjectKey, ObjectKind};
use crate::base::SnapshotId;
use crate::maintain::check::{CheckOptions, ReadData, check};
use crate::maintain::repair::{RepairIndexOptions, repair_index};
use crate::maintain::testing::*;
use crate::repository::Repository;

const ALL: CheckOptions = CheckOptions { read_data: ReadData::All };

fn sample(seed: u64) -> (MemoryBackend, Arc<Repository>, Files, SnapshotId) {
    let backend = MemoryBackend::new();
    let repository = new_repository(&backend, seed);
    let mut files = Files::new();
    files.insert("a".into(), noise(1, 5_500));
    files.insert("d/b".into(), noise(2, 60_000));
    let snapshot = store_files(&repository, &files, 1);
    (backend, repository, files, snapshot)
}

fn index_keys(backend: &MemoryBackend) -> Vec<ObjectKey> {
    backend.list(ObjectKind::Index).unwrap().into_iter().map(|info| info.key).collect()
}

fn require_whole(repository: &Repository, files: &Files, snapshot: &SnapshotId) {
    let report = check(repository, &ALL).unwrap();
    assert_eq!((report.errors, report.unreferenced_packs), (0, 0), "{:?}", report.findings);
    for (path, data) in files {
        assert_eq!(&read_file(repository, snapshot, path).unwrap(), data);
    }
}

#[test]
fn an_index_made_again_from_packs_alone_gives_everything_back() {
    let (backend, repository, files, snapshot) = sample(1);
    for key in index_keys(&backend) {
        backend.delete(&key).unwrap();
    }
    assert!(check(&repository, &ALL).unwrap().is_damaged());
    let report = repair_index(&repository, &RepairIndexOptions::default()).unwrap();
    let packs = backend.list(ObjectKind::Pack).unwrap().len() as u64;
    assert_eq!((report.packs, report.added, report.written, report.deleted), (packs, packs, 1, 0));
    require_whole(&repository, &files, &snapshot);
    let fresh = reopen(Arc::new(backend.clone()), 2);
    fresh.sync_index().unwrap();
    require_whole(&fresh, &files, &snapshot);
}

#[test]
fn damaged_index_objects_are_replaced() {
    let (backend, repository, files, snapshot) = sample(1);
    let keys = index_keys(&backend);
    for (at, key) in keys.iter().enumerate() {
        let mut bytes = backend.get(key, u64::MAX).unwrap().to_vec();
        bytes.truncate(bytes.len() - at);
        bytes[40] ^= 1;
        backend.overwrite(key, Bytes::from(bytes));
    }
    let fresh = reopen(Arc::new(backend.clone()), 2);
    assert!(check(&fresh, &ALL).unwrap().is_damaged());
    let before = backend.state();
    let dry = RepairIndexOptions { dry_run: true, ..RepairIndexOptions::default() };
    let planned = repair_index(&fresh, &dry).unwrap();
    assert_eq!(planned.deleted, 0);
    assert_eq!(backend.objects(), MemoryBackend::from_state(before).objects());
    let report = repair_index(&fresh, &RepairIndexOptions::default()).unwrap();
    assert_eq!(report.damaged_indexes.len(), keys.len());
    assert_eq!(report.deleted, keys.len() as u64);
    require_whole(&fresh, &files, &snapshot);
    // The one that knew the old index objects follows.
    require_whole(&repository, &files, &snapshot);
}

#[test]
fn packs_that_are_gone_leave_the_index_and_unreadable_ones_stay_in_the_store() {
    let (backend, repository, _, _) = sample(1);
    let packs = backend.list(ObjectKind::Pack).unwrap();
    let (gone, cut) = (&packs[0].key, &packs[1].key);
    backend.delete(gone).unwrap();
    let stored = backend.get(cut, u64::MAX).unwrap();
    backend.overwrite(cut, stored.slice(..stored.len() - 3));
    let fresh = reopen(Arc::new(backend.clone()), 2);
    let report = repair_index(&fresh, &RepairIndexOptions::default()).unwrap();
    assert_eq!(report.missing.len(), 1);
    assert_eq!(ObjectKey::pack(&report.missing[0]), *gone);
    assert_eq!(report.unreadable.len(), 1);
    assert_eq!((ObjectKey::pack(&report.unreadable[0].0), report.salvaged), (cut.clone(), 0));
    assert!(backend.stat(cut).is_ok());
    assert_eq!(report.packs, packs.len() as u64 - 2);
    // A host that knows its directory puts it back into the index.
    let report = repair_index(&repository, &RepairIndexOptions::default()).unwrap();
    assert_eq!((report.unreadable.len(), report.salvaged), (1, 1));
}
